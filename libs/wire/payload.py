"""Which message lies in a record of each topic, said in a header and checked before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterable

from libs.wire.malformed import MalformedMessage

HEADER = "payload"
# What this code writes and reads, by topic: the column `payload` of protos/topics.yaml (a contract test compares them).
PAYLOADS = {
    "market.events": "market.v1.MarketEvents",
    "market.backfill": "market.v1.MarketEvents",
    "features.vectors": "features.v1.FeatureVector",
    "features.latest": "features.v1.FeatureVector",
    "features.snapshots": "features.v1.EngineSnapshot",
    "predictions": "predictions.v1.Prediction",
    "orders.events": "orders.v1.OrderEvent",
    "models.events": "models.v1.ModelEvent",
    "alerts": "alerts.v1.Alert",
}


def payload_header(topic: str) -> tuple[str, bytes]:
    """The header that every record of this topic carries. Raises KeyError for a topic that is not declared."""
    return HEADER, PAYLOADS[topic].encode()


def check_payload(topic: str, headers: Iterable[tuple[str, bytes]]) -> None:
    """Raises MalformedMessage for a record whose header names another message, such as a later version.

    A record without the header is taken as the version that is read here: archives and recordings from before the
    header hold only that one, and whoever writes a later version writes the header too.
    """
    wanted = PAYLOADS[topic].encode()
    for name, value in headers:
        if name == HEADER and value != wanted:
            said = value.decode("utf-8", "replace")
            raise MalformedMessage(f"the record holds {said!r}, {wanted.decode()} is read here")
