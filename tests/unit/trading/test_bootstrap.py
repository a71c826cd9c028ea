"""Block bootstrap intervals: they cover, they widen with dependence, and they refuse a run that is too short."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.trading.bootstrap import Interval, TooShort, draw_blocks, row_counts, student_over_normal, sum_interval

SECOND = 10**9


def a_grid(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) * SECOND


def an_interval(values: np.ndarray, block_s: float, seed: int = 1, draws: int = 400) -> Interval:
    times = a_grid(values.size)
    blocks = draw_blocks(times, int(block_s * SECOND), draws, np.random.default_rng(seed))
    assert not isinstance(blocks, TooShort)
    return sum_interval(times, values, blocks, 0.95)


def test_the_interval_covers_the_true_total_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(300):
        found = an_interval(rng.normal(0.1, 1.0, 200), 10, seed, 200)
        hits += found.low <= 0.1 * 200 <= found.high
    assert 0.90 <= hits / 300 <= 0.99


def test_blocks_see_the_dependence_that_single_rows_hide() -> None:
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=100), 20)
    rows, blocks = an_interval(values, 1), an_interval(values, 40)
    assert blocks.high - blocks.low > 3 * (rows.high - rows.low)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=500)
    assert an_interval(values, 10, 7) == an_interval(values, 10, 7)
    assert an_interval(values, 10, 7) != an_interval(values, 10, 8)


def test_a_short_run_says_so() -> None:
    found = draw_blocks(a_grid(70), 10 * SECOND, 200, np.random.default_rng(1))
    assert found == TooShort(7)
    assert "short run" in str(found)
    assert draw_blocks(a_grid(1), SECOND, 200, np.random.default_rng(1)) == TooShort(1)


def test_unsorted_times_and_empty_blocks_are_errors() -> None:
    with pytest.raises(ValueError, match="sorted"):
        draw_blocks(a_grid(50)[::-1].copy(), SECOND, 10, np.random.default_rng(1))
    with pytest.raises(ValueError, match="positive"):
        draw_blocks(a_grid(50), 0, 10, np.random.default_rng(1))


@given(st.integers(0, 10_000), st.integers(30, 200), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_counts_of_rows_and_sums_over_blocks_are_the_same_sample(seed: int, n: int, block_s: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, n, n)).astype(np.int64) * SECOND
    values = rng.normal(size=n)
    blocks = draw_blocks(times, block_s * SECOND, 1, rng)
    if isinstance(blocks, TooShort):
        return
    counts = row_counts(times, blocks, 0)
    scale = blocks.span_ns / (blocks.count * blocks.block_ns)
    drawn = sum_interval(times, values, blocks, 0.95)
    assert counts.min() >= 0
    # with one draw both quantiles are that draw, so the widened low end gives it back
    wide = student_over_normal(0.975, blocks.count - 1) * np.sqrt(blocks.count / (blocks.count - 1))
    total = drawn.point - (drawn.point - drawn.low) / wide
    assert total == pytest.approx(float(counts @ values) * scale, abs=1e-9)


@pytest.mark.parametrize(("degrees", "quantile"), [(7, 2.3646), (19, 2.0930), (59, 2.0010)])
def test_student_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_over_normal(0.975, degrees) * 1.959964 == pytest.approx(quantile, abs=2e-3)
