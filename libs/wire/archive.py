"""The log as Parquet files: their names and columns, how one is written whole and how they are read in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from libs.wire.durable import TEMPORARY_SUFFIX, write_durably
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
    path: Path
    topic: str
    partition: int
    first_offset: int
    rows: int

    @property
    def next_offset(self) -> int:
        return self.first_offset + self.rows


def file_name(topic: str, partition: int, first_offset: int) -> str:
    return f"{topic}-{partition}-{first_offset:020d}.parquet"


class ArchiveWriter:
    """Writes files under `folder`, one sub-folder for each topic. One process at a time may write a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remove_temporary(self) -> int:
        """Delete what a killed writer left behind; returns how many files."""
        left = list(self._folder.glob(f"*/*{TEMPORARY_SUFFIX}"))
        for path in left:
            path.unlink()
        return len(left)

    def write(self, records: Sequence[ArchivedRecord]) -> Path:
        """Write one file that appears whole or not at all and stays after a power cut; returns its path.

        The records are of one topic and partition and their offsets rise by 1; else ValueError. FileExistsError when
        the file is there already."""
        first = records[0]
        check_run(records)
        folder = self._folder / first.topic
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name(first.topic, first.partition, first.offset)
        if path.exists():
            raise FileExistsError(f"{path} is archived already")
        table = _table(records)
        write_durably(path, lambda file: pq.write_table(table, file, compression="zstd", use_dictionary=["key"]))
        return path


class ArchiveReader:
    """Reads an archive's folder; a file that appears while reading is seen by the next call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def topics(self) -> list[str]:
        return sorted({path.parent.name for path in self._folder.glob("*/*.parquet")})

    def partitions(self, topic: str) -> list[int]:
        return sorted({int(found["partition"]) for _, found in self._named(topic)})

    def files(self, topic: str, partition: int) -> list[ArchiveFile]:
        """The files of a partition by first offset. Raises ArchiveDamaged for one that cannot be opened."""
        paths = [
            (int(found["offset"]), path) for path, found in self._named(topic) if int(found["partition"]) == partition
        ]
        return [ArchiveFile(path, topic, partition, first, _row_count(path)) for first, path in sorted(paths)]

    def next_offset(self, topic: str, partition: int) -> int | None:
        """Where archiving goes on: one after the last record of the last file; None without files."""
        paths = [
            (int(found["offset"]), path) for path, found in self._named(topic) if int(found["partition"]) == partition
        ]
        if not paths:
            return None
        first, path = max(paths)
        return first + _row_count(path)

    def records(
        self, topic: str, partition: int | None = None, from_offset: int = 0, *, allow_holes: bool = False
    ) -> Iterator[ArchivedRecord]:
        """The records of a topic, one partition after the other, each in offset order from `from_offset` on.

        An archive may begin later than offset 0. Raises ArchiveDamaged where records are missing between two files
        (unless `allow_holes`), are there twice, or are not what the file's name says."""
        for number in self.partitions(topic) if partition is None else [partition]:
            expected: int | None = None
            previous: Path | None = None
            for file in self.files(topic, number):
                if expected is not None and previous is not None:
                    _check_join(previous, expected, file, allow_holes)
                previous, expected = file.path, file.next_offset
                if file.next_offset > from_offset:
                    yield from (record for record in read_file(file.path) if record.offset >= from_offset)

    def _named(self, topic: str) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in (self._folder / topic).glob("*.parquet"):
            found = _NAME.fullmatch(path.name)
            if found is None or found["topic"] != topic:
                raise ArchiveDamaged(
                    f"{path} is no file of topic {topic}: names are <topic>-<partition>-<first offset>"
                )
            yield path, found


def read_file(path: Path) -> Iterator[ArchivedRecord]:
    """The records of one file. Raises ArchiveDamaged when they are not those that its name promises."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ArchiveDamaged(f"{path}: the name is not <topic>-<partition>-<first offset of 20 digits>.parquet")
    topic, partition, expected = found["topic"], int(found["partition"]), int(found["offset"])
    file = _open(path)
    if file.schema_arrow.names != SCHEMA.names:
        raise ArchiveDamaged(f"{path}: columns {file.schema_arrow.names}, not {SCHEMA.names}")
    for batch in file.iter_batches(_READ_ROWS):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if row[0] != partition or row[1] != expected:
                raise ArchiveDamaged(
                    f"{path}: found partition {row[0]} offset {row[1]} instead of {partition} {expected}"
                )
            expected += 1
            headers = tuple((header["name"], header["value"]) for header in row[5])
            yield ArchivedRecord(topic, row[0], row[1], row[2], row[3], row[4], headers)


def check_run(records: Sequence[ArchivedRecord]) -> None:
    """Raises ValueError unless the records are of one topic and partition and their offsets rise by 1."""
    first = records[0]
    for place, record in enumerate(records):
        if (record.topic, record.partition, record.offset) != (first.topic, first.partition, first.offset + place):
            raise ValueError(
                f"{record.topic}-{record.partition} offset {record.offset} does not follow "
                f"{first.topic}-{first.partition} offset {first.offset + place - 1}"
            )


def _check_join(previous: Path, expected: int, file: ArchiveFile, allow_holes: bool) -> None:
    if file.first_offset < expected:
        raise ArchiveDamaged(
            f"offsets {file.first_offset} to {expected - 1} are there twice: in {previous.name} and {file.path.name}"
        )
    if file.first_offset > expected and not allow_holes:
        raise ArchiveDamaged(
            f"offsets {expected} to {file.first_offset - 1} are missing between {previous.name} and {file.path.name}"
        )


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


def _row_count(path: Path) -> int:
    return int(_open(path).metadata.num_rows)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArchiveDamaged(f"{path} cannot be opened: {error}") from error
