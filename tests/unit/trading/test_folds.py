"""No split lets a label that was learnt reach into the rows that judge it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading import folds
from libs.trading.folds import TooFewRows

rows = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 200)), min_size=40, max_size=120)


def columns(drawn: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    as_of = np.array([t for t, _ in drawn], dtype=np.int64)
    return as_of, as_of + np.array([h for _, h in drawn], dtype=np.int64)


@given(rows, st.integers(1, 4), st.integers(0, 50))
def test_every_label_learnt_ends_before_the_test_starts(drawn: list[tuple[int, int]], n: int, embargo: int) -> None:
    as_of, end = columns(drawn)
    for split in folds.walk_forward(as_of, end, n, embargo, least_rows=0):
        assert (end[split.train] + embargo < split.test_from).all()
        assert ((as_of[split.test] >= split.test_from) & (as_of[split.test] < split.test_to)).all()
        assert not set(split.train) & set(split.test)


@given(rows, st.integers(1, 4))
def test_the_test_stretches_follow_each_other_and_reach_the_last_row(drawn: list[tuple[int, int]], n: int) -> None:
    as_of, end = columns(drawn)
    splits = folds.walk_forward(as_of, end, n, 0, least_rows=0)
    assert len(splits) == n
    for one, other in pairwise(splits):
        assert one.test_to == other.test_from
        assert set(one.train) <= set(other.train)
    assert splits[-1].test_to == as_of.max() + 1
    judged = np.concatenate([s.test for s in splits])
    assert len(set(judged)) == judged.size


@given(rows, st.integers(0, 1000), st.integers(0, 50))
def test_the_holdout_is_unseen(drawn: list[tuple[int, int]], begin: int, embargo: int) -> None:
    as_of, end = columns(drawn)
    split = folds.holdout(as_of, end, begin, embargo, least_rows=0)
    assert (end[split.train] + embargo < begin).all()
    assert (as_of[split.test] >= begin).all()
    assert split.test.size == (as_of >= begin).sum()


def test_a_longer_embargo_drops_the_rows_next_to_the_cut() -> None:
    as_of = np.arange(100, dtype=np.int64)
    close = folds.holdout(as_of, as_of + 5, 60, 0, 1)
    apart = folds.holdout(as_of, as_of + 5, 60, 10, 1)
    assert close.train[-1] == 54
    assert apart.train[-1] == 44


def test_parts_that_are_too_small_are_refused_with_the_figures() -> None:
    as_of = np.arange(30, dtype=np.int64)
    with pytest.raises(TooFewRows, match=r"fold 1 of 4: .* at least 20"):
        folds.walk_forward(as_of, as_of + 1, 4, 0, 20)
    with pytest.raises(TooFewRows, match="hold-out: 0 rows to judge on"):
        folds.holdout(as_of, as_of + 1, 40, 0, 1)


def test_the_holdout_is_a_share_of_time_or_the_least_that_is_asked_but_never_most_of_it() -> None:
    as_of = np.array([0, 1000], dtype=np.int64)
    assert folds.holdout_start(as_of, 0.3, 0, 0.6) == 700
    assert folds.holdout_start(as_of, 0.3, 500, 0.6) == 500
    assert folds.holdout_start(as_of, 0.3, 900, 0.6) == 400


def test_the_first_fold_can_learn_from_more_than_the_others_add() -> None:
    as_of = np.arange(1000, dtype=np.int64)
    splits = folds.walk_forward(as_of, as_of + 1, 4, 0, least_rows=1, first_share=0.6)
    assert [split.test_from for split in splits] == [600, 700, 800, 900]


def test_a_share_that_leaves_nothing_to_judge_is_refused() -> None:
    as_of = np.arange(1000, dtype=np.int64)
    with pytest.raises(ValueError, match="first_share"):
        folds.walk_forward(as_of, as_of + 1, 4, 0, least_rows=1, first_share=1.0)
