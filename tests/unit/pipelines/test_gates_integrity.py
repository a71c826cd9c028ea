"""Every line of integrity fires and releases; the canary sees a feature that looks ahead and itself being blind."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.retrain.gates import integrity
from pipelines.retrain.gates.integrity import Canary, Parity, Vectors
from pipelines.retrain.gates.lines import Line, passed, refused

GOOD = Parity(10_000, 1e-7, 1e-6, 0)


def test_nothing_judged_is_nothing_shown() -> None:
    assert not passed([])
    assert not passed([Line("a", True, "", "", ""), Line("b", False, "", "", "")])
    assert refused([Line("a", True, "", "", "")]) == []


@pytest.mark.parametrize("line", [integrity.view_servable, integrity.files, integrity.golden_rows])
def test_a_problem_is_shown_as_it_is(line) -> None:  # type: ignore[no-untyped-def]
    assert line(None).passed
    assert not line("b.txt: changed").passed
    assert line("b.txt: changed").value == "b.txt: changed"


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (GOOD, True),
        (None, False),
        (Parity(9_999, 0.0, 0.0, 0), False),
        (Parity(10_000, 2e-6, 0.0, 0), False),
        (Parity(10_000, 0.0, 2e-5, 0), False),
        (Parity(10_000, 0.0, 0.0, 1), False),
    ],
)
def test_parity(found: Parity | None, good: bool) -> None:
    assert integrity.parity(found).passed is good


def test_parity_that_is_no_number_refuses() -> None:
    assert not integrity.parity(Parity(10_000, float("nan"), 0.0, 0)).passed


def test_a_constant_does_not_vary_and_one_class_is_not_two() -> None:
    usual = np.array([0.2, 0.3, 0.5])
    constant = np.tile(usual, (100, 1))
    assert not integrity.outputs_vary(constant).passed
    assert not integrity.both_classes(constant, usual).passed
    only_up = constant + np.linspace(0, 0.1, 100)[:, None] * [-1, 0, 1]
    assert integrity.outputs_vary(only_up).passed
    assert not integrity.both_classes(only_up, usual).passed
    leaning_up = constant + np.linspace(-0.1, 0.1, 100)[:, None] * [-1, 0, 1]
    assert integrity.both_classes(leaning_up, usual).passed
    assert not integrity.outputs_vary(np.zeros((0, 3))).passed


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (Canary(100, 0, 8), True),
        (None, False),
        (Canary(0, 0, 8), False),
        (Canary(100, 1, 8), False),
        (Canary(100, 0, 0), False),
    ],
)
def test_leakage(found: Canary | None, good: bool) -> None:
    assert integrity.leakage(found).passed is good


def vectors(values: np.ndarray) -> Vectors:
    return Vectors(np.arange(len(values), dtype=np.int64), values.astype(np.float32).reshape(len(values), -1))


def test_the_canary_sees_a_look_ahead_of_one_step_and_passes_a_running_sum() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=100), rng.normal(size=100)
    other[:70] = one[:70]
    honest = integrity.canary(vectors(np.cumsum(one)), vectors(np.cumsum(other)), 69)
    assert honest == Canary(70, 0, 8)
    ahead = integrity.canary(vectors(np.roll(one, -1)), vectors(np.roll(other, -1)), 69)
    assert ahead.changed == 1
    centred = integrity.canary(vectors(one - one.mean()), vectors(other - other.mean()), 69)
    assert centred.changed == 70


def test_the_canary_knows_that_it_was_blind() -> None:
    values = np.ones(100)
    assert integrity.canary(vectors(values), vectors(values), 69) == Canary(70, 0, 0)


def test_a_missing_vector_and_a_missing_number_count_as_changes() -> None:
    one = np.arange(100.0)
    fewer = Vectors(np.delete(np.arange(100), 3), vectors(one).values[1:])
    assert integrity.canary(vectors(one), fewer, 69).changed == 70
    hole = one.copy()
    hole[5] = np.nan
    assert integrity.canary(vectors(hole), vectors(hole), 69).changed == 0
    assert integrity.canary(vectors(one), vectors(hole), 69).changed == 1
