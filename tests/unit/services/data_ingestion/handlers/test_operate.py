"""What an operator may ask: refusals are named, and bars that are missed come from the venue, closed ones only."""

from __future__ import annotations

import pytest

from libs.trading.market import Bar, Provenance, SessionClock
from services.data_ingestion.domain import Announcement, FeedStatus, NoSource, SourceState
from services.data_ingestion.handlers.feed import Feed
from services.data_ingestion.handlers.operate import MINUTE_NS, BadStretch, Operations, UnknownInstrument
from tests.fakes.market_log import CountingMeter, RememberingLog

INSTRUMENT = "bybit.linear.BTCUSDT"
NOW = 100_000 * MINUTE_NS


class OneSymbolVenue:
    """Offers BTCUSDT and has a bar for every minute."""

    def announcement(self, symbol: str) -> Announcement:
        if symbol != "BTCUSDT":
            raise NoSource(f"unknown symbol {symbol}")
        clock = SessionClock(0, 0, 1.0)
        return Announcement("s", INSTRUMENT, symbol, Provenance.SIMULATED, clock, SourceState.TRADING)

    def klines(self, symbol: str, from_ns: int, to_ns: int) -> list[Bar]:
        first = -(-from_ns // MINUTE_NS) * MINUTE_NS
        return [Bar(t, t + MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 0.0) for t in range(first, to_ns, MINUTE_NS)][-1000:]


class RememberedFeeds:
    def __init__(self) -> None:
        self.symbols: list[str] = []

    def statuses(self) -> list[FeedStatus]:
        return [self._status(symbol) for symbol in self.symbols]

    def add(self, symbol: str) -> FeedStatus:
        self.symbols.append(symbol)
        return self._status(symbol)

    def remove(self, symbol: str) -> None:
        self.symbols.remove(symbol)

    def _status(self, symbol: str) -> FeedStatus:
        return Feed(symbol, f"bybit.linear.{symbol}", RememberingLog(), CountingMeter()).status()


@pytest.fixture
def feeds() -> RememberedFeeds:
    return RememberedFeeds()


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


@pytest.fixture
def operations(feeds: RememberedFeeds, log: RememberingLog) -> Operations:
    return Operations(feeds, OneSymbolVenue(), log, lambda: NOW)


def test_an_instrument_is_added_once(operations: Operations, feeds: RememberedFeeds) -> None:
    operations.add(INSTRUMENT)
    operations.add(INSTRUMENT)
    assert feeds.symbols == ["BTCUSDT"]
    operations.remove(INSTRUMENT)
    assert feeds.symbols == []


def test_an_instrument_that_the_source_does_not_offer_is_refused(
    operations: Operations, feeds: RememberedFeeds
) -> None:
    with pytest.raises(NoSource, match="unknown symbol DOGEUSDT"):
        operations.add("bybit.linear.DOGEUSDT")
    with pytest.raises(UnknownInstrument, match=r"offers bybit\.linear\.BTCUSDT"):
        operations.add("binance.spot.BTCUSDT")
    assert feeds.symbols == []


def test_an_unknown_feed_is_named_with_those_that_are_there(operations: Operations) -> None:
    operations.add(INSTRUMENT)
    with pytest.raises(UnknownInstrument, match=r"no feed of x\.y\.z; there are \['bybit.linear.BTCUSDT'\]"):
        operations.feed("x.y.z")
    with pytest.raises(UnknownInstrument):
        operations.remove("x.y.z")


def test_missed_bars_are_written_page_by_page(operations: Operations, log: RememberingLog) -> None:
    operations.add(INSTRUMENT)
    assert operations.backfill(INSTRUMENT, NOW - 3000 * MINUTE_NS, NOW - 500 * MINUTE_NS) == 3
    opens = [bar.open_time for _, bars in log.backfilled for bar in bars if isinstance(bar, Bar)]
    assert opens == list(range(NOW - 3000 * MINUTE_NS, NOW - 500 * MINUTE_NS, MINUTE_NS))
    assert [head.seq for head, _ in log.backfilled] == [0, 1, 2]
    assert log.records == []


def test_a_minute_that_is_not_over_is_left_out(operations: Operations, log: RememberingLog) -> None:
    operations.add(INSTRUMENT)
    operations.backfill(INSTRUMENT, NOW - 5 * MINUTE_NS, NOW + 5 * MINUTE_NS)
    [(_, bars)] = log.backfilled
    assert all(isinstance(bar, Bar) and bar.close_time <= NOW for bar in bars)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (9, 5), (-1, 5), (0, 40 * 24 * 60 * MINUTE_NS)])
def test_a_stretch_that_is_none_or_too_long_is_refused(operations: Operations, start: int, end: int) -> None:
    operations.add(INSTRUMENT)
    with pytest.raises(BadStretch):
        operations.backfill(INSTRUMENT, start, end)
