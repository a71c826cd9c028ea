"""Reads every archived topic from where its files end, and has files made of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial

from libs.runtime.kafka import Consumer, KafkaUnavailable, Record, TopicPartition
from libs.runtime.logs import get_logger
from libs.runtime.metrics import counter, gauge
from libs.wire.archive import ArchivedRecord
from services.archive.adapters.market_times import times_of
from services.archive.adapters.parquet_files import ArchiveProblem, ParquetFiles
from services.archive.adapters.patience import Patience
from services.archive.domain import MARKET_TOPICS, ArchiveAhead, Partition, resume_at
from services.archive.ports import RecordTaker

POLL_S = 0.2
MAX_RECORDS = 2000
RETRY_S = 1.0

log = get_logger("archive")


class RecordsLost(SystemExit):
    """The broker deleted records before they were archived; the message names them and the setting that accepts it."""


class LogReader:
    """One thread owns it. Offsets come from the files, never from the broker's memory of a group."""

    def __init__(
        self,
        consumer: Consumer,
        files: ParquetFiles,
        archivist: RecordTaker[ArchivedRecord],
        topics: Sequence[str],
        *,
        accept_holes: bool,
    ) -> None:
        self._consumer = consumer
        self._files = files
        self._archivist = archivist
        self._topics = topics
        self._accept_holes = accept_holes
        self._goal: dict[TopicPartition, int] | None = None

    def is_ready(self) -> bool:
        """Caught up with everything that the log held at the start."""
        goal = self._goal
        return goal is not None and all(
            (self._files.next_offset(Partition(part.topic, part.partition)) or 0) >= end for part, end in goal.items()
        )

    def run(self, stop: threading.Event) -> None:
        """Until the event is set; then everything read is closed into files. Waits for a broker, topics or a place for
        files that are not there. Raises `RecordsLost`, and `ArchiveProblem` or `PlaceTaken` for a place that cannot be
        used."""
        patience = Patience(stop, str(self._files))
        if not patience.insist(partial(self._files.open, stop)):
            return
        if self._files.removed:
            log.warning("removed files that a killed writer left half-done", count=self._files.removed)
        if not self._find_place_in_log(patience, stop):
            return
        while not stop.is_set():
            for record in self._consumer.poll(POLL_S, MAX_RECORDS):
                if not patience.insist(partial(self._take, record)):
                    break
            if not stop.is_set():
                patience.insist(self._close_due)
        if patience.is_away or not patience.insist(self._close_everything):
            log.error("what was read last is in no file; the next start reads it again", place=str(self._files))

    def _find_place_in_log(self, patience: Patience, stop: threading.Event) -> bool:
        while not stop.is_set():
            try:
                return patience.insist(self._assign)
            except KafkaUnavailable as error:
                log.warning("waiting for the broker and its topics", reason=str(error))
                stop.wait(RETRY_S)
        return False

    def _take(self, record: Record) -> None:
        self._archivist.take(Partition(record.topic, record.partition), archived(record), time.monotonic())

    def _close_due(self) -> None:
        self._count(self._archivist.close_due(time.monotonic()))

    def _close_everything(self) -> None:
        self._count(self._archivist.close_everything())

    def _assign(self) -> None:
        parts = [part for topic in self._topics for part in self._consumer.partitions_for(topic)]
        begins, ends = self._consumer.beginning_offsets(parts), self._consumer.end_offsets(parts)
        lost: list[str] = []
        positions: dict[TopicPartition, int] = {}
        for part in parts:
            partition = Partition(part.topic, part.partition)
            try:
                resume = resume_at(self._files.next_offset(partition), begins[part], ends[part])
            except ArchiveAhead as error:
                raise ArchiveProblem(
                    f"archive: {self._files}: {part.topic}-{part.partition}: {error}; it is another environment's, or "
                    "the broker was emptied: name another place with ARCHIVE_FOLDER, or move this one away"
                ) from error
            if resume.lost_from is not None:
                lost.append(f"{part.topic}-{part.partition} offsets {resume.lost_from} to {resume.offset - 1}")
            positions[part] = resume.offset
            self._catch_up_times(partition)
        if lost and not self._accept_holes:
            raise RecordsLost(
                f"the broker no longer has {'; '.join(lost)}, which were not archived yet; "
                "ARCHIVE_ACCEPT_HOLES=true goes on behind them"
            )
        for hole in lost:
            log.error("a hole in the archive was accepted", records=hole)
        self._files.publish_progress()
        self._consumer.assign(dict(positions.items()))
        # an empty partition, or one whose records are all deleted, has nothing to catch up with
        self._goal = {part: ends[part] for part in parts if ends[part] > begins[part]}
        log.info(
            "archiving",
            place=str(self._files),
            partitions=len(parts),
            behind=sum(ends[part] - positions[part] for part in parts),
        )

    def _catch_up_times(self, partition: Partition) -> None:
        """Read again the times of files that were written just before a kill, so that progress is whole."""
        start = self._files.stale_from(partition) if partition.topic in MARKET_TOPICS else None
        if start is None:
            return
        for record in self._files.archived(partition, start):
            times = times_of(partition.topic, record)
            if times is not None:
                self._files.note_times(partition, record.offset, times)

    def _count(self, written: dict[Partition, int]) -> None:
        for partition, records in written.items():
            counter("archive_records_total").labels(partition.topic).inc(records)
            next_offset = self._files.next_offset(partition)
            if next_offset is not None:
                gauge("archive_next_offset").labels(partition.topic, str(partition.number)).set(next_offset)


def archived(record: Record) -> ArchivedRecord:
    return ArchivedRecord(
        record.topic, record.partition, record.offset, record.timestamp_ms, record.key, record.value, record.headers
    )
