"""Collects records by partition and closes them into files; what is not in a file yet is read again after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.archive.domain import MARKET_TOPICS, Partition, RollPolicy
from services.archive.ports import Archived, Files, TimesReader

RECORD_BYTES = 400  # what a record takes beside its value, about

R = TypeVar("R", bound=Archived)


@dataclass(slots=True)
class OpenRun(Generic[R]):
    """Records read but not yet in a file; `since` is when the first came (seconds, any monotonic clock)."""

    since: float
    records: list[R] = field(default_factory=list)
    size: int = 0


class Archivist(Generic[R]):
    """One thread owns it. What the files raise goes through, and the same call again goes on where it stopped."""

    def __init__(self, files: Files[R], policy: RollPolicy, times_of: TimesReader) -> None:
        self._files = files
        self._policy = policy
        self._times_of = times_of
        self._open: dict[Partition, OpenRun[R]] = {}
        self._written: dict[Partition, int] = {}  # since progress was told

    def take(self, partition: Partition, record: R, now: float) -> None:
        """Add a record to its partition's run. A jump of offsets closes the run first: a file has no holes inside."""
        run = self._open.get(partition)
        if run is not None and record.offset != run.records[-1].offset + 1:
            self._close(partition)
            run = None
        if run is None:
            run = self._open[partition] = OpenRun(now)
        run.records.append(record)
        run.size += len(record.value or b"")

    def close_due(self, now: float) -> dict[Partition, int]:
        """Close what is due into files; returns the number of records written by partition."""
        if self._held() >= self._policy.memory:
            return self.close_everything()
        due = [
            partition
            for partition, run in self._open.items()
            if self._policy.is_due(len(run.records), now - run.since, run.size)
        ]
        return self._close_all(due)

    def close_everything(self) -> dict[Partition, int]:
        return self._close_all(list(self._open))

    def _held(self) -> int:
        return sum(run.size + RECORD_BYTES * len(run.records) for run in self._open.values())

    def _close_all(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        for partition in partitions:
            self._close(partition)
        if self._written:
            self._files.publish_progress()
        written, self._written = self._written, {}
        return written

    def _close(self, partition: Partition) -> None:
        records = self._open[partition].records
        self._files.write(partition, records)
        del self._open[partition]
        self._written[partition] = self._written.get(partition, 0) + len(records)
        if partition.topic in MARKET_TOPICS:
            self._note_times(partition, records)

    def _note_times(self, partition: Partition, records: Sequence[R]) -> None:
        for record in records:
            times = self._times_of(partition.topic, record)
            if times is not None:
                self._files.note_times(partition, record.offset, times)
