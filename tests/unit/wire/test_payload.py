"""A record says which message it holds; another version is refused before it is decoded."""

from __future__ import annotations

import pytest

from libs.wire.malformed import MalformedMessage
from libs.wire.payload import PAYLOADS, check_payload, payload_header


@pytest.mark.parametrize("topic", PAYLOADS)
def test_what_is_written_is_read(topic: str) -> None:
    check_payload(topic, [("sent-ns", b"1"), payload_header(topic)])


@pytest.mark.parametrize("said", [b"market.v2.MarketEvents", b"features.v1.FeatureVector", b"", b"\xff"])
def test_another_version_is_refused_and_named(said: bytes) -> None:
    with pytest.raises(MalformedMessage, match=r"market\.v1\.MarketEvents is read here"):
        check_payload("market.events", [("payload", said)])


def test_a_record_from_before_the_header_is_read() -> None:
    check_payload("market.events", [("reason", b"x")])


def test_a_second_header_hides_nothing() -> None:
    with pytest.raises(MalformedMessage, match="v2"):
        check_payload("market.events", [payload_header("market.events"), ("payload", b"market.v2.MarketEvents")])


def test_an_undeclared_topic_is_no_topic() -> None:
    with pytest.raises(KeyError):
        payload_header("market.evants")
