"""The log as Parquet files: their names and columns, how one is written whole and how they are read in order."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.wire.places import Where, place_at
from libs.wire.progress import archived_until

__all__ = [
    "SCHEMA",
    "ArchiveDamaged",
    "ArchiveFile",
    "ArchiveReader",
    "ArchiveWriter",
    "ArchivedRecord",
    "archived_until",
    "check_run",
    "file_name",
    "read_file",
]

SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field(
            "headers",
            pa.list_(
                pa.struct([pa.field("name", pa.string(), nullable=False), pa.field("value", pa.binary())]),
            ),
            nullable=False,
        ),
    ]
)
_NAME = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>\d+)-(?P<offset>\d{20})\.parquet")
_READ_ROWS = 10_000


class ArchiveDamaged(Exception):
    """Files of an archive that do not hold each record once; the message names the files and the offsets."""


@dataclass(frozen=True, slots=True)
class ArchivedRecord:
    """A record as the broker gave it; `topic` is without the environment's prefix."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file that was written: its name within the archive, its bytes, and where the partition goes on behind it."""

    name: str
    size: int
    next_offset: int


def file_name(topic: str, partition: int, first_offset: int) -> str:
    return f"{topic}-{partition}-{first_offset:020d}.parquet"


class ArchiveWriter:
    """Writes files into a place, by topic. One process at a time may write a place."""

    def __init__(self, where: Where) -> None:
        self._place = place_at(where)

    def remove_temporary(self) -> int:
        """Delete what a killed writer left behind; returns how many files."""
        return self._place.tidy()

    def write(self, records: Sequence[ArchivedRecord]) -> list[ArchiveFile]:
        """Write files that appear whole or not at all and stay after a power cut: one, or as many as the place's limit
        on a file's size makes of it.

        The records are of one topic and partition and their offsets rise by 1; else ValueError. A file that is there
        with the same bytes, from a try whose answer was lost, stays; FileExistsError for other bytes. What a failed
        call has written stays, so that the same call again completes it. Raises PlaceAway and PlaceProblem."""
        check_run(records)
        return [self._put(name, data, next_offset) for name, data, next_offset in self._encoded(records)]

    def _encoded(self, records: Sequence[ArchivedRecord]) -> Iterator[tuple[str, bytes, int]]:
        first, sink = records[0], pa.BufferOutputStream()
        pq.write_table(_table(records), sink, compression="zstd", use_dictionary=["key"], write_page_checksum=True)
        data = sink.getvalue().to_pybytes()
        if len(records) > 1 and self._place.most_bytes is not None and len(data) > self._place.most_bytes:
            half = len(records) // 2
            yield from self._encoded(records[:half])
            yield from self._encoded(records[half:])
            return
        name = f"{first.topic}/{file_name(first.topic, first.partition, first.offset)}"
        yield name, data, records[-1].offset + 1

    def _put(self, name: str, data: bytes, next_offset: int) -> ArchiveFile:
        [size] = self._place.sizes([name])
        if size is None:
            self._place.write(name, data)
        elif size != len(data) or self._place.read(name) != data:
            raise FileExistsError(f"{self._place.where(name)} is there already, with other records")
        return ArchiveFile(name, len(data), next_offset)


class ArchiveReader:
    """Reads an archive; a file that appears while reading is seen by the next call. Everything raises ArchiveDamaged,
    PlaceAway and PlaceProblem."""

    def __init__(self, where: Where) -> None:
        self._place = place_at(where)

    def topics(self) -> list[str]:
        return self._place.folders()

    def ends(self, topic: str) -> dict[int, ArchiveFile]:
        """The last file of each partition, behind which archiving goes on. Looks at the last two files of each."""
        return {number: self._end(topic, number, starts) for number, starts in self._starts(topic).items()}

    def records(
        self, topic: str, partition: int | None = None, from_offset: int = 0, *, allow_holes: bool = False
    ) -> Iterator[ArchivedRecord]:
        """The records of a topic, one partition after the other, each in offset order from `from_offset` on; files
        that end before it are not opened.

        An archive may begin later than offset 0. Raises ArchiveDamaged where records are missing between two files
        (unless `allow_holes`), are there twice, or are not what the file's name says."""
        starts = self._starts(topic)
        for number in sorted(starts) if partition is None else [partition]:
            yield from self._partition(topic, number, starts.get(number, []), from_offset, allow_holes)

    def _partition(
        self, topic: str, number: int, starts: Sequence[int], from_offset: int, allow_holes: bool
    ) -> Iterator[ArchivedRecord]:
        previous, expected = "", None
        for start in starts[max(bisect_right(starts, from_offset) - 1, 0) :]:
            name = file_name(topic, number, start)
            if expected is not None:
                _check_join(previous, expected, name, start, allow_holes)
            previous, expected = name, start
            for record in _records(self._file(topic, name), self._place.where(f"{topic}/{name}")):
                expected = record.offset + 1
                if record.offset >= from_offset:
                    yield record

    def _end(self, topic: str, partition: int, starts: Sequence[int]) -> ArchiveFile:
        names = [file_name(topic, partition, start) for start in starts[-2:]]
        ends = [
            start + self._file(topic, name).metadata.num_rows for start, name in zip(starts[-2:], names, strict=True)
        ]
        if len(names) == 2:
            _check_join(names[0], ends[0], names[1], starts[-1], allow_holes=True)
        name = f"{topic}/{names[-1]}"
        [size] = self._place.sizes([name])
        return ArchiveFile(name, size or 0, ends[-1])

    def _starts(self, topic: str) -> dict[int, list[int]]:
        """First offsets of the files of each partition, sorted; one listing of the topic."""
        starts: dict[int, list[int]] = {}
        for name in self._place.names(topic):
            found = _NAME.fullmatch(name)
            if found is None or found["topic"] != topic:
                path = self._place.where(f"{topic}/{name}")
                raise ArchiveDamaged(
                    f"{path} is no file of topic {topic}: names are <topic>-<partition>-<first offset>"
                )
            starts.setdefault(int(found["partition"]), []).append(int(found["offset"]))
        return {number: sorted(starts[number]) for number in sorted(starts)}

    def _file(self, topic: str, name: str) -> pq.ParquetFile:
        where = self._place.where(f"{topic}/{name}")
        try:
            return _parquet(self._place.open(f"{topic}/{name}"), where)
        except FileNotFoundError as error:
            raise ArchiveDamaged(f"{where} was there and is gone") from error


def read_file(path: Path) -> Iterator[ArchivedRecord]:
    """The records of one file. Raises ArchiveDamaged when they are not those that its name promises."""
    if _NAME.fullmatch(path.name) is None:
        raise ArchiveDamaged(f"{path}: the name is not <topic>-<partition>-<first offset of 20 digits>.parquet")
    yield from _records(_parquet(path, str(path)), str(path))


def _records(file: pq.ParquetFile, where: str) -> Iterator[ArchivedRecord]:
    found = _NAME.fullmatch(where.rpartition("/")[2])
    assert found is not None, where
    topic, partition, expected = found["topic"], int(found["partition"]), int(found["offset"])
    if file.schema_arrow.names != SCHEMA.names:
        raise ArchiveDamaged(f"{where}: columns {file.schema_arrow.names}, not {SCHEMA.names}")
    for row in _rows(file, where):
        if row[0] != partition or row[1] != expected:
            raise ArchiveDamaged(f"{where}: found partition {row[0]} offset {row[1]} instead of {partition} {expected}")
        expected += 1
        headers = tuple((header["name"], header["value"]) for header in row[5])
        yield ArchivedRecord(topic, row[0], row[1], row[2], row[3], row[4], headers)


def _rows(file: pq.ParquetFile, where: str) -> Iterator[tuple[Any, ...]]:
    try:
        for batch in file.iter_batches(_READ_ROWS):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except (OSError, ValueError) as error:  # pyarrow says which codec or encoding, never which file
        raise ArchiveDamaged(f"{where} cannot be read: {error}") from error


def check_run(records: Sequence[ArchivedRecord]) -> None:
    """Raises ValueError unless the records are of one topic and partition and their offsets rise by 1."""
    first = records[0]
    for place, record in enumerate(records):
        if (record.topic, record.partition, record.offset) != (first.topic, first.partition, first.offset + place):
            raise ValueError(
                f"{record.topic}-{record.partition} offset {record.offset} does not follow "
                f"{first.topic}-{first.partition} offset {first.offset + place - 1}"
            )


def _check_join(previous: str, expected: int, name: str, start: int, allow_holes: bool) -> None:
    if start < expected:
        raise ArchiveDamaged(f"offsets {start} to {expected - 1} are there twice: in {previous} and {name}")
    if start > expected and not allow_holes:
        raise ArchiveDamaged(f"offsets {expected} to {start - 1} are missing between {previous} and {name}")


def _table(records: Sequence[ArchivedRecord]) -> pa.Table:
    return pa.table(
        [
            pa.array([record.partition for record in records], pa.int32()),
            pa.array([record.offset for record in records], pa.int64()),
            pa.array([record.timestamp_ms for record in records], pa.int64()),
            pa.array([record.key for record in records], pa.binary()),
            pa.array([record.value for record in records], pa.binary()),
            pa.array(
                [[{"name": name, "value": value} for name, value in record.headers] for record in records],
                SCHEMA.field("headers").type,
            ),
        ],
        schema=SCHEMA,
    )


def _parquet(source: Any, where: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, page_checksum_verification=True)  # where there are any: not in older files
    except (OSError, pa.ArrowInvalid) as error:
        raise ArchiveDamaged(f"{where} cannot be opened: {error}") from error
