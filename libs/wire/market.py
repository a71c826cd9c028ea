"""Market events between message bytes, values and rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from libs.trading.market import (
    Bar,
    BookUpdate,
    Channel,
    FeedGap,
    Liquidation,
    MarketEvent,
    MarketRecord,
    RecordHead,
    Seed,
    SessionEnd,
    Side,
    Tick,
    Ticker,
    Trade,
)
from libs.wire import rows as packed
from libs.wire.fields import (
    clock_message,
    clock_value,
    finite,
    member,
    not_negative,
    number,
    parse,
    positive,
    provenance_of,
    text,
)
from libs.wire.malformed import MalformedMessage
from libs.wire.rows import events_of, rows_of
from protos.market.v1 import market_pb2 as pb

__all__ = [
    "Glimpse",
    "decode_events",
    "decode_record",
    "encode_events",
    "encode_record",
    "events_message",
    "events_value",
    "glimpse",
    "record_value",
    "rows_of",
]


def encode_events(head: RecordHead, events: Iterable[MarketEvent]) -> bytes:
    """The bytes of one record of `market.events`."""
    return events_message(head, events).SerializeToString()


def encode_record(record: MarketRecord) -> bytes:
    """As `encode_events`, from rows; what rows do not hold (a gap's reason and ids, a hashed trade id) is not there."""
    return encode_events(record.head, events_of(record.rows))


def decode_record(data: bytes) -> MarketRecord:
    """A record with its events as rows of `EVENT_DTYPE`. Raises MalformedMessage that says which field is wrong."""
    return record_value(parse(pb.MarketEvents(), data))


def decode_events(data: bytes) -> tuple[RecordHead, list[MarketEvent]]:
    """A record with its events as values. Raises MalformedMessage that says which field is wrong."""
    return events_value(parse(pb.MarketEvents(), data))


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Whose record it is and how far its session has come with it (ns, session time)."""

    instrument: str
    session: str
    until: int
    ended: bool


def glimpse(data: bytes) -> Glimpse:
    """What a reader needs who only follows how far sessions are, at a fraction of the cost of reading a record.

    Raises MalformedMessage for bytes that are no record or a record without events."""
    message = parse(pb.MarketEvents(), data)
    if not message.events:
        raise MalformedMessage("a record without events")
    last = message.events[-1]
    kind = last.WhichOneof("event")
    if kind is None:
        raise MalformedMessage("an event without a kind")
    event = getattr(last, kind)
    if kind == "seed":
        until = max((bar.close_time_ns for bar in event.bars), default=0)
    else:
        until = getattr(event, _TIME_FIELDS.get(kind, "event_time_ns"))
    return Glimpse(message.instrument, message.session, until, kind == "session_end")


def record_value(message: pb.MarketEvents) -> MarketRecord:
    """The rows are writable and made anew. Raises MalformedMessage."""
    return MarketRecord(_head_value(message), packed.rows_from([_packed(event) for event in message.events]))


def events_value(message: pb.MarketEvents) -> tuple[RecordHead, list[MarketEvent]]:
    """Raises MalformedMessage."""
    return _head_value(message), [_event_value(event) for event in message.events]


def events_message(head: RecordHead, events: Iterable[MarketEvent]) -> pb.MarketEvents:
    """The message of one record; nothing is checked here: whoever makes events checks them where they come from."""
    message = pb.MarketEvents(
        instrument=head.instrument,
        session=head.session,
        epoch=head.epoch,
        seq=head.seq,
        provenance=number(head.provenance),
        received_time_ns=head.received_time,
        clock=clock_message(head.clock),
    )
    for event in events:
        _fill(message.events.add(), event)
    return message


def _fill(out: pb.MarketEvent, event: MarketEvent) -> None:
    match event:
        case BookUpdate():
            out.book.event_time_ns = event.event_time
            out.book.update_id = event.update_id
            out.book.snapshot = event.snapshot
            out.book.bid_prices.extend([price for price, _ in event.bids])
            out.book.bid_sizes.extend([size for _, size in event.bids])
            out.book.ask_prices.extend([price for price, _ in event.asks])
            out.book.ask_sizes.extend([size for _, size in event.asks])
        case Trade():
            out.trade.event_time_ns = event.event_time
            out.trade.price = event.price
            out.trade.size = event.size
            out.trade.taker_side = number(event.taker_side)
            out.trade.trade_id = event.trade_id
        case Ticker():
            _fill_ticker(out.ticker, event)
        case Liquidation():
            out.liquidation.event_time_ns = event.event_time
            out.liquidation.position_side = number(event.position_side)
            out.liquidation.bankruptcy_price = event.bankruptcy_price
            out.liquidation.size = event.size
        case Tick():
            out.tick.time_ns = event.time
        case FeedGap():
            out.gap.event_time_ns = event.event_time
            out.gap.channel = number(event.channel)
            out.gap.from_update_id = event.from_update_id
            out.gap.to_update_id = event.to_update_id
            out.gap.reason = event.reason
        case Bar():
            out.bar.CopyFrom(_bar_message(event))
        case SessionEnd():
            out.session_end.event_time_ns = event.event_time
        case Seed():
            out.seed.SetInParent()
            out.seed.bars.extend(_bar_message(bar) for bar in event.bars)


def _fill_ticker(out: pb.Ticker, ticker: Ticker) -> None:
    out.event_time_ns = ticker.event_time
    for field, value in (
        ("mark_price", ticker.mark_price),
        ("index_price", ticker.index_price),
        ("funding_rate", ticker.funding_rate),
        ("next_funding_time_ns", ticker.next_funding_time),
        ("open_interest", ticker.open_interest),
        ("last_price", ticker.last_price),
    ):
        if value is not None:
            setattr(out, field, value)


def _bar_message(bar: Bar) -> pb.Bar:
    return pb.Bar(
        open_time_ns=bar.open_time,
        close_time_ns=bar.close_time,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
    )


def _head_value(message: pb.MarketEvents) -> RecordHead:
    if message.epoch < 0 or message.seq < 0:
        raise MalformedMessage(f"epoch {message.epoch} and seq {message.seq} are not both at least 0")
    return RecordHead(
        instrument=text(message.instrument, "instrument"),
        session=text(message.session, "session"),
        epoch=message.epoch,
        seq=message.seq,
        provenance=provenance_of(message.provenance),
        received_time=message.received_time_ns,
        clock=clock_value(message),
    )


def _packed(event: pb.MarketEvent) -> bytes:
    """The rows of one event, straight from its message where events are many."""
    kind = event.WhichOneof("event")
    if kind == "book":
        return _packed_book(event.book)
    if kind == "trade":
        t = event.trade
        side = member(Side, t.taker_side, "trade.taker_side")
        price, size = positive(t.price, "trade.price"), positive(t.size, "trade.size")
        return packed.trade_row(t.event_time_ns, price, size, side, text(t.trade_id, "trade.trade_id"))
    return rows_of([_event_value(event)]).tobytes()


def _packed_book(book: pb.BookUpdate) -> bytes:
    bids, asks = _levels(book)
    return packed.book_rows(book.event_time_ns, book.update_id, book.snapshot, bids, asks)


Levels = list[tuple[float, float]]


def _levels(book: pb.BookUpdate) -> tuple[Levels, Levels]:
    bid_prices, bid_sizes, ask_prices, ask_sizes = (
        list(book.bid_prices),
        list(book.bid_sizes),
        list(book.ask_prices),
        list(book.ask_sizes),
    )
    if len(bid_prices) != len(bid_sizes):
        raise MalformedMessage(f"book has {len(bid_prices)} bid prices but {len(bid_sizes)} bid sizes")
    if len(ask_prices) != len(ask_sizes):
        raise MalformedMessage(f"book has {len(ask_prices)} ask prices but {len(ask_sizes)} ask sizes")
    prices, sizes = bid_prices + ask_prices, bid_sizes + ask_sizes
    # a sum is finite only when every one of its terms is; min alone may overlook a NaN
    if prices and not (math.isfinite(sum(prices)) and min(prices) > 0.0):
        raise MalformedMessage(f"book prices are not all finite and above 0: {prices}")
    if sizes and not (math.isfinite(sum(sizes)) and min(sizes) >= 0.0):
        raise MalformedMessage(f"book sizes are not all finite and at least 0: {sizes}")
    return list(zip(bid_prices, bid_sizes, strict=True)), list(zip(ask_prices, ask_sizes, strict=True))


def _event_value(event: pb.MarketEvent) -> MarketEvent:
    kind = event.WhichOneof("event")
    if kind is None:
        raise MalformedMessage("an event without a kind")
    value: MarketEvent = _VALUES[kind](getattr(event, kind))
    return value


def _book_value(book: pb.BookUpdate) -> BookUpdate:
    bids, asks = _levels(book)
    return BookUpdate(
        event_time=book.event_time_ns,
        update_id=book.update_id,
        snapshot=book.snapshot,
        bids=tuple(bids),
        asks=tuple(asks),
    )


def _trade_value(trade: pb.Trade) -> Trade:
    return Trade(
        event_time=trade.event_time_ns,
        price=positive(trade.price, "trade.price"),
        size=positive(trade.size, "trade.size"),
        taker_side=member(Side, trade.taker_side, "trade.taker_side"),
        trade_id=text(trade.trade_id, "trade.trade_id"),
    )


def _ticker_value(ticker: pb.Ticker) -> Ticker:
    def optional(field: str) -> float | None:
        return finite(getattr(ticker, field), f"ticker.{field}") if ticker.HasField(field) else None

    return Ticker(
        event_time=ticker.event_time_ns,
        mark_price=optional("mark_price"),
        index_price=optional("index_price"),
        funding_rate=optional("funding_rate"),
        next_funding_time=ticker.next_funding_time_ns if ticker.HasField("next_funding_time_ns") else None,
        open_interest=optional("open_interest"),
        last_price=optional("last_price"),
    )


def _liquidation_value(liquidation: pb.Liquidation) -> Liquidation:
    return Liquidation(
        event_time=liquidation.event_time_ns,
        position_side=member(Side, liquidation.position_side, "liquidation.position_side"),
        bankruptcy_price=positive(liquidation.bankruptcy_price, "liquidation.bankruptcy_price"),
        size=positive(liquidation.size, "liquidation.size"),
    )


def _gap_value(gap: pb.FeedGap) -> FeedGap:
    channel = member(Channel, gap.channel, "gap.channel")
    return FeedGap(gap.event_time_ns, channel, gap.from_update_id, gap.to_update_id, gap.reason)


def _bar_value(bar: pb.Bar) -> Bar:
    if bar.close_time_ns <= bar.open_time_ns:
        raise MalformedMessage(f"bar closes at {bar.close_time_ns}, not after it opens at {bar.open_time_ns}")
    return Bar(
        open_time=bar.open_time_ns,
        close_time=bar.close_time_ns,
        open=positive(bar.open, "bar.open"),
        high=positive(bar.high, "bar.high"),
        low=positive(bar.low, "bar.low"),
        close=positive(bar.close, "bar.close"),
        volume=not_negative(bar.volume, "bar.volume"),
    )


_TIME_FIELDS = {"tick": "time_ns", "bar": "close_time_ns"}
_VALUES: dict[str, Any] = {
    "trade": _trade_value,
    "book": _book_value,
    "ticker": _ticker_value,
    "liquidation": _liquidation_value,
    "tick": lambda tick: Tick(tick.time_ns),
    "gap": _gap_value,
    "bar": _bar_value,
    "session_end": lambda end: SessionEnd(end.event_time_ns),
    "seed": lambda seed: Seed(tuple(_bar_value(bar) for bar in seed.bars)),
}
