"""When an open run of records becomes a file, and what a run is."""

from __future__ import annotations

from dataclasses import dataclass

MARKET_TOPICS = frozenset({"market.events"})  # whose records tell how far a session is


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of one topic; the topic is without the environment's prefix."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class RollPolicy:
    """A file is closed when it holds `rows` records or `size` bytes, or when its first record has waited `seconds`; all
    are when they hold `memory` bytes together, as while catching up."""

    rows: int
    seconds: float
    size: int = 32 * 1024 * 1024
    memory: int = 128 * 1024 * 1024

    def is_due(self, rows: int, waited_s: float, size: int = 0) -> bool:
        return rows > 0 and (rows >= self.rows or waited_s >= self.seconds or size >= self.size)


@dataclass(frozen=True, slots=True)
class Resume:
    """Where archiving of a partition goes on, and the records that are gone before that could happen."""

    offset: int
    lost_from: int | None


class ArchiveAhead(Exception):
    """Files hold more of a partition than the log ever had: they are another environment's."""


def resume_at(archived_next: int | None, log_begins: int, log_ends: int) -> Resume:
    """Files are the truth; what the log no longer has between them and its beginning is lost, and said to be.

    Raises ArchiveAhead."""
    if archived_next is None:
        return Resume(log_begins, None)
    if archived_next > log_ends:
        raise ArchiveAhead(f"files reach to offset {archived_next - 1}, the log only to {log_ends - 1}")
    if archived_next < log_begins:
        return Resume(log_begins, archived_next)
    return Resume(archived_next, None)


@dataclass(frozen=True, slots=True)
class MarketTimes:
    """What a market record says of its session: its greatest event time (ns, session time), whether it ends it."""

    instrument: str
    session: str
    until: int
    ended: bool
