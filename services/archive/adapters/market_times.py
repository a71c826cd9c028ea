"""Reads how far in event time a market record goes."""

from __future__ import annotations

from libs.wire.malformed import MalformedMessage
from libs.wire.market import glimpse
from libs.wire.payload import check_payload
from services.archive.domain import MarketTimes
from services.archive.ports import Archived


def times_of(topic: str, record: Archived) -> MarketTimes | None:
    """None for a record that cannot be read, as of a later version, or has no event: it is archived all the same."""
    if record.value is None:
        return None
    try:
        check_payload(topic, record.headers)
        seen = glimpse(record.value)
    except MalformedMessage:
        return None
    return MarketTimes(seen.instrument, seen.session, seen.until, seen.ended)
