"""The one kernel that reads the log: rows in, vectors out, the same for one row online and millions in replay."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.trading import bars, book, market
from libs.trading.features import catalogue
from libs.trading.features.kernels import bar_history, emission, order_book, state, trade_ids
from libs.trading.features.kernels.bar_history import close_running_bar, import_bar, lose_trades, trade_into_bar
from libs.trading.features.kernels.emission import emit
from libs.trading.features.kernels.order_book import apply_level, lose_book
from libs.trading.features.kernels.state import AHEAD_NS, BUCKETS, LATENESS_NS, LONGEST_QUIET_NS, N_CHANNELS, Counter
from libs.trading.features.kernels.trade_ids import NO_TRADE, is_new
from libs.trading.features.spec import FeatureSpec, NotReady
from libs.trading.jit import kernel
from libs.trading.market import FLAG_FIRST, FLAG_SEED, Channel, RowKind

STATE_DTYPE = state.state_dtype(
    state.source_digest(bars, book, market, catalogue, state, trade_ids, order_book, bar_history, emission)
)

_TRADE, _BOOK_LEVEL = int(RowKind.TRADE), int(RowKind.BOOK_LEVEL)
_TICK, _GAP_ROW = int(RowKind.TICK), int(RowKind.GAP)
_BAR_OPEN, _BAR_RANGE, _BAR_CLOSE = int(RowKind.BAR_OPEN), int(RowKind.BAR_RANGE), int(RowKind.BAR_CLOSE)
_LIQUIDATED, _LAST_PRICE = int(RowKind.LIQUIDATED), int(RowKind.LAST_PRICE)
_MARK = int(RowKind.MARK)
_BOOK, _TRADES, _TICKER = int(Channel.BOOK), int(Channel.TRADES), int(Channel.TICKER)
_LIQUIDATIONS, _BARS, _ALL = int(Channel.LIQUIDATIONS), int(Channel.BARS), int(Channel.ALL)
_BUY = int(market.Side.BUY)
_WARMING, _GAP, _NO_DATA = int(NotReady.WARMING), int(NotReady.GAP), int(NotReady.NO_DATA)
_VECTORS, _LATE, _AHEAD = int(Counter.VECTORS), int(Counter.LATE), int(Counter.AHEAD)
_N_TRADES, _DUPLICATE, _GAPS = int(Counter.TRADES), int(Counter.DUPLICATE_TRADES), int(Counter.GAPS)
_LEAPS = int(Counter.LEAPS)
_IMPOSSIBLE, _REFUSED = int(Counter.IMPOSSIBLE_ROWS), int(Counter.BARS_REFUSED)

_WAIT = -1  # the output is full: call again from the same row


def new_state(spec: FeatureSpec) -> NDArray[np.void]:
    """The state before the first event of a session, shape (1,). Raises ValueError for intervals that do not fit."""
    fresh = np.zeros(1, dtype=STATE_DTYPE)
    fresh["emission"] = spec.emission_interval
    fresh["bar"] = spec.bar_interval
    fresh["bucket"] = state.bucket_length(spec)
    fresh["seen"] = -1
    fresh["whole_cause"] = _WARMING
    fresh["bars_cause"] = _WARMING
    fresh["book_reason"] = _NO_DATA
    fresh["trade_table"] = NO_TRADE
    for name in ("mid", "best", "last_price", "carried_close", "staged", "running"):
        fresh[name] = np.nan
    return fresh


@kernel
def apply_gap(s: Any, channel: int, time: int) -> None:
    """What is lost is lost since this moment; a gap before the first event is the opening of a session."""
    s.counters[_GAPS] += 1
    cause = _GAP if s.started == 1 else _WARMING
    since = max(s.watermark, time)
    for lost in range(1, N_CHANNELS):
        if channel == lost or channel == _ALL:
            s.whole_from[lost] = since
            s.whole_cause[lost] = cause
    if s.started == 0:
        return
    if channel == _BOOK or channel == _ALL:
        lose_book(s)
    if channel == _TRADES or channel == _ALL:
        lose_trades(s, cause)


@kernel
def leap(s: Any, target: int) -> None:
    """A stretch that nobody watched is not filled with vectors: everything begins again behind a gap."""
    s.counters[_LEAPS] += 1
    s.watermark = target
    s.bucket_end = (target // s.bucket + 1) * s.bucket
    s.flow[:] = 0.0
    apply_gap(s, _ALL, target)


@kernel
def advance(s: Any, target: int, out: Any, n_out: int) -> int:
    """Move the watermark to `target`: at each bucket's end roll it, close the bar, emit; returns the new `n_out`.

    Returns _WAIT - n_out when the output is full; calling again with an empty output goes on where it stopped.
    """
    if s.started == 0:
        s.started = 1
        s.watermark = target
        s.bucket_end = (target // s.bucket + 1) * s.bucket
        for channel in range(N_CHANNELS):
            s.whole_from[channel] = target
        return n_out
    if target - s.watermark > LONGEST_QUIET_NS:
        leap(s, target)
        return n_out
    while s.bucket_end <= target:
        end = s.bucket_end
        emits = end % s.emission == 0
        if emits and n_out == len(out):
            return _WAIT - n_out
        s.watermark = end
        place = s.n_buckets % BUCKETS
        s.ofi[place], s.buys[place], s.sells[place] = s.flow[0], s.flow[1], s.flow[2]
        s.mids[place] = s.mid
        s.flow[0], s.flow[1], s.flow[2] = 0.0, 0.0, 0.0
        s.n_buckets += 1
        s.bucket_end = end + s.bucket
        if end % s.bar == 0:
            close_running_bar(s, end)
        if emits:
            emit(s, end, out[n_out])
            s.counters[_VECTORS] += 1
            n_out += 1
    s.watermark = max(s.watermark, target)
    return n_out


@kernel
def saw(s: Any, channel: int, time: int) -> None:
    """Remember the newest event of a channel; a time from the future counts as now."""
    s.seen[channel] = max(s.seen[channel], min(time, s.watermark))


@kernel
def apply_trade(s: Any, r: Any) -> None:
    if not (r.price > 0.0 and r.size > 0.0 and math.isfinite(r.price) and math.isfinite(r.size)):
        s.counters[_IMPOSSIBLE] += 1
        return
    if not is_new(s, r.value):
        s.counters[_DUPLICATE] += 1
        return
    if r.event_time < s.watermark:
        s.counters[_LATE] += 1
    s.counters[_N_TRADES] += 1
    saw(s, _TRADES, r.event_time)
    s.last_price = r.price
    s.flow[1 if r.side == _BUY else 2] += r.size
    trade_into_bar(s, r.price, r.size)


@kernel
def apply_other(s: Any, r: Any) -> None:
    """Tickers and liquidations: the first spec reads only their ages and the last price."""
    if r.event_time < s.watermark:
        s.counters[_LATE] += 1
    if r.kind == _LIQUIDATED:
        saw(s, _LIQUIDATIONS, r.event_time)
        return
    saw(s, _TICKER, r.event_time)
    if r.kind == _LAST_PRICE and r.price > 0.0 and math.isfinite(r.price):
        s.last_price = r.price


@kernel
def apply_bar_row(s: Any, r: Any, target: int, out: Any, n_out: int) -> int:
    """The three rows of a bar. What a bar says lies before its end, so it is in the vector as of its end."""
    if r.kind == _BAR_OPEN:
        s.staged[0], s.staged[4], s.staged_open_time = r.price, r.size, r.value
        return n_out
    if r.kind == _BAR_RANGE:
        s.staged[1], s.staged[2] = r.price, r.size
        return n_out
    s.staged[3] = r.price
    if target != r.event_time:
        s.counters[_REFUSED] += 1
        return n_out
    if r.flags & FLAG_SEED:
        import_bar(s, s.staged_open_time, r.event_time, True)
        return n_out
    if s.row_applied == 0:
        n_out = advance(s, target - 1, out, n_out)
        if n_out < 0:
            return n_out
        if r.event_time <= s.watermark:
            s.counters[_LATE] += 1
        if import_bar(s, s.staged_open_time, r.event_time, False):
            saw(s, _BARS, r.event_time)
            s.last_price = r.price
        s.row_applied = 1
    n_out = advance(s, target, out, n_out)
    if n_out >= 0:
        s.row_applied = 0
    return n_out


@kernel
def apply_row(s: Any, r: Any, received: int, out: Any, n_out: int) -> int:
    """Move time as the row says, then take what it says; returns the new `n_out`, below 0 when the output is full."""
    target = r.event_time
    if r.kind == _TICK:
        target -= LATENESS_NS
    if target > received + AHEAD_NS:
        s.counters[_AHEAD] += 1
        target = s.watermark if s.started == 1 else received
    if r.kind == _GAP_ROW:
        apply_gap(s, r.side, min(target, received + AHEAD_NS))
        return n_out
    if r.kind == _BAR_OPEN or r.kind == _BAR_RANGE or r.kind == _BAR_CLOSE:
        return apply_bar_row(s, r, target, out, n_out)
    if r.kind != _BOOK_LEVEL or r.flags & FLAG_FIRST or s.started == 0:
        n_out = advance(s, target, out, n_out)
        if n_out < 0:
            return n_out
    if r.kind == _TRADE:
        apply_trade(s, r)
    elif r.kind == _BOOK_LEVEL:
        if r.flags & FLAG_FIRST:
            if r.event_time < s.watermark:
                s.counters[_LATE] += 1
            saw(s, _BOOK, r.event_time)
        apply_level(s, r.side, r.flags, r.value, r.price, r.size)
    elif _MARK <= r.kind <= _LIQUIDATED:
        apply_other(s, r)
    return n_out


@kernel
def process(states: Any, rows: Any, first: int, ends: Any, received: Any, out: Any) -> tuple[int, int]:
    """Read `rows[first:]` and write vectors to `out`; returns (next row, vectors written).

    `ends[i]` is the row after the last of record i, `received[i]` its received time (ns). When `out` (OUTPUT_DTYPE) is
    full, next row is below the number of rows: take the vectors and call again from there.
    """
    s = states[0]
    n_out = 0
    record = 0
    for at in range(first, len(rows)):
        while at >= ends[record]:
            record += 1
        r = rows[at]
        before = n_out
        n_out = apply_row(s, r, received[record], out, n_out)
        full = n_out < 0
        if full:
            n_out = _WAIT - n_out
        for i in range(before, n_out):
            out[i].crossing_time = r.event_time
            out[i].record = record
        if full:
            return at, n_out
    return len(rows), n_out
