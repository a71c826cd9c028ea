"""Market events and records with everything filled in, and hypothesis strategies of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from libs.trading.market import (
    Bar,
    BookUpdate,
    Channel,
    FeedGap,
    Liquidation,
    MarketEvent,
    Provenance,
    RecordHead,
    Seed,
    SessionClock,
    SessionEnd,
    Side,
    Tick,
    Ticker,
    Trade,
)

INSTRUMENT = "bybit.linear.BTCUSDT"


def a_head(**changes: Any) -> RecordHead:
    fields: dict[str, Any] = {
        "instrument": INSTRUMENT,
        "session": "session-1",
        "epoch": 7,
        "seq": 3,
        "provenance": Provenance.SIMULATED,
        "received_time": 1_700_000_000_000_000_000,
        "clock": SessionClock(10, 20, 1.0),
    }
    return RecordHead(**(fields | changes))


def a_trade(**changes: Any) -> Trade:
    fields: dict[str, Any] = {
        "event_time": 1_700_000_000_000_000_000,
        "price": 100.0,
        "size": 0.5,
        "taker_side": Side.BUY,
        "trade_id": "42",
    }
    return Trade(**(fields | changes))


def a_book(**changes: Any) -> BookUpdate:
    fields: dict[str, Any] = {
        "event_time": 1_700_000_000_000_000_000,
        "update_id": 5,
        "snapshot": False,
        "bids": ((99.5, 1.0), (99.0, 0.0)),
        "asks": ((100.5, 2.0),),
    }
    return BookUpdate(**(fields | changes))


times = st.integers(0, 2**62)
prices = st.floats(1e-9, 1e9)
sizes = st.floats(1e-9, 1e9)
level_sizes = st.one_of(st.just(0.0), sizes)
sides = st.sampled_from(Side)
numbers = st.floats(-1e9, 1e9)
levels = st.lists(st.tuples(prices, level_sizes), max_size=6).map(tuple)
trades = st.builds(Trade, times, prices, sizes, sides, st.text(min_size=1, max_size=36))
books = st.builds(BookUpdate, times, st.integers(0, 2**62), st.booleans(), levels, levels)
bars = st.builds(
    lambda start, length, o, h, low, c, v: Bar(start, start + length, o, h, low, c, v),
    st.integers(0, 2**61),
    st.integers(1, 2**60),
    prices,
    prices,
    prices,
    prices,
    level_sizes,
)
tickers = st.builds(
    Ticker,
    times,
    *(st.none() | numbers for _ in range(3)),
    st.none() | times,
    *(st.none() | numbers for _ in range(2)),
)
ids = st.integers(0, 2**62)
events: st.SearchStrategy[MarketEvent] = st.one_of(
    trades,
    books,
    tickers,
    st.builds(Liquidation, times, sides, prices, sizes),
    st.builds(Tick, times),
    st.builds(FeedGap, times, st.sampled_from(Channel), ids, ids, st.text(max_size=20)),
    bars,
    st.builds(SessionEnd, times),
    st.builds(Seed, st.lists(bars, min_size=1, max_size=3).map(tuple)),
)
event_lists = st.lists(events, max_size=8)
clocks = st.builds(SessionClock, times, times, st.floats(0.0, 1e6))
heads = st.builds(
    RecordHead,
    st.just(INSTRUMENT),
    st.text(min_size=1, max_size=20),
    times,
    times,
    st.sampled_from(Provenance),
    times,
    clocks,
)
