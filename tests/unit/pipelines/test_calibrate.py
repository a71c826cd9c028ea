"""Calibration tempers, weighs and decides on what it is given, and "never" is an answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.trading.backtest import Terms
from libs.trading.fees import Costs
from pipelines.retrain.adapters.forest import softmax
from pipelines.retrain.steps import calibrate
from pipelines.retrain.steps.calibrate import Candidate, choose, fit_calibrator, fit_weights
from pipelines.retrain.steps.plan import ThresholdPlan
from tests.builders.candidates import COSTS, Market, a_world

PLAN = ThresholdPlan(quantiles=(0.2, 0.5, 0.8, 0.9), least_trades=10, least_winning_folds=0.5)


def drawn(probabilities: np.ndarray, seed: int = 0) -> np.ndarray:
    uniform = np.random.default_rng(seed).random(len(probabilities))
    return np.asarray((uniform[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2))


def test_an_overconfident_member_is_tempered_back() -> None:
    true = np.random.default_rng(1).normal(size=(20_000, 3))
    labels = drawn(softmax(true))
    found = fit_calibrator(3.0 * true, labels, np.ones(len(labels)))
    assert found.slope == pytest.approx(1 / 3, rel=0.05)
    assert max(np.abs(found.shift)) < 0.1


def test_a_shifted_member_is_shifted_back() -> None:
    true = np.random.default_rng(2).normal(size=(20_000, 3))
    labels = drawn(softmax(true))
    found = fit_calibrator(true + np.array([1.0, 0.0, -1.0]), labels, np.ones(len(labels)))
    assert np.array(found.shift) - found.shift[1] == pytest.approx(np.array([-1.0, 0.0, 1.0]), abs=0.1)


def test_a_member_that_knows_nothing_is_flattened_to_the_class_shares() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(3, size=20_000, p=[0.2, 0.5, 0.3])
    found = fit_calibrator(rng.normal(size=(20_000, 3)), labels, np.ones(20_000))
    said = found.probabilities(rng.normal(size=(100, 3)))
    assert said == pytest.approx(np.tile([0.2, 0.5, 0.3], (100, 1)), abs=0.03)
    assert found.slope > 0.0


def test_the_member_that_knows_gets_the_vote_and_one_that_misleads_is_dropped() -> None:
    true = softmax(2.0 * np.random.default_rng(4).normal(size=(20_000, 3)))
    labels = drawn(true)
    said = {"lightgbm": true, "xgboost": softmax(np.zeros((20_000, 3))), "catboost": true[:, ::-1]}
    weights, fallback = fit_weights(said, labels, np.ones(20_000))
    assert not fallback
    assert weights["lightgbm"] > 0.9
    assert "catboost" not in weights


def test_with_few_independent_labels_the_fixed_weights_rule() -> None:
    true = softmax(np.random.default_rng(5).normal(size=(400, 3)))
    said = dict.fromkeys(("lightgbm", "xgboost", "catboost", "random_forest"), true)
    weights, _ = fit_weights(said, drawn(true), np.full(400, 0.01))
    assert weights == pytest.approx(calibrate.FALLBACK, abs=0.02)


def test_when_fitting_fails_the_fixed_weights_are_said_to_rule() -> None:
    impossible = np.tile([0.0, 1.0, 0.0], (50, 1))
    weights, fallback = fit_weights({"lightgbm": impossible, "catboost": impossible}, np.zeros(50, int), np.ones(50))
    assert fallback
    assert weights == {"lightgbm": 0.6, "catboost": 0.4}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_weights_are_a_share_of_one_and_none_is_tiny(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    names = list(calibrate.FALLBACK)[:members]
    said = {name: softmax(rng.normal(size=(200, 3)) * rng.uniform(0, 3)) for name in names}
    weights, _ = fit_weights(said, rng.integers(0, 3, 200), rng.uniform(0.01, 1, 200))
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert min(weights.values()) >= calibrate.LEAST_WEIGHT - 1e-6


def test_never_is_chosen_when_nothing_earns() -> None:
    assert choose([Candidate(0.3, -1.0, 100, 1.0), Candidate(0.5, 0.0, 50, 1.0)], PLAN) is None
    assert choose([], PLAN) is None


def test_luck_of_few_trades_or_of_one_fold_is_no_candidate() -> None:
    lucky = [Candidate(0.9, 5.0, 3, 1.0), Candidate(0.8, 4.0, 40, 0.25)]
    assert choose(lucky, PLAN) is None
    solid = Candidate(0.4, 1.0, 60, 0.75)
    assert choose([*lucky, solid], PLAN) is solid


def test_costs_decide_the_threshold() -> None:
    world = a_world(Market())
    fold = np.arange(world.quotes.as_of.size) * 4 // world.quotes.as_of.size

    def best(costs: Costs) -> Candidate | None:
        terms = Terms(costs, 5 * 10**9, 50_000_000, 1000.0, 1000.0)
        return choose(calibrate.threshold_candidates(world.quotes, world.true_probabilities, fold, terms, PLAN), PLAN)

    cheap = best(COSTS)
    assert cheap is not None
    assert cheap.net > 0
    assert best(COSTS.times(40)) is None
