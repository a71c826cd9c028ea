"""Market events as values and the same events as rows of `EVENT_DTYPE`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from struct import Struct

import numpy as np

from libs.trading.market import (
    EVENT_DTYPE,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_SEED,
    FLAG_SNAPSHOT,
    Bar,
    BookUpdate,
    Channel,
    FeedGap,
    Liquidation,
    MarketEvent,
    RowKind,
    Rows,
    Seed,
    SessionEnd,
    Side,
    Tick,
    Ticker,
    Trade,
)

_ROW = Struct("<qqddBBB5x")  # one row of EVENT_DTYPE
_INT63 = (1 << 63) - 1
# plain numbers: an enum member costs a microsecond of lookups per row
TRADE, BOOK_LEVEL, MARK, INDEX, FUNDING = 1, 2, 3, 4, 5
OPEN_INT, LAST_PRICE, LIQUIDATED, TICK, GAP = 6, 7, 8, 9, 10
BAR_OPEN, BAR_RANGE, BAR_CLOSE, END = 11, 12, 13, 14


def trade_number(trade_id: str) -> int:
    """A trade id as an int64: itself when it is a plain decimal number below 2^63, else 63 bits of its hash."""
    if trade_id.isascii() and trade_id.isdecimal() and len(trade_id) <= 19:
        value = int(trade_id)
        if value <= _INT63 and str(value) == trade_id:
            return value
    return int.from_bytes(hashlib.blake2b(trade_id.encode(), digest_size=8).digest(), "little") & _INT63


def trade_row(time: int, price: float, size: float, side: int, trade_id: str) -> bytes:
    return _ROW.pack(time, trade_number(trade_id), price, size, TRADE, side, 0)


def liquidation_row(time: int, price: float, size: float, side: int) -> bytes:
    return _ROW.pack(time, 0, price, size, LIQUIDATED, side, 0)


def tick_row(time: int) -> bytes:
    return _ROW.pack(time, 0, 0.0, 0.0, TICK, 0, 0)


def gap_row(time: int, channel: int) -> bytes:
    return _ROW.pack(time, 0, 0.0, 0.0, GAP, channel, 0)


def end_row(time: int) -> bytes:
    return _ROW.pack(time, 0, 0.0, 0.0, END, 0, 0)


def ticker_rows(ticker: Ticker) -> bytes:
    """One row per number that is present; the next funding time has no row of its own, it rides on the funding rate."""
    time, rows = ticker.event_time, b""
    if ticker.mark_price is not None:
        rows += _ROW.pack(time, 0, ticker.mark_price, 0.0, MARK, 0, 0)
    if ticker.index_price is not None:
        rows += _ROW.pack(time, 0, ticker.index_price, 0.0, INDEX, 0, 0)
    if ticker.funding_rate is not None:
        rows += _ROW.pack(time, ticker.next_funding_time or 0, ticker.funding_rate, 0.0, FUNDING, 0, 0)
    if ticker.open_interest is not None:
        rows += _ROW.pack(time, 0, ticker.open_interest, 0.0, OPEN_INT, 0, 0)
    if ticker.last_price is not None:
        rows += _ROW.pack(time, 0, ticker.last_price, 0.0, LAST_PRICE, 0, 0)
    return rows


def bar_rows(bar: Bar, *, seed: bool = False) -> bytes:
    return (
        _ROW.pack(bar.close_time, bar.open_time, bar.open, bar.volume, BAR_OPEN, 0, 0)
        + _ROW.pack(bar.close_time, 0, bar.high, bar.low, BAR_RANGE, 0, 0)
        + _ROW.pack(bar.close_time, 0, bar.close, 0.0, BAR_CLOSE, 0, FLAG_SEED if seed else 0)
    )


def book_rows(
    time: int,
    update_id: int,
    snapshot: bool,
    bids: Iterable[tuple[float, float]],
    asks: Iterable[tuple[float, float]],
) -> bytes:
    """A book frame of (price, size) levels: bids first, then asks, each in the order given."""
    always = FLAG_SNAPSHOT if snapshot else 0
    levels = [(price, size, 1) for price, size in bids]
    levels += [(price, size, 2) for price, size in asks]
    if not levels:
        return _ROW.pack(time, update_id, math.nan, 0.0, BOOK_LEVEL, 0, always | FLAG_FIRST | FLAG_LAST)
    flags = [always] * len(levels)
    flags[0] |= FLAG_FIRST
    flags[-1] |= FLAG_LAST
    pack = _ROW.pack
    return b"".join(
        [
            pack(time, update_id, price, size, BOOK_LEVEL, side, flag)
            for (price, size, side), flag in zip(levels, flags, strict=True)
        ]
    )


def rows_from(parts: Sequence[bytes]) -> Rows:
    """Rows that were packed one after the other, as one writable array."""
    return np.frombuffer(bytearray(b"".join(parts)), EVENT_DTYPE)


def rows_of(events: Sequence[MarketEvent]) -> Rows:
    """The rows that these events are, in their order."""
    return rows_from([_packed(event) for event in events])


def _packed(event: MarketEvent) -> bytes:
    match event:
        case Trade():
            return trade_row(event.event_time, event.price, event.size, event.taker_side, event.trade_id)
        case BookUpdate():
            return book_rows(event.event_time, event.update_id, event.snapshot, event.bids, event.asks)
        case Ticker():
            return ticker_rows(event)
        case Liquidation():
            return liquidation_row(event.event_time, event.bankruptcy_price, event.size, event.position_side)
        case Tick():
            return tick_row(event.time)
        case FeedGap():
            return gap_row(event.event_time, event.channel)
        case Bar():
            return bar_rows(event)
        case SessionEnd():
            return end_row(event.event_time)
        case Seed():
            return b"".join(bar_rows(bar, seed=True) for bar in event.bars)


def events_of(rows: Rows) -> list[MarketEvent]:
    """The events that rows tell of; a gap has no reason and no ids, a trade id is its number.

    Raises ValueError for rows that no events could have made: an unknown kind, a book frame or bar cut short."""
    events: list[MarketEvent] = []
    i = 0
    while i < len(rows):
        kind = int(rows["kind"][i])
        if kind == BOOK_LEVEL:
            i = _take_book(rows, i, events)
        elif MARK <= kind <= LAST_PRICE:
            i = _take_ticker(rows, i, events)
        elif kind == BAR_OPEN:
            i = _take_bar(rows, i, events)
        else:
            events.append(_single(rows[i], kind))
            i += 1
    return events


def _single(row: np.void, kind: int) -> MarketEvent:
    time = int(row["event_time"])
    if kind == TRADE:
        return Trade(time, float(row["price"]), float(row["size"]), Side(int(row["side"])), str(row["value"]))
    if kind == LIQUIDATED:
        return Liquidation(time, Side(int(row["side"])), float(row["price"]), float(row["size"]))
    if kind == TICK:
        return Tick(time)
    if kind == GAP:
        return FeedGap(time, Channel(int(row["side"])), 0, 0, "")
    if kind == END:
        return SessionEnd(time)
    raise ValueError(f"no event begins with a row of kind {kind}")


def _take_book(rows: Rows, start: int, events: list[MarketEvent]) -> int:
    flags = rows["flags"]
    if not flags[start] & FLAG_FIRST:
        raise ValueError(f"row {start}: a book frame without its first row")
    end = start
    while end < len(rows) and rows["kind"][end] == BOOK_LEVEL and not flags[end] & FLAG_LAST:
        end += 1
    if end == len(rows) or rows["kind"][end] != BOOK_LEVEL:
        raise ValueError(f"row {start}: a book frame without its last row")
    frame = rows[start : end + 1]
    levels = [(float(row["price"]), float(row["size"]), int(row["side"])) for row in frame]
    events.append(
        BookUpdate(
            event_time=int(frame["event_time"][0]),
            update_id=int(frame["value"][0]),
            snapshot=bool(flags[start] & FLAG_SNAPSHOT),
            bids=[(price, size) for price, size, side in levels if side == Side.BUY],
            asks=[(price, size) for price, size, side in levels if side == Side.SELL],
        )
    )
    return end + 1


def _take_ticker(rows: Rows, start: int, events: list[MarketEvent]) -> int:
    """Rows of one time with rising kinds are one ticker."""
    seen: dict[int, float] = {}
    time, funding_time, i = int(rows["event_time"][start]), None, start
    while i < len(rows):
        kind = int(rows["kind"][i])
        if not MARK <= kind <= LAST_PRICE or int(rows["event_time"][i]) != time or any(k >= kind for k in seen):
            break
        seen[kind] = float(rows["price"][i])
        if kind == FUNDING:
            funding_time = int(rows["value"][i]) or None
        i += 1
    events.append(
        Ticker(
            time,
            mark_price=seen.get(MARK),
            index_price=seen.get(INDEX),
            funding_rate=seen.get(FUNDING),
            next_funding_time=funding_time,
            open_interest=seen.get(OPEN_INT),
            last_price=seen.get(LAST_PRICE),
        )
    )
    return i


def _take_bar(rows: Rows, start: int, events: list[MarketEvent]) -> int:
    kinds = [int(kind) for kind in rows["kind"][start : start + 3]]
    if kinds != [RowKind.BAR_OPEN, RowKind.BAR_RANGE, RowKind.BAR_CLOSE]:
        raise ValueError(f"row {start}: a bar without all of its three rows")
    first, middle, last = rows[start], rows[start + 1], rows[start + 2]
    bar = Bar(
        open_time=int(first["value"]),
        close_time=int(first["event_time"]),
        open=float(first["price"]),
        high=float(middle["price"]),
        low=float(middle["size"]),
        close=float(last["price"]),
        volume=float(first["size"]),
    )
    if not last["flags"] & FLAG_SEED:
        events.append(bar)
    elif events and isinstance(events[-1], Seed):
        events[-1] = Seed((*events[-1].bars, bar))
    else:
        events.append(Seed((bar,)))
    return start + 3
