"""Reads how far in event time a market record goes."""

from __future__ import annotations

from libs.trading.market import RowKind
from libs.wire.malformed import MalformedMessage
from libs.wire.market import decode_record
from services.archive.domain import MarketTimes


def times_of(value: bytes) -> MarketTimes | None:
    """None for a record that cannot be read or has no event: it is archived all the same."""
    try:
        record = decode_record(value)
    except MalformedMessage:
        return None
    if not len(record.rows):
        return None
    ended = bool((record.rows["kind"] == RowKind.END).any())
    until = int(record.rows["event_time"].max())
    return MarketTimes(record.head.instrument, record.head.session, until, ended)
