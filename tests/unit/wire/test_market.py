"""Market records survive the wire; what means nothing is refused with the field's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from libs.trading.market import (
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_SNAPSHOT,
    MarketEvent,
    MarketRecord,
    RecordHead,
    RowKind,
    Side,
    Ticker,
)
from libs.wire.malformed import MalformedMessage
from libs.wire.market import decode_events, decode_record, encode_events, encode_record, events_message, rows_of
from libs.wire.rows import events_of, trade_number
from protos.market.v1 import market_pb2 as pb
from tests.builders import market as build


@given(build.heads, build.event_lists)
def test_events_survive_the_wire(head: RecordHead, events: list[MarketEvent]) -> None:
    assert decode_events(encode_events(head, events)) == (head, events)


@given(build.heads, build.event_lists)
def test_rows_from_the_wire_are_the_rows_of_the_events(head: RecordHead, events: list[MarketEvent]) -> None:
    record = decode_record(encode_events(head, events))
    assert record.head == head
    assert record.rows.tobytes() == rows_of(events).tobytes()


@given(build.heads, build.event_lists)
def test_rows_survive_the_wire(head: RecordHead, events: list[MarketEvent]) -> None:
    rows = rows_of(events)
    assert decode_record(encode_record(MarketRecord(head, rows))).rows.tobytes() == rows.tobytes()


@given(build.event_lists)
def test_events_of_rows_make_the_same_rows(events: list[MarketEvent]) -> None:
    rows = rows_of(events)
    assert rows_of(events_of(rows)).tobytes() == rows.tobytes()


def test_a_book_frame_is_framed_by_first_and_last_row() -> None:
    rows = rows_of([build.a_book(snapshot=True)])
    assert list(rows["kind"]) == [RowKind.BOOK_LEVEL] * 3
    assert list(rows["side"]) == [Side.BUY, Side.BUY, Side.SELL]
    assert list(rows["flags"]) == [FLAG_SNAPSHOT | FLAG_FIRST, FLAG_SNAPSHOT, FLAG_SNAPSHOT | FLAG_LAST]
    assert list(rows["price"]) == [99.5, 99.0, 100.5]


def test_an_empty_book_frame_is_one_row_without_a_price() -> None:
    [row] = rows_of([build.a_book(bids=(), asks=())])
    assert row["flags"] == FLAG_FIRST | FLAG_LAST
    assert np.isnan(row["price"])
    assert row["size"] == 0.0


def test_rows_are_writable_so_that_kernels_compile_once() -> None:
    assert decode_record(encode_events(build.a_head(), [build.a_trade(), build.a_book()])).rows.flags.writeable


def test_the_next_funding_time_rides_on_the_funding_rate() -> None:
    [row] = rows_of([Ticker(5, funding_rate=0.0001, next_funding_time=99)])
    assert (row["kind"], row["value"], row["price"]) == (RowKind.FUNDING, 99, 0.0001)
    assert len(rows_of([Ticker(5, next_funding_time=99)])) == 0


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("42", 42), (str(2**63 - 1), 2**63 - 1)])
def test_a_plain_number_is_its_own_trade_number(text: str, value: Any) -> None:
    assert trade_number(text) == value


@pytest.mark.parametrize("text", ["007", "-1", str(2**63), "20f43950-d8dd-5b31-9112-a178eb6023af", "٣"])
def test_any_other_trade_id_is_hashed_into_63_bits(text: str) -> None:
    assert 0 <= trade_number(text) < 2**63
    assert trade_number(text) != trade_number(text + "x")
    assert trade_number(str(trade_number(text))) == trade_number(text)


def _spoil(change: Callable[[pb.MarketEvents], object]) -> bytes:
    message = events_message(build.a_head(), [build.a_trade(), build.a_book(), build.a_trade()])
    change(message)
    return message.SerializeToString()


def _set(path: str, value: object) -> Callable[[pb.MarketEvents], None]:
    def change(message: pb.MarketEvents) -> None:
        target: Any = message
        *parents, last = path.split(".")
        for name in parents:
            target = target.events[int(name)] if name.isdigit() else getattr(target, name)
        setattr(target, last, value)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set("instrument", ""), "instrument is empty"),
        (_set("session", ""), "session is empty"),
        (_set("epoch", -1), "epoch -1"),
        (_set("provenance", 0), "provenance is unspecified"),
        (_set("provenance", 9), "provenance is unknown: 9"),
        (_set("clock.rate", float("nan")), "clock.rate is nan"),
        (_set("clock.rate", -1.0), "clock.rate is -1.0"),
        (lambda m: m.ClearField("clock"), "clock is missing"),
        (_set("0.trade.price", float("nan")), "trade.price is nan"),
        (_set("0.trade.size", 0.0), "trade.size is 0.0"),
        (_set("0.trade.taker_side", 0), "trade.taker_side is unspecified"),
        (_set("0.trade.trade_id", ""), "trade.trade_id is empty"),
        (lambda m: m.events[1].book.bid_sizes.pop(), "2 bid prices but 1 bid sizes"),
        (lambda m: m.events[1].book.ask_prices.append(3.0), "2 ask prices but 1 ask sizes"),
        (lambda m: m.events[1].book.bid_sizes.__setitem__(0, float("nan")), "book sizes are not all finite"),
        (lambda m: m.events[1].book.bid_prices.__setitem__(0, float("inf")), "book prices are not all finite"),
        (lambda m: m.events[1].book.bid_prices.__setitem__(0, 0.0), "book prices are not all finite and above 0"),
        (lambda m: m.events[1].book.ask_sizes.__setitem__(0, -1.0), "book sizes are not all finite and at least 0"),
        (lambda m: m.events.add(), "without a kind"),
        (_set("2.gap.channel", 0), "gap.channel is unspecified"),
        (_set("2.bar.close_time_ns", 0), "bar closes at 0"),
        (_set("2.liquidation.size", 1.0), "liquidation.position_side is unspecified"),
        (_set("2.ticker.mark_price", float("inf")), "ticker.mark_price is inf"),
    ],
)
@pytest.mark.parametrize("decode", [decode_record, decode_events])
def test_what_means_nothing_is_refused(
    decode: Callable[[bytes], object], change: Callable[[pb.MarketEvents], object], says: str
) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode(_spoil(change))


@pytest.mark.parametrize("decode", [decode_record, decode_events])
def test_bytes_that_are_no_message_are_refused(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(MalformedMessage, match=r"not a market\.v1\.MarketEvents"):
        decode(b"\xff\xff\xff")


def test_rows_of_a_cut_book_frame_are_refused() -> None:
    rows = rows_of([build.a_book()])
    with pytest.raises(ValueError, match="without its last row"):
        events_of(rows[:-1])
    with pytest.raises(ValueError, match="without its first row"):
        events_of(rows[1:])
