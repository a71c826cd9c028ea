"""Writes one vector from the state, value by value, each with the reason for which it may be missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from libs.trading.bars import BARS_NEEDED, N_VALUES
from libs.trading.book import depth
from libs.trading.features.catalogue import column
from libs.trading.features.kernels.state import BUCKETS, N_CHANNELS, SAMPLE_NS
from libs.trading.features.spec import NotReady
from libs.trading.jit import kernel
from libs.trading.market import NS_PER_SECOND, Channel

_BOOK, _TRADES, _BARS = int(Channel.BOOK), int(Channel.TRADES), int(Channel.BARS)
_READY = int(NotReady.READY)
_NO_DATA = int(NotReady.NO_DATA)
_NOT_FINITE = int(NotReady.NOT_FINITE)
_NAN = np.float32(np.nan)
_BARS_FIRST = column("close")
_SPREAD = column("spread_bps")
_MICRO = column("microprice_bps")
_IMBALANCE = column("imbalance_1")
_OFI = column("ofi_1s")
_RETURN = column("mid_return_1s")
_VOLATILITY = column("realised_vol_30s")
_TAKER = column("taker_imbalance_5s")
_DEPTHS = np.array([1, 5, 10, 25], dtype=np.int64)
_BOOK_WINDOWS_NS = np.array([1, 5, 30], dtype=np.int64) * NS_PER_SECOND
_TRADE_WINDOWS_NS = np.array([5, 30], dtype=np.int64) * NS_PER_SECOND
_VOLATILITY_SAMPLES = 30


@kernel
def put(o: Any, at: int, value: float) -> None:
    """Round once to float32; never -0, never an infinity, and only the canonical NaN."""
    rounded = np.float32(value)
    if not math.isfinite(rounded):
        refuse(o, at, _NOT_FINITE)
        return
    o.values[at] = rounded if rounded != np.float32(0.0) else np.float32(0.0)
    o.reasons[at] = _READY


@kernel
def refuse(o: Any, at: int, reason: int) -> None:
    o.values[at] = _NAN
    o.reasons[at] = reason


@kernel
def window_reason(s: Any, channel: int, as_of: int, window: int) -> int:
    """READY when nothing of the channel is missing in [as_of - window, as_of)."""
    if s.whole_from[channel] <= as_of - window:
        return _READY
    return s.whole_cause[channel]  # type: ignore[no-any-return]


@kernel
def window_sum(s: Any, ring: Any, window: int) -> float:
    """Sum of the closed buckets of the last `window` ns, oldest first."""
    total = 0.0
    for k in range(s.n_buckets - window // s.bucket, s.n_buckets):
        total += ring[k % BUCKETS]
    return total


@kernel
def mid_before(s: Any, age: int) -> float:
    """The mid price `age` ns before the boundary; NaN when there was no valid book."""
    back = age // s.bucket
    if back >= s.n_buckets:
        return math.nan
    return s.mids[(s.n_buckets - 1 - back) % BUCKETS]  # type: ignore[no-any-return]


@kernel
def put_bars(s: Any, o: Any) -> None:
    missing = s.bars_cause
    if s.n_bars == 0 and s.seen[_TRADES] < 0 and s.seen[_BARS] < 0:
        missing = _NO_DATA
    for i in range(N_VALUES):
        if s.n_bars < BARS_NEEDED[i]:
            refuse(o, _BARS_FIRST + i, missing)
        else:
            put(o, _BARS_FIRST + i, s.bar_values[i])


@kernel
def put_book_now(s: Any, o: Any) -> None:
    """Spread, micro-price and depth imbalance of the book as it stands."""
    if s.book_reason != _READY:
        for at in range(_SPREAD, _IMBALANCE + 4):
            refuse(o, at, s.book_reason)
        o.quote[:] = math.nan
        return
    bid, bid_size, ask, ask_size = s.best[0], s.best[1], s.best[2], s.best[3]
    for i in range(4):
        o.quote[i] = s.best[i]
    put(o, _SPREAD, (ask - bid) / s.mid * 1e4)
    micro = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    put(o, _MICRO, (micro / s.mid - 1.0) * 1e4)
    for i in range(4):
        bids = depth(s.bid_size, s.n_bid, _DEPTHS[i])
        asks = depth(s.ask_size, s.n_ask, _DEPTHS[i])
        put(o, _IMBALANCE + i, (bids - asks) / (bids + asks))


@kernel
def put_book_windows(s: Any, o: Any, as_of: int) -> None:
    """Order flow, returns of the mid, and realised volatility: sqrt of the sum of squared 1 s log returns."""
    for i in range(3):
        reason = s.book_reason
        if reason == _READY:
            reason = window_reason(s, _BOOK, as_of, _BOOK_WINDOWS_NS[i])
        if reason != _READY:
            refuse(o, _OFI + i, reason)
            refuse(o, _RETURN + i, reason)
            if i == 2:
                refuse(o, _VOLATILITY, reason)
            continue
        put(o, _OFI + i, window_sum(s, s.ofi, _BOOK_WINDOWS_NS[i]))
        before = mid_before(s, _BOOK_WINDOWS_NS[i])
        if math.isnan(before):  # the book became whole exactly at the window's beginning
            refuse(o, _RETURN + i, s.whole_cause[_BOOK])
        else:
            put(o, _RETURN + i, math.log(s.mid / before))
        if i == 2:
            put_volatility(s, o)


@kernel
def put_volatility(s: Any, o: Any) -> None:
    total = 0.0
    later = s.mid
    for k in range(1, _VOLATILITY_SAMPLES + 1):
        earlier = mid_before(s, k * SAMPLE_NS)
        if math.isnan(earlier):
            refuse(o, _VOLATILITY, s.whole_cause[_BOOK])
            return
        change = math.log(later / earlier)
        total += change * change
        later = earlier
    put(o, _VOLATILITY, math.sqrt(total))


@kernel
def put_flow(s: Any, o: Any, as_of: int) -> None:
    """(buys - sells)/(buys + sells) of taker volume; a window without a trade leans to no side: 0."""
    for i in range(2):
        reason = window_reason(s, _TRADES, as_of, _TRADE_WINDOWS_NS[i])
        if s.seen[_TRADES] < 0:
            reason = _NO_DATA
        if reason != _READY:
            refuse(o, _TAKER + i, reason)
            continue
        buys = window_sum(s, s.buys, _TRADE_WINDOWS_NS[i])
        sells = window_sum(s, s.sells, _TRADE_WINDOWS_NS[i])
        put(o, _TAKER + i, (buys - sells) / (buys + sells) if buys + sells > 0.0 else 0.0)


@kernel
def emit(s: Any, as_of: int, o: Any) -> None:
    """Everything that one vector says, from the state before the event that crossed `as_of`."""
    o.as_of = as_of
    o.last_price = s.last_price
    for channel in range(N_CHANNELS):
        o.ages[channel] = max(as_of - s.seen[channel], 0) if s.seen[channel] >= 0 else -1
    put_bars(s, o)
    put_book_now(s, o)
    put_book_windows(s, o, as_of)
    put_flow(s, o, as_of)
