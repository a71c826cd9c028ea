"""Runs of records become files without holes, and progress is told after the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire.archive import ArchivedRecord
from services.archive.domain import ArchiveAhead, MarketTimes, Partition, RollPolicy, resume_at
from services.archive.handlers import RECORD_BYTES, Archivist

T = TypeVar("T")
VECTORS = Partition("features.vectors", 0)
EVENTS = Partition("market.events", 1)


class RememberedFiles:
    """Files as lists; says in which order things happened."""

    def __init__(self) -> None:
        self.files: list[tuple[Partition, list[int]]] = []
        self.said: list[str] = []
        self.times: dict[str, int] = {}
        self.fails: list[str] = []  # what goes wrong next

    def _fail(self, what: str) -> None:
        if self.fails and self.fails[0] == what:
            self.fails.pop(0)
            raise OSError(what)

    def next_offset(self, partition: Partition) -> int | None:
        ends = [offsets[-1] + 1 for found, offsets in self.files if found == partition]
        return max(ends, default=None)

    def write(self, partition: Partition, records: Sequence[ArchivedRecord]) -> None:
        self._fail("file")
        self.files.append((partition, [record.offset for record in records]))
        self.said.append("file")

    def note_times(self, partition: Partition, offset: int, times: MarketTimes) -> None:
        self.times[times.session] = max(times.until, self.times.get(times.session, 0))

    def publish_progress(self) -> None:
        self._fail("progress")
        self.said.append("progress")


def a_record(partition: Partition, offset: int) -> ArchivedRecord:
    return ArchivedRecord(partition.topic, partition.number, offset, 0, b"key", str(offset).encode())


def an_archivist(files: RememberedFiles, rows: int = 3, seconds: float = 10.0) -> Archivist[ArchivedRecord]:
    policy = RollPolicy(rows, seconds)
    return Archivist(files, policy, lambda _, record: MarketTimes("x", "s1", int(record.value or b""), False))


def test_a_full_run_becomes_a_file_and_then_progress() -> None:
    files = RememberedFiles()
    archivist = an_archivist(files)
    for offset in range(3):
        archivist.take(VECTORS, a_record(VECTORS, offset), now=0.0)
    assert archivist.close_due(now=0.0) == {VECTORS: 3}
    assert files.files == [(VECTORS, [0, 1, 2])]
    assert files.said == ["file", "progress"]


def test_a_run_that_waits_too_long_becomes_a_file() -> None:
    files = RememberedFiles()
    archivist = an_archivist(files)
    archivist.take(VECTORS, a_record(VECTORS, 7), now=100.0)
    assert archivist.close_due(now=109.9) == {}
    assert archivist.close_due(now=110.0) == {VECTORS: 1}


def test_market_records_tell_how_far_a_session_is_archived_only_once_they_are_in_a_file() -> None:
    files = RememberedFiles()
    archivist = an_archivist(files)
    archivist.take(EVENTS, a_record(EVENTS, 41), now=0.0)
    assert files.times == {}
    archivist.close_everything()
    assert files.times == {"s1": 41}


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(1, 5))
def test_every_record_is_in_exactly_one_file_and_no_file_has_a_hole(steps: list[int], rows: int) -> None:
    files = RememberedFiles()
    archivist = an_archivist(files, rows=rows)
    offsets = [sum(steps[:n]) for n in range(len(steps))]
    for offset in offsets:
        archivist.take(VECTORS, a_record(VECTORS, offset), now=0.0)
        archivist.close_due(now=0.0)
    archivist.close_everything()
    written = [offset for _, found in files.files for offset in found]
    assert written == offsets
    assert all(found == list(range(found[0], found[0] + len(found))) for _, found in files.files)


def test_archiving_goes_on_after_the_files() -> None:
    assert resume_at(archived_next=10, log_begins=0, log_ends=12).offset == 10
    assert resume_at(archived_next=None, log_begins=4, log_ends=4).offset == 4


def test_what_the_broker_deleted_before_it_was_archived_is_lost_and_said() -> None:
    lost = resume_at(archived_next=10, log_begins=15, log_ends=20)
    assert (lost.offset, lost.lost_from) == (15, 10)
    assert resume_at(archived_next=15, log_begins=15, log_ends=20).lost_from is None


def test_files_that_the_log_never_held_are_another_environments() -> None:
    with pytest.raises(ArchiveAhead, match="files reach to offset 9, the log only to 6"):
        resume_at(archived_next=10, log_begins=0, log_ends=7)


def test_a_run_of_many_bytes_becomes_a_file() -> None:
    files = RememberedFiles()
    archivist = Archivist(files, RollPolicy(1000, 1000.0, size=10), lambda *_: None)
    archivist.take(VECTORS, ArchivedRecord(VECTORS.topic, 0, 0, 0, None, b"123456789"), now=0.0)
    assert archivist.close_due(now=0.0) == {}
    archivist.take(VECTORS, ArchivedRecord(VECTORS.topic, 0, 1, 0, None, b"0"), now=0.0)
    assert archivist.close_due(now=0.0) == {VECTORS: 2}


def test_what_is_held_together_is_bounded() -> None:
    files = RememberedFiles()
    archivist = Archivist(files, RollPolicy(1000, 1000.0, memory=4 * RECORD_BYTES), lambda *_: None)
    for partition, offset in ((VECTORS, 0), (EVENTS, 0), (VECTORS, 1)):
        archivist.take(partition, a_record(partition, offset), now=0.0)
        assert archivist.close_due(now=0.0) == {}
    archivist.take(EVENTS, a_record(EVENTS, 1), now=0.0)
    assert archivist.close_due(now=0.0) == {VECTORS: 2, EVENTS: 2}


@given(
    st.lists(st.tuples(st.sampled_from([VECTORS, EVENTS]), st.integers(1, 2)), min_size=1, max_size=30),
    st.lists(st.sampled_from(["file", "progress"]), max_size=10),
)
def test_whatever_fails_and_is_made_again_loses_and_doubles_nothing(
    steps: list[tuple[Partition, int]], fails: list[str]
) -> None:
    files = RememberedFiles()
    files.fails = fails
    archivist = an_archivist(files, rows=2)
    ends: dict[Partition, int] = {}
    taken: dict[Partition, list[int]] = {}
    counted: dict[Partition, int] = {}
    for partition, step in steps:
        offset = ends[partition] = ends.get(partition, 0) + step
        taken.setdefault(partition, []).append(offset)
        insist(partial(archivist.take, partition, a_record(partition, offset), now=0.0))
        for found, number in insist(lambda: archivist.close_due(now=0.0)).items():
            counted[found] = counted.get(found, 0) + number
    for found, number in insist(archivist.close_everything).items():
        counted[found] = counted.get(found, 0) + number
    for partition, offsets in taken.items():
        assert [offset for part, run in files.files if part == partition for offset in run] == offsets
        assert counted[partition] == len(offsets)
    assert files.said[-1] == "progress"


def insist(call: Callable[[], T]) -> T:
    while True:
        try:
            return call()
        except OSError:
            continue
