"""An archive gives back every record once and in order, and names what is missing, doubled or damaged."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.wire.archive import (
    ArchiveDamaged,
    ArchivedRecord,
    ArchiveReader,
    ArchiveWriter,
    archived_until,
    file_name,
    read_file,
)
from libs.wire.progress import Progress, ProgressUnreadable, SessionProgress, read_progress, write_progress

TOPIC = "market.events"


def a_record(offset: int, partition: int = 0, **changes: Any) -> ArchivedRecord:
    record = ArchivedRecord(TOPIC, partition, offset, 1_700_000_000_000 + offset, b"key", f"value {offset}".encode())
    return replace(record, **changes)


def archive(folder: Path, *runs: range, partition: int = 0) -> ArchiveReader:
    for run in runs:
        ArchiveWriter(folder).write([a_record(offset, partition) for offset in run])
    return ArchiveReader(folder)


payloads = st.none() | st.binary(max_size=30)
contents = st.lists(
    st.tuples(
        st.integers(0, 2**50), payloads, payloads, st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)))
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(contents, st.integers(0, 2**50), st.sets(st.integers(1, 19), max_size=3))
def test_records_come_back_as_they_were_whatever_the_files(
    tmp_path_factory: pytest.TempPathFactory, content: list[Any], first: int, cuts: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    records = [
        ArchivedRecord(TOPIC, 2, first + i, time, key, value, tuple(headers))
        for i, (time, key, value, headers) in enumerate(content)
    ]
    for start, end in pairwise(sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})):
        ArchiveWriter(folder).write(records[start:end])
    assert list(ArchiveReader(folder).records(TOPIC)) == records
    assert ArchiveReader(folder).ends(TOPIC)[2].next_offset == first + len(records)


def test_a_file_is_named_by_topic_partition_and_first_offset(tmp_path: Path) -> None:
    [file] = ArchiveWriter(tmp_path).write([a_record(17, 3)])
    assert file.name == f"{TOPIC}/market.events-3-00000000000000000017.parquet"
    assert file.next_offset == 18
    assert (tmp_path / file.name).stat().st_size == file.size
    assert list(tmp_path.rglob("*.tmp")) == []


def test_reading_begins_where_asked_and_keeps_partitions_apart(tmp_path: Path) -> None:
    archive(tmp_path, range(5), range(5, 9), partition=1)
    reader = archive(tmp_path, range(10, 12), partition=0)
    assert [(r.partition, r.offset) for r in reader.records(TOPIC)] == [
        (0, 10),
        (0, 11),
        *((1, offset) for offset in range(9)),
    ]
    assert [r.offset for r in reader.records(TOPIC, 1, 3)] == list(range(3, 9))
    assert (reader.topics(), list(reader.ends(TOPIC))) == ([TOPIC], [0, 1])


def test_a_hole_between_files_is_named(tmp_path: Path) -> None:
    reader = archive(tmp_path, range(5), range(8, 10))
    with pytest.raises(ArchiveDamaged, match="offsets 5 to 7 are missing between"):
        list(reader.records(TOPIC))
    assert [r.offset for r in reader.records(TOPIC, allow_holes=True)] == [0, 1, 2, 3, 4, 8, 9]


def test_records_that_are_there_twice_are_named(tmp_path: Path) -> None:
    reader = archive(tmp_path, range(5), range(3, 7))
    with pytest.raises(ArchiveDamaged, match="offsets 3 to 4 are there twice"):
        list(reader.records(TOPIC))


def test_a_file_is_never_replaced_by_other_records(tmp_path: Path) -> None:
    archive(tmp_path, range(3))
    ArchiveWriter(tmp_path).write([a_record(n) for n in range(3)])  # a try whose answer was lost
    with pytest.raises(FileExistsError):
        ArchiveWriter(tmp_path).write([a_record(0)])


@pytest.mark.parametrize("second", [a_record(2), a_record(0), a_record(1, 1), a_record(1, topic="predictions")])
def test_a_run_with_a_jump_is_not_written(tmp_path: Path, second: ArchivedRecord) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        ArchiveWriter(tmp_path).write([a_record(0), second])


def test_a_renamed_file_is_found_out(tmp_path: Path) -> None:
    archive(tmp_path, range(3))
    path = tmp_path / TOPIC / file_name(TOPIC, 0, 0)
    moved = path.rename(path.with_name(file_name(TOPIC, 0, 100)))
    with pytest.raises(ArchiveDamaged, match="found partition 0 offset 0 instead of 0 100"):
        list(read_file(moved))


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    reader = archive(tmp_path, range(3))
    path = tmp_path / TOPIC / file_name(TOPIC, 0, 0)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArchiveDamaged, match=path.name):
        list(reader.records(TOPIC))


@pytest.mark.parametrize("at", [10, 5000, 5500, 70_000])  # a header, values that decode all the same, lengths, values
def test_a_file_damaged_in_the_middle_is_named(tmp_path: Path, at: int) -> None:
    records = [a_record(n, value=random.Random(n).randbytes(100)) for n in range(1000)]
    [file] = ArchiveWriter(tmp_path).write(records)
    damaged = bytearray((tmp_path / file.name).read_bytes())
    damaged[at : at + 40] = bytes(40)
    (tmp_path / file.name).write_bytes(damaged)
    with pytest.raises(ArchiveDamaged, match=f"{file.name} cannot be read"):
        list(ArchiveReader(tmp_path).records(TOPIC))


def test_a_strange_file_is_named(tmp_path: Path) -> None:
    reader = archive(tmp_path, range(3))
    (tmp_path / TOPIC / "notes.parquet").touch()
    with pytest.raises(ArchiveDamaged, match=r"notes\.parquet"):
        list(reader.records(TOPIC))


def test_what_a_killed_writer_left_is_no_record(tmp_path: Path) -> None:
    reader = archive(tmp_path, range(3))
    (tmp_path / TOPIC / f"{file_name(TOPIC, 0, 3)}.99.tmp").write_bytes(b"half")
    assert len(list(reader.records(TOPIC))) == 3
    assert ArchiveWriter(tmp_path).remove_temporary() == 1


def test_progress_survives_and_answers_how_far_a_session_is_archived(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    assert archived_until(tmp_path, "i", "s") is None
    progress = Progress({("market.events", 1): 17}, {("i", "s"): SessionProgress(123, 1, 16, False)})
    write_progress(tmp_path, progress)
    assert read_progress(tmp_path) == progress
    assert archived_until(tmp_path, "i", "s") == 123
    assert archived_until(tmp_path, "i", "other") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1}'])
def test_a_strange_progress_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(ProgressUnreadable, match=r"progress\.json"):
        read_progress(tmp_path)
