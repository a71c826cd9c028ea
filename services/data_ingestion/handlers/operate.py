"""What an operator may ask of the feeds: how they stand, one more, one less, bars of a missed stretch."""

from __future__ import annotations

from collections.abc import Callable

from libs.trading.market import NS_PER_SECOND, RecordHead
from services.data_ingestion.domain import Announcement, FeedStatus
from services.data_ingestion.ports import Feeds, MarketLog, Venue

MINUTE_NS = 60 * NS_PER_SECOND
PAGE_NS = 1000 * MINUTE_NS
MAX_BACKFILL_NS = 31 * 24 * 60 * MINUTE_NS
ACKNOWLEDGE_S = 30.0


class UnknownInstrument(Exception):
    """No feed has this instrument; the message lists those that are there."""


class BadStretch(ValueError):
    """A stretch of time that cannot be asked for; the message says why."""


class Operations:
    """`wall_ns` is our clock. Venue calls raise NoSource and VenueUnavailable."""

    def __init__(self, feeds: Feeds, venue: Venue, log: MarketLog, wall_ns: Callable[[], int]) -> None:
        self._feeds, self._venue, self._log, self._wall_ns = feeds, venue, log, wall_ns

    def all_feeds(self) -> list[FeedStatus]:
        return self._feeds.statuses()

    def feed(self, instrument: str) -> FeedStatus:
        """Raises UnknownInstrument."""
        statuses = self._feeds.statuses()
        for status in statuses:
            if status.instrument == instrument:
                return status
        raise UnknownInstrument(f"no feed of {instrument}; there are {[status.instrument for status in statuses]}")

    def add(self, instrument: str) -> FeedStatus:
        """Follow an instrument that the source offers; the feed of it when there is one already."""
        for status in self._feeds.statuses():
            if status.instrument == instrument:
                return status
        symbol = instrument.rpartition(".")[2]
        offered = self._venue.announcement(symbol).instrument
        if offered != instrument:
            raise UnknownInstrument(f"the source offers {offered} under the symbol {symbol}, not {instrument}")
        return self._feeds.add(symbol)

    def remove(self, instrument: str) -> None:
        """Raises UnknownInstrument."""
        self._feeds.remove(self.feed(instrument).symbol)

    def backfill(self, instrument: str, from_ns: int, to_ns: int) -> int:
        """Write the venue's closed one-minute bars that open within [from_ns, to_ns) to `market.backfill`.

        Returns the number of acknowledged records, one for each page of the venue.

        Raises UnknownInstrument, BadStretch, NoSource, VenueUnavailable."""
        if not 0 <= from_ns < to_ns:
            raise BadStretch(f"from {from_ns} to {to_ns} is not a stretch of time")
        if to_ns - from_ns > MAX_BACKFILL_NS:
            raise BadStretch(f"longer than {MAX_BACKFILL_NS // NS_PER_SECOND // 86_400} days; ask for parts of it")
        symbol = self.feed(instrument).symbol
        announcement = self._venue.announcement(symbol)
        now = announcement.clock.session_time(self._wall_ns())
        closed = min(to_ns, now - MINUTE_NS)  # a minute that opened later is not over yet
        records = 0
        for start in range(from_ns, closed, PAGE_NS):
            bars = self._venue.klines(symbol, start, min(start + PAGE_NS, closed))
            if bars:
                head = self._head(announcement, records, now)
                self._log.backfill(head, bars).result(ACKNOWLEDGE_S)
                records += 1
        return records

    def _head(self, announcement: Announcement, seq: int, now: int) -> RecordHead:
        return RecordHead(
            instrument=announcement.instrument,
            session=announcement.session,
            epoch=0,
            seq=seq,
            provenance=announcement.provenance,
            received_time=now,
            clock=announcement.clock,
        )
