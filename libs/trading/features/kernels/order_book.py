"""Book frames: snapshot, deltas with a sequence check, best-level order flow, and what a gap or a broken book costs."""

from __future__ import annotations

import math
from typing import Any

from libs.trading.book import set_level
from libs.trading.features.kernels.state import Counter
from libs.trading.features.spec import NotReady
from libs.trading.jit import kernel
from libs.trading.market import FLAG_FIRST, FLAG_LAST, FLAG_SNAPSHOT, Channel

_BOOK = int(Channel.BOOK)
_BUY = 1
_READY = int(NotReady.READY)
_GAP = int(NotReady.GAP)
_NO_DATA = int(NotReady.NO_DATA)
_CROSSED = int(NotReady.CROSSED)
_FRAMES = int(Counter.BOOK_FRAMES)
_UNSYNCED = int(Counter.UNSYNCED_FRAMES)
_STALE = int(Counter.STALE_FRAMES)
_BROKEN = int(Counter.BROKEN_BOOKS)
_IMPOSSIBLE = int(Counter.IMPOSSIBLE_ROWS)


@kernel
def lose_book(s: Any) -> None:
    """The feed lost something: nothing that reads the book is ready until a snapshot has come."""
    s.synced = 0
    s.frame_skip = 1
    if s.seen[_BOOK] >= 0:
        s.book_reason = s.whole_cause[_BOOK]
    s.mid = math.nan


@kernel
def begin_frame(s: Any, snapshot: bool, update_id: int) -> None:
    """Decide whether the frame counts; a snapshot clears the book."""
    s.frame_skip = 0
    s.frame_snapshot = 1 if snapshot else 0
    if snapshot:
        same = s.synced == 1 and s.update_id == update_id
        s.frame_restart = 0 if same else 1
        if s.synced == 1 and not same:
            s.whole_cause[_BOOK] = _GAP
        s.n_bid = 0
        s.n_ask = 0
    elif s.synced == 0:
        s.frame_skip = 1
        s.counters[_UNSYNCED] += 1
    elif update_id < s.update_id:
        s.frame_skip = 1
        s.counters[_STALE] += 1


@kernel
def best_flow(before: Any, bid: float, bid_size: float, ask: float, ask_size: float) -> float:
    """Order-flow imbalance of one change of the best levels, base units (Cont, Kukanov, Stoikov 2014, eq. 10)."""
    flow = 0.0
    if bid >= before[0]:
        flow += bid_size
    if bid <= before[0]:
        flow -= before[1]
    if ask <= before[2]:
        flow -= ask_size
    if ask >= before[2]:
        flow += before[3]
    return flow


@kernel
def end_frame(s: Any) -> None:
    """Take the best levels after the frame, and the flow since the frame before where both are good."""
    s.counters[_FRAMES] += 1
    was_good = s.synced == 1 and s.book_reason == _READY
    if s.n_bid == 0 or s.n_ask == 0:
        s.book_reason = _NO_DATA
    elif s.bid_price[s.n_bid - 1] >= s.ask_price[s.n_ask - 1]:
        s.book_reason = _CROSSED
    else:
        s.book_reason = _READY
    if s.frame_snapshot == 1:
        s.synced = 1
    if s.book_reason != _READY:
        s.counters[_BROKEN] += 1
        s.whole_cause[_BOOK] = s.book_reason
        s.mid = math.nan
        return
    bid, bid_size = s.bid_price[s.n_bid - 1], s.bid_size[s.n_bid - 1]
    ask, ask_size = s.ask_price[s.n_ask - 1], s.ask_size[s.n_ask - 1]
    if s.frame_snapshot == 0 and was_good:
        s.flow[0] += best_flow(s.best, bid, bid_size, ask, ask_size)
    elif s.frame_snapshot == 0 or s.frame_restart == 1 or not was_good:
        s.whole_from[_BOOK] = s.watermark
    s.best[0], s.best[1], s.best[2], s.best[3] = bid, bid_size, ask, ask_size
    s.mid = (bid + ask) / 2.0


@kernel
def apply_level(s: Any, side: int, flags: int, update_id: int, price: float, size: float) -> None:
    """One row of a book frame."""
    if flags & FLAG_FIRST:
        begin_frame(s, flags & FLAG_SNAPSHOT != 0, update_id)
    if s.frame_skip == 1:
        return
    s.update_id = update_id
    if price > 0.0 and size >= 0.0 and math.isfinite(price) and math.isfinite(size):
        if side == _BUY:
            s.n_bid = set_level(s.bid_price, s.bid_size, s.n_bid, price, size, 1)
        else:
            s.n_ask = set_level(s.ask_price, s.ask_size, s.n_ask, price, size, -1)
    elif not math.isnan(price):
        s.counters[_IMPOSSIBLE] += 1
    if flags & FLAG_LAST:
        end_frame(s)
