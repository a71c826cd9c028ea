"""What the archive needs: somewhere to put whole files, and a reader of market times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from services.archive.domain import MarketTimes, Partition


class Archived(Protocol):
    """A record as it will be archived."""

    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


R = TypeVar("R", bound=Archived, contravariant=True)


class Files(Protocol[R]):
    """Closed files: each appears whole or not at all. A call that fails may be made again."""

    def next_offset(self, partition: Partition) -> int | None:
        """One after the last archived record; None without files."""

    def write(self, partition: Partition, records: Sequence[R]) -> None:
        """Make files of records whose offsets rise by 1; durable when it returns."""

    def publish_progress(self) -> None:
        """Tell readers how far the files go. Called after the files are there."""

    def note_times(self, partition: Partition, offset: int, times: MarketTimes) -> None:
        """Remember, for the next `publish_progress`, how far a session is archived."""


class RecordTaker(Protocol[R]):
    """What a reader of the log gives its records to."""

    def take(self, partition: Partition, record: R, now: float) -> None:
        """Add a record that follows the partition's last one, or comes after a hole; `now` in seconds, monotonic."""

    def close_due(self, now: float) -> dict[Partition, int]:
        """Close what is due into files; returns the number of records written by partition."""

    def close_everything(self) -> dict[Partition, int]:
        """Close all of it into files; as `close_due`."""


class TimesReader(Protocol):
    def __call__(self, topic: str, record: Archived, /) -> MarketTimes | None:
        """What a market record says of time; None when it says nothing or cannot be read."""
