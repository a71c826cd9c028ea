"""What data ingestion needs of the world: a log that acknowledges, and a venue that can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from libs.trading.market import Bar, Channel, FeedGap, MarketEvent, RecordHead
from services.data_ingestion.domain import Announcement, FeedState, FeedStatus


class MarketLog(Protocol):
    """Where records go. Records of one instrument stay in the order of the calls."""

    def open(self, head: RecordHead, gap: FeedGap) -> Future[int]:
        """Send the record that opens an epoch; the future is its offset, or fails when the broker refuses."""

    def append(self, head: RecordHead, events: Sequence[MarketEvent]) -> None:
        """Send one record of `market.events` without waiting; a refusal ends the feed's epoch."""

    def backfill(self, head: RecordHead, events: Sequence[MarketEvent]) -> Future[int]:
        """Send one record of `market.backfill`; the future is its offset."""

    def bury(self, instrument: str, frame: bytes, reason: str) -> None:
        """Send a frame that could not be used to `market.events.dead`, as it came."""


class InstrumentFeed(Protocol):
    """One instrument's side of a connection; `services.data_ingestion.handlers.feed.Feed` says what each call does."""

    @property
    def symbol(self) -> str: ...

    @property
    def instrument(self) -> str: ...

    @property
    def announcement(self) -> Announcement | None: ...

    @property
    def wants_snapshot(self) -> bool: ...

    def connecting(self) -> None: ...

    def open(self, announcement: Announcement, gap: FeedGap | None, wall_ns: int, reason: str = "") -> Future[int]: ...

    def opened(self, epoch: int) -> None: ...

    def announce(self, announcement: Announcement) -> bool: ...

    def take(
        self, channel: Channel, events: Sequence[MarketEvent], wall_ns: int, frame: bytes = b""
    ) -> FeedGap | None: ...

    def malformed(self, channel: Channel, frame: bytes, reason: str, wall_ns: int) -> FeedGap | None: ...

    def quiet(self, wall_ns: int) -> None: ...

    def end(self, wall_ns: int) -> None: ...

    def lost(self, error: str, state: FeedState = FeedState.WAITING) -> None: ...

    def status(self) -> FeedStatus: ...


class Feeds(Protocol):
    """The feeds that are followed; may be called from any thread."""

    def statuses(self) -> list[FeedStatus]: ...

    def add(self, symbol: str) -> FeedStatus: ...

    def remove(self, symbol: str) -> None: ...


class Meter(Protocol):
    """What is counted of one instrument, under the name it has at the time."""

    def gap(self, instrument: str) -> None: ...

    def quarantined(self, instrument: str) -> None: ...

    def malformed(self, instrument: str) -> None: ...


class Venue(Protocol):
    """The venue's answers over HTTP."""

    def announcement(self, symbol: str) -> Announcement:
        """What the source says of a symbol now. Raises NoSource, or VenueUnavailable when it does not answer."""

    def klines(self, symbol: str, from_ns: int, to_ns: int) -> list[Bar]:
        """One-minute bars that open within [from_ns, to_ns), oldest first, the newest 1000 at most.

        Raises VenueUnavailable, or NoSource when the venue refuses the question."""


class VenueUnavailable(Exception):
    """The venue does not answer; the message holds the address and what happened."""
