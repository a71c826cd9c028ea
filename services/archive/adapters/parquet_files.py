"""Closed Parquet files and the progress file beside them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from libs.wire.archive import ArchiveDamaged, ArchivedRecord, ArchiveFile, ArchiveReader, ArchiveWriter
from libs.wire.places import PlaceAway, PlaceProblem, open_place
from libs.wire.progress import Progress, ProgressUnreadable, SessionProgress, read_progress, write_progress
from services.archive.adapters.one_writer import Taken, one_writer
from services.archive.domain import MarketTimes, Partition


class PlaceTaken(SystemExit):
    """Another archive writes into the place; a process that does not catch it ends with code 1 and the message."""


class ArchiveProblem(SystemExit):
    """The place holds what this archive cannot go on from, or refuses it; the message names it and ends the process
    with code 1."""


class ParquetFiles:
    """An archive in a folder or at `s3://bucket/prefix`; this process is its only writer from `open` on.

    Every method raises PlaceTaken, ArchiveProblem, and PlaceAway when the same call may work later. Raises
    ArchiveProblem for an address that is none."""

    def __init__(self, address: str, takeover_s: float) -> None:
        with self._explaining():
            self._place = open_place(address, os.environ)
        self._one = one_writer(self._place, takeover_s)
        self._writer = ArchiveWriter(self._place)
        self._reader = ArchiveReader(self._place)
        self._last: dict[Partition, ArchiveFile] = {}
        self._sessions: dict[tuple[str, str], SessionProgress] = {}
        self.removed = 0  # files that a killed writer left half-done

    def __str__(self) -> str:
        return str(self._place)

    def open(self, stop: threading.Event) -> None:
        """Become the only writer, remove what a killed one left half-done, and look where each partition goes on."""
        with self._explaining():
            self._one.take(stop)
            self.removed = self._writer.remove_temporary()
            self._last = {
                Partition(topic, number): file
                for topic in self._reader.topics()
                for number, file in self._reader.ends(topic).items()
            }
            progress = read_progress(self._place)
            self._sessions = dict(progress.sessions) if progress is not None else {}

    def next_offset(self, partition: Partition) -> int | None:
        file = self._last.get(partition)
        return None if file is None else file.next_offset

    def write(self, partition: Partition, records: Sequence[ArchivedRecord]) -> None:
        """Only where nobody else has written: the last file is as it was left, and no file has the next one's name."""
        with self._explaining():
            self._one.check()
            self._check_last(partition)
            self._last[partition] = self._writer.write(records)[-1]

    def _check_last(self, partition: Partition) -> None:
        last = self._last.get(partition)
        if last is None:
            return
        [size] = self._place.sizes([last.name])
        if size != last.size:
            found = "is gone" if size is None else f"has {size} bytes now, not {last.size}"
            raise ArchiveDamaged(f"{self._place.where(last.name)} {found}: something else writes or deletes there")

    def stale_from(self, partition: Partition) -> int | None:
        """The first archived offset whose times progress may not know: a kill fell between file and progress."""
        known = [seen.offset + 1 for seen in self._sessions.values() if seen.partition == partition.number]
        archived = self.next_offset(partition)
        start = max(known, default=0)
        return start if archived is not None and start < archived else None

    def archived(self, partition: Partition, from_offset: int) -> Iterator[ArchivedRecord]:
        """One after the other: without a progress file it is all that there is."""
        with self._explaining():
            yield from self._reader.records(partition.topic, partition.number, from_offset, allow_holes=True)

    def note_times(self, partition: Partition, offset: int, times: MarketTimes) -> None:
        key = (times.instrument, times.session)
        before = self._sessions.get(key)
        until = max(times.until, before.until) if before is not None else times.until
        ended = times.ended or (before is not None and before.ended)
        self._sessions[key] = SessionProgress(until, partition.number, offset, ended)

    def publish_progress(self) -> None:
        ends = {(partition.topic, partition.number): file.next_offset for partition, file in self._last.items()}
        with self._explaining():
            write_progress(self._place, Progress(ends, self._sessions))

    def close(self) -> None:
        """Give the place up; one that is away learns nothing of that, and the next start waits for a while."""
        with self._explaining(), suppress(PlaceAway):
            self._one.release()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Tell what ends this process in one line."""
        try:
            yield
        except Taken as error:
            raise PlaceTaken(f"archive: {error}") from error
        except PlaceProblem as error:
            raise ArchiveProblem(f"archive: ARCHIVE_FOLDER: {error}") from error
        except FileExistsError as error:
            raise ArchiveProblem(
                f"archive: {error}: another archive wrote it, or one that was killed had it on its way; nothing was "
                "replaced, and the next start goes on behind it"
            ) from error
        except (ArchiveDamaged, ProgressUnreadable) as error:
            raise ArchiveProblem(f"archive: {error}; mend the archive {self._place} or move it away") from error
