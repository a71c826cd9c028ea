"""What may be written into the log: who a source is, which book frames follow, what is ahead, when it is quiet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from urllib.parse import urlsplit

from libs.trading.market import (
    NS_PER_SECOND,
    Bar,
    BookUpdate,
    MarketEvent,
    Provenance,
    Seed,
    SessionClock,
    Tick,
)

QUARANTINE_NS = 2 * NS_PER_SECOND
QUIET_NS = NS_PER_SECOND
LIVE_SESSION = "live"
VENUE_HOSTS = frozenset(
    {
        "api.bybit.com",
        "api.bytick.com",
        "api.bybit.nl",
        "api.bybit.eu",
        "stream.bybit.com",
        "stream.bytick.com",
        "stream.bybit.nl",
        "stream.bybit.eu",
    }
)


class SourceState(StrEnum):
    """What a source says of its session; the venue's own one is always TRADING."""

    PLAYING_TRAINING = "PLAYING_TRAINING"
    WAITING = "WAITING"
    TRADING = "TRADING"
    ENDED = "ENDED"


class FeedState(StrEnum):
    CONNECTING = "CONNECTING"
    SYNCHRONISING = "SYNCHRONISING"
    STREAMING = "STREAMING"
    WAITING = "WAITING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a source says about one symbol: the instrument it is, the session, and how its clock runs."""

    session: str
    instrument: str
    symbol: str
    provenance: Provenance
    clock: SessionClock
    state: SourceState


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How one feed stands. `epoch` is None before its first opening gap is acknowledged."""

    instrument: str
    symbol: str
    state: FeedState
    session: str
    epoch: int | None
    next_seq: int
    provenance: Provenance | None
    clock: SessionClock | None
    last_event_time: int
    events: int
    gaps: int
    quarantined: int
    last_error: str


class NoSource(Exception):
    """A host that may not be a source, or one that does not offer the symbol; the message says which and why."""


def is_the_venue(http_url: str, stream_url: str) -> bool:
    """Whether both addresses are the venue's own, over TLS; nothing else is LIVE, whatever it says of itself."""
    http, stream = urlsplit(http_url), urlsplit(stream_url)
    return (
        http.scheme == "https"
        and stream.scheme == "wss"
        and http.hostname in VENUE_HOSTS
        and stream.hostname in VENUE_HOSTS
        and http.port in (None, 443)
        and stream.port in (None, 443)
    )


def live_announcement(instrument: str, symbol: str, clock_offset_ns: int) -> Announcement:
    """The venue's one session: wall time, corrected to the venue's clock (`clock_offset_ns` = venue - ours)."""
    clock = SessionClock(0, clock_offset_ns, 1.0)
    return Announcement(LIVE_SESSION, instrument, symbol, Provenance.LIVE, clock, SourceState.TRADING)


def announced(announcements: Iterable[Announcement], symbol: str, host: str) -> Announcement:
    """What a self-announcing source says of a symbol. Raises NoSource without one, or when it says LIVE."""
    offered = list(announcements)
    for announcement in offered:
        if announcement.symbol == symbol:
            if announcement.provenance is Provenance.LIVE:
                raise NoSource(f"{host} calls itself LIVE, which only the venue's own hosts over TLS are")
            return announcement
    names = ", ".join(sorted(each.symbol for each in offered)) or "nothing"
    raise NoSource(f"unknown symbol {symbol}: {host} offers {names}")


class BookVerdict(Enum):
    """ACCEPT: follows. DROP: says nothing new, or waits for a snapshot. GAP: updates were lost before this one."""

    ACCEPT = "accept"
    DROP = "drop"
    GAP = "gap"


def judge_book(last_update_id: int | None, update: BookUpdate) -> BookVerdict:
    """Whether a book frame follows the last one; `last_update_id` None waits for a snapshot.

    A snapshot that repeats the last id or follows it by one is no gap; any other one means that updates were lost."""
    if last_update_id is None:
        return BookVerdict.ACCEPT if update.snapshot else BookVerdict.DROP
    step = update.update_id - last_update_id
    if step == 1 or (step == 0 and update.snapshot):
        return BookVerdict.ACCEPT
    return BookVerdict.DROP if step == 0 else BookVerdict.GAP


def time_of(event: MarketEvent) -> int:
    """The event time (ns, session time); of bars their close."""
    if isinstance(event, Tick):
        return event.time
    if isinstance(event, Bar):
        return event.close_time
    if isinstance(event, Seed):
        return max((bar.close_time for bar in event.bars), default=0)
    return event.event_time


def is_ahead(event: MarketEvent, received_time: int) -> bool:
    """Whether an event's time is more than two seconds ahead of when we received it, both in session time."""
    return time_of(event) > received_time + QUARANTINE_NS


def tick_due(announcement: Announcement, now: int, heard: int, last_tick: int, quiet_wall_ns: int) -> int | None:
    """The time of the Tick to write now, if any (ns, session time).

    `heard` is when the last event or tick came, in session time. A clock that waits says so once, after a second of
    wall time; while a source plays slice by slice with a standing clock, quiet means nothing."""
    if announcement.clock.rate > 0.0:
        return now if now - heard >= QUIET_NS else None
    if announcement.state is SourceState.WAITING and quiet_wall_ns >= QUIET_NS and last_tick < now:
        return now
    return None


def retry_delay_s(failures: int, chance: float) -> float:
    """Seconds to wait after failures in a row: doubling from 0.25 to 30, the upper half left to chance (0..1)."""
    longest = min(30.0, 0.25 * 2.0 ** min(failures, 10))
    return longest * (0.5 + 0.5 * chance)
