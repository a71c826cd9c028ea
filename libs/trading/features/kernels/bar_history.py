"""Closes bars, from trades or from imported bars but never both, and keeps the history that the indicators read."""

from __future__ import annotations

import math
from typing import Any

from libs.trading.bars import RING, bar_values
from libs.trading.features.kernels.state import (
    BARS_FROM_TRADES,
    BARS_IMPORTED,
    Counter,
)
from libs.trading.features.spec import NotReady
from libs.trading.jit import kernel
from libs.trading.market import Channel

_TRADES = int(Channel.TRADES)
_GAP = int(NotReady.GAP)
_REFUSED = int(Counter.BARS_REFUSED)
_CLOSED = int(Counter.BARS_CLOSED)
_BROKEN = int(Counter.BARS_BROKEN)


@kernel
def forget_bars(s: Any, cause: int) -> None:
    """Bars must be contiguous: after a missing one the indicators begin again."""
    if s.n_bars > 0:
        s.counters[_BROKEN] += 1
    s.n_bars = 0
    s.last_bar_end = 0
    s.bars_cause = cause


@kernel
def add_bar(s: Any, end: int, high: float, low: float, close: float, volume: float) -> None:
    """Append a closed bar that ends at `end` (ns)."""
    if s.n_bars > 0 and s.last_bar_end != end - s.bar:
        forget_bars(s, _GAP)
    place = s.n_bars % RING
    s.bar_close[place] = close
    s.bar_high[place] = high
    s.bar_low[place] = low
    s.bar_volume[place] = volume
    s.n_bars += 1
    s.last_bar_end = end
    s.carried_close = close
    s.counters[_CLOSED] += 1
    bar_values(s.bar_close, s.bar_high, s.bar_low, s.bar_volume, s.n_bars, s.emas, s.bar_values)


@kernel
def close_running_bar(s: Any, end: int) -> None:
    """The running bar of trades ends at `end`. Without a trade it repeats the last close with volume 0."""
    if s.bar_mode != BARS_FROM_TRADES:
        return
    if s.whole_from[_TRADES] > end - s.bar:
        forget_bars(s, s.whole_cause[_TRADES])
        if s.bar_has_trade == 1:
            s.carried_close = s.running[3]
    elif s.bar_has_trade == 1:
        add_bar(s, end, s.running[1], s.running[2], s.running[3], s.running[4])
    elif not math.isnan(s.carried_close):
        add_bar(s, end, s.carried_close, s.carried_close, s.carried_close, 0.0)
    s.bar_has_trade = 0


@kernel
def trade_into_bar(s: Any, price: float, size: float) -> None:
    if s.bar_mode == BARS_IMPORTED:
        return
    s.bar_mode = BARS_FROM_TRADES
    if s.bar_has_trade == 0:
        s.bar_has_trade = 1
        s.running[0] = price
        s.running[1] = price
        s.running[2] = price
        s.running[4] = 0.0
    s.running[1] = max(s.running[1], price)
    s.running[2] = min(s.running[2], price)
    s.running[3] = price
    s.running[4] += size


@kernel
def lose_trades(s: Any, cause: int) -> None:
    """Trades were lost: the running bar is worthless and so is a history that it would continue."""
    if s.bar_mode == BARS_IMPORTED:
        return  # imported bars show what is missing by their own times
    s.bar_has_trade = 0
    s.carried_close = math.nan
    forget_bars(s, cause)


@kernel
def import_bar(s: Any, open_time: int, end: int, seed: bool) -> bool:
    """Take the staged bar over [open_time, end); False when it is refused.

    Imported bars and bars from trades exclude each other, whichever came first. A seed warms an empty history, or goes
    on with it, up to the beginning of the running bar. Closed bars never reopen.
    """
    high, low, close, volume = s.staged[1], s.staged[2], s.staged[3], s.staged[4]
    good = end - open_time == s.bar and end % s.bar == 0 and low > 0.0 and volume >= 0.0
    good = good and math.isfinite(high) and math.isfinite(volume) and low <= close <= high
    from_trades = s.bar_mode == BARS_FROM_TRADES
    if seed and from_trades:
        good = good and end <= s.watermark - s.watermark % s.bar and (s.n_bars == 0 or open_time == s.last_bar_end)
    if not good or open_time < s.last_bar_end or (from_trades and not seed):
        s.counters[_REFUSED] += 1
        return False
    if not seed:
        s.bar_mode = BARS_IMPORTED
    add_bar(s, end, high, low, close, volume)
    return True
