"""From where a restart reads: no engine may miss a record, whatever a crash left behind."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.feature_store.domain import StoredSnapshot, newest, plan_start


def stored(instrument: str, offset: int, partition: int = 0) -> StoredSnapshot:
    return StoredSnapshot(instrument, partition, offset, b"state")


def test_without_a_mark_everything_is_read_again() -> None:
    start = plan_start(0, [stored("a", 50)], None, 3, 100)
    assert start.position == 3
    assert [s.instrument for s in start.states] == ["a"]


def test_the_smallest_offset_decides() -> None:
    assert plan_start(0, [stored("a", 50), stored("b", 30)], 51, 0, 100).position == 31


def test_snapshots_of_other_partitions_do_not_matter() -> None:
    assert plan_start(0, [stored("a", 50), stored("b", 3, partition=1)], 51, 0, 100).position == 51


def test_a_snapshot_that_the_log_has_outlived_is_not_used() -> None:
    start = plan_start(0, [stored("a", 50), stored("b", 30)], 51, 40, 100)
    assert (start.position, [s.instrument for s in start.states]) == (40, ["a"])


def test_a_mark_of_another_log_is_not_believed() -> None:
    assert plan_start(0, [stored("a", 50)], 51, 0, 10).position == 0


def test_of_several_snapshots_the_greatest_offset_counts() -> None:
    assert newest([stored("a", 5), stored("a", 9), stored("a", 7)])["a"].offset == 9


@settings(max_examples=300)
@given(seed=st.integers(0, 10**9))
def test_whatever_a_crash_leaves_no_engine_misses_a_record(seed: int) -> None:
    """Passes over a growing set of instruments, the last one cut anywhere, one old state written late by a zombie."""
    rng = random.Random(seed)
    length = rng.randrange(2, 60)
    log = [rng.choice("abcd") for _ in range(length)]
    written: list[StoredSnapshot] = []
    mark = None
    for _ in range(rng.randrange(4)):
        position = rng.randrange(1, length + 1)
        names = sorted(set(log[:position]))
        rng.shuffle(names)
        done = rng.randrange(len(names) + 1) if rng.random() < 0.4 else len(names)
        written += [stored(name, position - 1) for name in names[:done]]
        if done == len(names) and rng.random() < 0.8:
            mark = position
    start = plan_start(0, newest(written).values(), mark, 0, length)
    seen = {state.instrument: state.offset for state in start.states}
    for offset, instrument in enumerate(log):
        assert offset >= start.position or offset <= seen.get(instrument, -1)
