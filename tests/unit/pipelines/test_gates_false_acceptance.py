"""How often the demo's policy accepts a model that knows nothing, and how often one that knows something."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.gates.evidence import evidence
from pipelines.retrain.gates.policy import Policy
from pipelines.retrain.steps.evaluate import evaluate
from tests.builders.candidates import Market, a_case, a_world

RUNS = 200


@cache
def quick() -> Policy:
    """The demo's policy with fewer draws: the same lines, a little noisier bounds."""
    policy = read_policy("demo")
    return replace(policy, sampling=replace(policy.sampling, draws=200))


def accepted(market: Market, probabilities: NDArray[np.float64] | None = None, threshold: float = 0.2) -> bool:
    world = a_world(market)
    case = a_case(world, world.true_probabilities if probabilities is None else probabilities, threshold=threshold)
    return evidence(evaluate(case, quick()), quick()).scope > 0


def test_a_model_of_another_market_is_hardly_ever_accepted() -> None:
    """Permuted as a whole: probabilities of one history judged on another, so their own dependence stays."""
    count = 0
    for seed in range(RUNS):
        foreign = a_world(Market(edge=0.6, seed=10_000 + seed)).true_probabilities
        count += accepted(Market(edge=0.6, seed=seed), foreign)
    assert count <= 0.01 * RUNS


def test_noise_on_a_market_without_a_signal_is_hardly_ever_accepted() -> None:
    count = 0
    for seed in range(RUNS):
        foreign = a_world(Market(edge=0.4, memory_s=12.0, seed=10_000 + seed)).true_probabilities
        count += accepted(Market(edge=0.0, seed=seed), foreign, 0.1)
    assert count <= 0.01 * RUNS


@pytest.mark.parametrize(("edge", "least"), [(0.6, 0.8)])
def test_an_honest_edge_is_mostly_accepted(edge: float, least: float) -> None:
    count = sum(accepted(Market(edge=edge, seed=seed), threshold=0.4) for seed in range(40))
    assert count >= least * 40
