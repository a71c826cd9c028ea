"""Reads how far in event time a market record goes."""

from __future__ import annotations

from libs.wire.malformed import MalformedMessage
from libs.wire.market import glimpse
from services.archive.domain import MarketTimes


def times_of(value: bytes) -> MarketTimes | None:
    """None for a record that cannot be read or has no event: it is archived all the same."""
    try:
        seen = glimpse(value)
    except MalformedMessage:
        return None
    return MarketTimes(seen.instrument, seen.session, seen.until, seen.ended)
