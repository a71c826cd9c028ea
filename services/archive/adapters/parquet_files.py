"""Closed Parquet files and the progress file beside them."""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from pathlib import Path

from libs.wire.archive import ArchiveDamaged, ArchivedRecord, ArchiveReader, ArchiveWriter
from libs.wire.progress import Progress, ProgressUnreadable, SessionProgress, read_progress, write_progress
from services.archive.domain import MarketTimes, Partition


class FolderTaken(SystemExit):
    """Another archive writes into the folder; a process that does not catch it ends with code 1 and the message."""


class FolderProblem(SystemExit):
    """The folder holds what this archive cannot go on from; the message names it and ends the process with code 1."""


class ParquetFiles:
    """An archive's folder; this process is its only writer. What a killed writer left half-done is removed at once.

    Raises FolderTaken, and FolderProblem for another version's folder or files that it cannot read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise FolderTaken(f"archive: another process writes into {folder}") from error
        self._folder = folder
        try:
            self._look()
        except (ArchiveDamaged, ProgressUnreadable) as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> FolderProblem:
        return FolderProblem(f"archive: {error}; mend the folder {self._folder} or move it away")

    def _look(self) -> None:
        folder = self._folder
        self._writer = ArchiveWriter(folder)
        self._reader = ArchiveReader(folder)
        self.removed = self._writer.remove_temporary()
        self._next = {
            (topic, number): offset
            for topic in self._reader.topics()
            for number in self._reader.partitions(topic)
            if (offset := self._reader.next_offset(topic, number)) is not None
        }
        progress = read_progress(folder)
        self._sessions = dict(progress.sessions) if progress is not None else {}

    def next_offset(self, partition: Partition) -> int | None:
        return self._next.get((partition.topic, partition.number))

    def write(self, partition: Partition, records: Sequence[ArchivedRecord]) -> None:
        self._writer.write(records)
        self._next[partition.topic, partition.number] = records[-1].offset + 1

    def stale_from(self, partition: Partition) -> int | None:
        """The first archived offset whose times progress may not know: a kill fell between file and progress."""
        known = [seen.offset + 1 for seen in self._sessions.values() if seen.partition == partition.number]
        archived = self.next_offset(partition)
        start = max(known, default=0)
        return start if archived is not None and start < archived else None

    def archived(self, partition: Partition, from_offset: int) -> list[ArchivedRecord]:
        """Raises FolderProblem."""
        try:
            return list(self._reader.records(partition.topic, partition.number, from_offset, allow_holes=True))
        except ArchiveDamaged as error:
            raise self._problem(error) from error

    def note_times(self, partition: Partition, offset: int, times: MarketTimes) -> None:
        key = (times.instrument, times.session)
        before = self._sessions.get(key)
        until = max(times.until, before.until) if before is not None else times.until
        ended = times.ended or (before is not None and before.ended)
        self._sessions[key] = SessionProgress(until, partition.number, offset, ended)

    def publish_progress(self) -> None:
        write_progress(self._folder, Progress(self._next, self._sessions))

    def close(self) -> None:
        self._lock.close()
