"""Metrics that cannot reward a constant, and that say None where they mean nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from libs.trading import metrics
from libs.trading.bootstrap import Interval, TooShort

Floats = NDArray[np.float64]
SECOND = 10**9

returns = arrays(np.float64, st.integers(3, 60), elements=st.floats(-0.1, 0.1, allow_nan=False))


def dirichlet(rng: np.random.Generator, n: int) -> Floats:
    return rng.dirichlet((2.0, 2.0, 2.0), n)


# --- returns


@given(st.floats(-1, 1), st.integers(2, 100))
def test_a_constant_has_no_sharpe(value: float, n: int) -> None:
    assert metrics.sharpe(np.full(n, value)) is None


@given(returns)
def test_a_sign_flip_flips_sharpe(values: Floats) -> None:
    plain, flipped = metrics.sharpe(values), metrics.sharpe(-values)
    if plain is None:
        assert flipped is None
    else:
        assert flipped == pytest.approx(-plain)


@given(returns, st.floats(0.1, 10))
def test_sharpe_and_sortino_do_not_depend_on_the_unit(values: Floats, unit: float) -> None:
    for figure in (metrics.sharpe, metrics.sortino):
        plain, scaled = figure(values), figure(values * unit)
        if plain is not None and scaled is not None:
            assert scaled == pytest.approx(plain, rel=1e-6)


@given(returns)
def test_sortino_is_none_exactly_without_a_loss(values: Floats) -> None:
    squares = float(np.mean(np.minimum(values, 0.0) ** 2))
    assert (metrics.sortino(values) is None) == (squares == 0.0)


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(1, 100)), st.floats(0.5, 20))
def test_drawdown_is_between_nothing_and_everything(equity: Floats, unit: float) -> None:
    fall = metrics.max_drawdown(equity)
    assert 0.0 <= fall < 1.0
    assert metrics.max_drawdown(equity * unit) == pytest.approx(fall)
    assert metrics.max_drawdown(np.sort(equity)) == 0.0
    oracle = max(1 - b / a for a, b in itertools.combinations_with_replacement(equity.tolist(), 2))
    assert fall == pytest.approx(oracle)


def test_drawdown_needs_equity() -> None:
    with pytest.raises(ValueError, match="above zero"):
        metrics.max_drawdown(np.array([0.0, 1.0]))


def test_calmar_profit_factor_and_win_rate_by_hand() -> None:
    assert metrics.calmar(np.array([100.0, 120.0, 90.0, 110.0]), 0.5) == pytest.approx(0.1 / 0.5 / 0.25)
    assert metrics.calmar(np.array([100.0, 110.0]), 1.0) is None
    assert metrics.profit_factor(np.array([3.0, -1.0, 1.0])) == pytest.approx(4.0)
    assert metrics.profit_factor(np.array([3.0])) is None
    assert metrics.win_rate(np.array([3.0, -1.0, 0.0, 1.0])) == 0.5
    assert metrics.win_rate(np.zeros(0)) is None
    assert metrics.turnover(300.0, 100.0) == 3.0
    assert metrics.exposure(5.0, 20.0) == 0.25
    assert metrics.exposure(0.0, 0.0) is None


def test_periods_without_a_row_count_as_nothing() -> None:
    times = np.array([0, 1, 5, 35], np.int64) * SECOND
    found = metrics.per_period(times, np.array([1.0, 2.0, 3.0, 4.0]), 10 * SECOND)
    assert found.tolist() == [6.0, 0.0, 0.0, 4.0]


def test_a_short_run_says_so() -> None:
    assert "short run" in metrics.short_run_note(3, 500)
    assert "short run" in metrics.short_run_note(500, 3)
    assert metrics.short_run_note(500, 500) == ""


# --- forecasts


def test_climatology_has_no_skill_and_the_truth_has_all() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2])
    shares = metrics.class_frequencies(labels)
    assert shares.tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert metrics.brier_skill(np.tile(shares, (6, 1)), labels, shares) == pytest.approx(0.0)
    assert metrics.brier_skill(np.eye(3)[labels], labels, shares) == 1.0
    assert metrics.brier(np.eye(3)[(labels + 1) % 3], labels) == 2.0


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_no_constant_has_skill_over_the_rows_own_frequencies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 50)
    constant = np.broadcast_to(dirichlet(rng, 1), (50, 3))
    skill = metrics.brier_skill(constant, labels, metrics.class_frequencies(labels))
    assert skill is not None
    assert skill <= 1e-12


def test_permuted_labels_score_about_zero() -> None:
    rng = np.random.default_rng(1)
    p = dirichlet(rng, 20_000)
    drawn = (rng.random(20_000)[:, None] > np.cumsum(p, axis=1)).sum(axis=1)
    shares = metrics.class_frequencies(drawn)
    assert (metrics.brier_skill(p, drawn, shares) or 0.0) > 0.05
    _, share, up = metrics.directional(p, drawn)
    assert (metrics.auc(share, up) or 0.0) > 0.6
    shuffled = rng.permutation(drawn)
    assert (metrics.brier_skill(p, shuffled, shares) or 0.0) < 0.0
    _, share, up = metrics.directional(p, shuffled)
    assert metrics.auc(share, up) == pytest.approx(0.5, abs=0.015)


@given(st.integers(0, 1000), st.integers(4, 40))
@settings(deadline=None)
def test_auc_is_the_share_of_pairs_in_order(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 5, n).astype(float), rng.random(n) > 0.5
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    found = metrics.auc(scores, positive)
    assert (found is None) == (not pairs)
    if found is not None:
        assert found == pytest.approx(float(np.mean(pairs)))
        assert metrics.auc(-scores, positive) == pytest.approx(1.0 - found)


def test_knowing_the_volatility_alone_is_no_direction() -> None:
    rng = np.random.default_rng(3)
    moved = rng.random(5000) < 0.3 + 0.4 * (np.arange(5000) % 2)
    labels = np.where(moved, np.where(rng.random(5000) < 0.5, 2, 0), 1)
    p_move = 0.3 + 0.4 * (np.arange(5000) % 2)
    p = np.stack((p_move / 2, 1 - p_move, p_move / 2), axis=1)
    one_against_rest = metrics.auc(p[:, 2], labels == 2)
    _, share, up = metrics.directional(p, labels)
    assert (one_against_rest or 0.0) > 0.6
    assert metrics.auc(share, up) == 0.5


def test_calibration_error_sees_overconfidence() -> None:
    rng = np.random.default_rng(4)
    p = dirichlet(rng, 20_000)
    labels = (rng.random(20_000)[:, None] > np.cumsum(p, axis=1)).sum(axis=1)
    sharp = p**4 / (p**4).sum(axis=1, keepdims=True)
    assert metrics.calibration_error(p, labels, 10) < 0.02
    assert metrics.calibration_error(sharp, labels, 10) > 0.1


def test_the_interval_of_the_direction_holds_the_truth_and_says_when_it_cannot() -> None:
    rng = np.random.default_rng(6)
    p = dirichlet(rng, 3000)
    labels = (rng.random(3000)[:, None] > np.cumsum(p, axis=1)).sum(axis=1)
    times = np.arange(3000, dtype=np.int64) * SECOND
    found = metrics.directional_auc(p, labels, times, 30 * SECOND, 300, 0.95, np.random.default_rng(1))
    assert isinstance(found, Interval)
    assert 0.5 < found.low < found.point < found.high < 1.0
    short = metrics.directional_auc(p, labels, times, 1000 * SECOND, 300, 0.95, np.random.default_rng(1))
    assert short == TooShort(3)
    one_way = metrics.directional_auc(p, np.full(3000, 2), times, 30 * SECOND, 300, 0.95, np.random.default_rng(1))
    assert isinstance(one_way, TooShort)


# --- many trials


def test_the_more_trials_the_less_a_sharpe_ratio_is_worth() -> None:
    values = np.random.default_rng(8).normal(0.15, 1.0, 250)
    found = [metrics.deflated_sharpe(values, trials) for trials in (1, 5, 50, 500)]
    assert all(a is not None and b is not None and a > b for a, b in itertools.pairwise(found))
    assert metrics.deflated_sharpe(np.full(50, 0.01), 1) is None
    assert metrics.deflated_sharpe(values, 0) is None


def test_the_best_of_many_worthless_rules_is_deflated_to_a_coin() -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(200):
        rules = rng.normal(size=(20, 250))
        best = max(rules, key=lambda r: metrics.sharpe(r) or 0.0)
        found.append(metrics.deflated_sharpe(best, 20) or 0.0)
    assert np.mean(np.array(found) >= 0.95) <= 0.05
    assert 0.35 < float(np.median(found)) < 0.65


def test_the_expected_best_sharpe_is_that_of_simulation() -> None:
    rng = np.random.default_rng(10)
    simulated = rng.normal(size=(4000, 50)).max(axis=1).mean()
    assert metrics.expected_best_sharpe(50, 1.0) == pytest.approx(simulated, abs=0.05)
    assert metrics.expected_best_sharpe(1, 1.0) == 0.0


def test_overfitting_is_likely_among_worthless_rules_and_not_for_one_that_works() -> None:
    rng = np.random.default_rng(11)
    worthless = rng.normal(size=(240, 20))
    working = worthless.copy()
    working[:, 3] += 0.5
    assert (metrics.overfitting_probability(worthless) or 0.0) > 0.25
    assert (metrics.overfitting_probability(working) or 0.0) < 0.05
    assert metrics.overfitting_probability(worthless[:, :1]) is None
    assert metrics.overfitting_probability(worthless[:10]) is None
