"""One instrument's feed: turns what a venue says into records, opens epochs, keeps count."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from libs.trading.market import BookUpdate, Channel, FeedGap, MarketEvent, RecordHead, SessionEnd, Tick
from services.data_ingestion.domain import (
    Announcement,
    BookVerdict,
    FeedState,
    FeedStatus,
    is_ahead,
    judge_book,
    tick_due,
    time_of,
)
from services.data_ingestion.ports import MarketLog, Meter


class Feed:
    """Owned by one thread. Wall times are ns since 1970 UTC.

    The life of an epoch: `gap` (or the start) → `open` writes the FeedGap → `opened` with its acknowledged offset →
    `take` writes records under it until the next gap. Between `open` and `opened` nothing may be taken.
    """

    def __init__(self, symbol: str, instrument: str, log: MarketLog, meter: Meter) -> None:
        self.symbol = symbol
        self.state = FeedState.CONNECTING
        self.last_error = ""
        self._named = instrument
        self._log, self._meter = log, meter
        self._announcement: Announcement | None = None
        self._epoch: int | None = None
        self._seq = 0
        self._book: int | None = None  # update id of the last book frame written; None waits for a snapshot
        self._lost: set[Channel] = set()  # channels with a gap and no good frame since
        self._received = 0
        self._heard, self._heard_wall = 0, 0
        self._last_tick = 0
        self._last_event_time = 0
        self._events = self._gaps = self._quarantined = 0

    @property
    def instrument(self) -> str:
        return self._announcement.instrument if self._announcement else self._named

    @property
    def announcement(self) -> Announcement | None:
        return self._announcement

    @property
    def wants_snapshot(self) -> bool:
        return self._book is None

    def connecting(self) -> None:
        self.state = FeedState.CONNECTING

    def open(self, announcement: Announcement, gap: FeedGap | None, wall_ns: int, reason: str = "") -> Future[int]:
        """Write the gap that opens an epoch (without one: of every channel, for `reason`); the future is the epoch."""
        if self._announcement is None or self._announcement.session != announcement.session:
            self._received = self._last_tick = self._last_event_time = 0
        self._announcement = announcement
        now = announcement.clock.session_time(wall_ns)
        if gap is None:
            gap = FeedGap(now, Channel.ALL, self._book or 0, 0, reason)
            self._lost.clear()
        if gap.channel in (Channel.ALL, Channel.BOOK):
            self._book = None
        self.state = FeedState.SYNCHRONISING
        self._epoch, self._seq = None, 0
        self._hear(now, wall_ns)
        return self._log.open(self._head(announcement, 0, 0, wall_ns), gap)

    def opened(self, epoch: int) -> None:
        self._epoch = epoch
        self._gaps += 1
        self._meter.gap(self.instrument)
        self._became_whole()

    def announce(self, announcement: Announcement) -> bool:
        """Take over a change of the session's clock or state; False when it is another session, which needs `open`."""
        if self._announcement is None or announcement.session != self._announcement.session:
            return False
        self._announcement = announcement
        return True

    def take(self, channel: Channel, events: Sequence[MarketEvent], wall_ns: int, frame: bytes = b"") -> FeedGap | None:
        """Write one frame's events. A returned gap is not written yet: open an epoch with it, then take it again."""
        announcement = self._opened()
        now = announcement.clock.session_time(wall_ns)
        kept = [event for event in events if not is_ahead(event, now)]
        gap = self._judge(events, kept, now) if channel is Channel.BOOK else None
        if gap is not None:
            return gap  # it comes again, and only then is it counted
        if len(kept) < len(events):
            self._quarantine(len(events) - len(kept), frame)
        if channel is Channel.BOOK and (not kept or self._book_waits(kept)):
            return None
        self._lost.discard(channel)
        if kept:
            self._write(announcement, kept, wall_ns)
            self._hear(now, wall_ns)
        return None

    def malformed(self, channel: Channel, frame: bytes, reason: str, wall_ns: int) -> FeedGap | None:
        """Bury a frame that cannot be read; a gap when it is the first of its channel that is lost."""
        self._meter.malformed(self.instrument)
        self._log.bury(self.instrument, frame, reason)
        self.last_error = reason
        if channel in self._lost or (channel is Channel.BOOK and self._book is None):
            return None
        self._lost.add(channel)
        now = self._opened().clock.session_time(wall_ns)
        return FeedGap(now, channel, self._book or 0, 0, f"malformed frame: {reason}"[:200])

    def quiet(self, wall_ns: int) -> None:
        """Write a Tick when nothing was heard for a second; call it often."""
        if self._announcement is None or self._epoch is None or self.state is FeedState.ENDED:
            return
        now = self._announcement.clock.session_time(wall_ns)
        due = tick_due(self._announcement, now, self._heard, self._last_tick, wall_ns - self._heard_wall)
        if due is not None:
            self._write(self._announcement, [Tick(due)], wall_ns)
            self._last_tick = due
            self._hear(now, wall_ns)

    def end(self, wall_ns: int) -> None:
        """Write the session's end, once."""
        if self._announcement is not None and self._epoch is not None:
            self._write(self._announcement, [SessionEnd(self._announcement.clock.session_time(wall_ns))], wall_ns)
            self._epoch = None
        self.state = FeedState.ENDED

    def lost(self, error: str, state: FeedState = FeedState.WAITING) -> None:
        """The connection is gone; nothing is written until the next `open`."""
        self._epoch = None
        self.state, self.last_error = state, error

    def status(self) -> FeedStatus:
        announcement = self._announcement
        return FeedStatus(
            instrument=self.instrument,
            symbol=self.symbol,
            state=self.state,
            session=announcement.session if announcement else "",
            epoch=self._epoch,
            next_seq=self._seq,
            provenance=announcement.provenance if announcement else None,
            clock=announcement.clock if announcement else None,
            last_event_time=self._last_event_time,
            events=self._events,
            gaps=self._gaps,
            quarantined=self._quarantined,
            last_error=self.last_error,
        )

    def _opened(self) -> Announcement:
        if self._announcement is None or self._epoch is None:
            raise RuntimeError(f"{self.symbol}: a frame was taken before its epoch was opened")
        return self._announcement

    def _judge(self, events: Sequence[MarketEvent], kept: Sequence[MarketEvent], now: int) -> FeedGap | None:
        """The gap before a book frame, if any; a frame that was quarantined is lost like one that never came."""
        [update] = events
        if not isinstance(update, BookUpdate):
            raise TypeError(f"not a book frame: {update}")
        last = self._book
        if not kept:
            return (
                None if last is None else FeedGap(now, Channel.BOOK, last, update.update_id, "book frame quarantined")
            )
        if judge_book(last, update) is not BookVerdict.GAP:
            return None
        reason = f"snapshot {update.update_id} after {last}" if update.snapshot else f"{update.update_id} after {last}"
        return FeedGap(now, Channel.BOOK, last or 0, update.update_id, f"update ids jump: {reason}")

    def _book_waits(self, kept: Sequence[MarketEvent]) -> bool:
        """Whether a book frame is to be dropped; else remember it as the last one."""
        update = kept[0]
        if not isinstance(update, BookUpdate) or judge_book(self._book, update) is BookVerdict.DROP:
            return True
        self._book = update.update_id
        self._lost.discard(Channel.ALL)
        self._became_whole()
        return False

    def _became_whole(self) -> None:
        if self._book is not None and self.state is not FeedState.STREAMING:
            self.state, self.last_error = FeedState.STREAMING, ""

    def _quarantine(self, events: int, frame: bytes) -> None:
        self._quarantined += events
        self._meter.quarantined(self.instrument)
        self._log.bury(self.instrument, frame, "event time is more than 2 s ahead of the session's clock")

    def _hear(self, now: int, wall_ns: int) -> None:
        self._heard, self._heard_wall = now, wall_ns

    def _write(self, announcement: Announcement, events: Sequence[MarketEvent], wall_ns: int) -> None:
        if self._epoch is None:
            raise RuntimeError(f"{self.symbol}: nothing may be written outside an epoch")
        self._log.append(self._head(announcement, self._epoch, self._seq, wall_ns), events)
        self._seq += 1
        self._events += len(events)
        self._last_event_time = max(self._last_event_time, time_of(events[-1]))

    def _head(self, announcement: Announcement, epoch: int, seq: int, wall_ns: int) -> RecordHead:
        """Received times never go back within a session, whatever its clock is told."""
        self._received = max(self._received, announcement.clock.session_time(wall_ns))
        return RecordHead(
            instrument=announcement.instrument,
            session=announcement.session,
            epoch=epoch,
            seq=seq,
            provenance=announcement.provenance,
            received_time=self._received,
            clock=announcement.clock,
        )
