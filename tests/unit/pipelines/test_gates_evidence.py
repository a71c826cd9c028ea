"""Every line of evidence fires for its own reason and releases when that reason is gone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from libs.trading.fees import Costs
from libs.trading.market import Provenance
from libs.trading.scoring import LabelKind, Scope
from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.gates.case import Case, Latency, LiveChampion, NoChampion, Split, Window
from pipelines.retrain.gates.evidence import LINES, Evidence, evidence
from pipelines.retrain.gates.policy import LIMITS, Limits, Policy
from pipelines.retrain.steps.evaluate import evaluate
from tests.builders.candidates import COSTS, SECOND, Market, World, a_case, a_world, hold_out_start

BORDER = hold_out_start(Market())


@cache
def world(edge: float = 0.6, seed: int = 3) -> World:
    return a_world(Market(edge=edge, seed=seed))


@cache
def demo() -> Policy:
    """With fewer draws: the same lines, a little noisier bounds."""
    policy = read_policy("demo")
    return replace(policy, sampling=replace(policy.sampling, draws=200))


def asking(line: str, **limits: float) -> Policy:
    """The demo's policy with this line asked with these limits."""
    values = {**(dict(demo().asked[line].values) if line in demo().asked else {}), **limits}
    return replace(demo(), asked={**demo().asked, line: Limits(values, "the test asks")}, not_asked=())


def honest(**changes: object) -> Case:
    return a_case(world(), world().true_probabilities, **changes)


def judged(case: Case, policy: Policy | None = None) -> Evidence:
    policy = policy or demo()
    return evidence(evaluate(case, policy), policy)


def refusals(case: Case, policy: Policy | None = None) -> set[str]:
    return {line.name for line in judged(case, policy).lines if not line.passed}


def test_an_honest_edge_passes_and_gets_the_scope_of_its_data() -> None:
    found = judged(honest())
    assert [line for line in found.lines if not line.passed] == []
    assert found.scope is Scope.SIMULATED


def test_the_policy_caps_the_scope() -> None:
    assert judged(honest(provenance=Provenance.LIVE)).scope is Scope.PAPER
    assert judged(honest(provenance=Provenance.RECORDED)).scope is Scope.PAPER


def test_every_line_has_its_rule() -> None:
    assert set(LINES) == set(LIMITS)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("provenance", {"needed_scope": Scope.PAPER}),
        ("provenance", {"needed_scope": Scope.NONE}),
        ("provenance", {"provenance": Provenance.LIVE, "needed_scope": Scope.LIVE}),
        ("gap_free", {"gaps": 2}),
        ("gap_free", {"gaps": None}),
        ("label_kind", {"label_kind": LabelKind.META}),
        ("outer_hold_out", {"window": None}),
        ("outer_hold_out", {"splits": None}),
        ("outer_hold_out", {"splits": ()}),
        ("outer_hold_out", {"splits": (Split("outer", BORDER + 1, BORDER),)}),
        ("outer_hold_out", {"splits": (Split("fold 1", 5, 4), Split("outer", BORDER - 1, BORDER))}),
        ("outer_hold_out", {"splits": (Split("fold 1", BORDER - 9, BORDER - 8),)}),
        ("outer_hold_out", {"window": Window(BORDER, BORDER + SECOND)}),
        ("outer_hold_out", {"window": Window(BORDER + SECOND, BORDER + 301 * SECOND)}),
        ("served_as_judged", {"served_difference": None}),
        ("served_as_judged", {"served_difference": 1e-4}),
        ("latency", {"latency": None}),
        ("latency", {"latency": Latency(80.0, 500)}),
        ("latency", {"latency": Latency(40.0, 500), "emission_interval_ns": SECOND // 10}),
    ],
)
def test_a_line_fires_alone(line: str, changes: dict[str, object]) -> None:
    assert refusals(honest(**changes)) == {line}
    assert judged(honest(**changes)).scope is Scope.NONE


def test_out_of_fold_labels_that_reach_into_the_hold_out_are_seen() -> None:
    case = honest()
    late = case.earlier.label_end.copy()
    late[-1] = BORDER + 1
    assert refusals(replace(case, earlier=replace(case.earlier, label_end=late))) == {"outer_hold_out"}


def test_a_threshold_of_never_has_no_evidence() -> None:
    assert {"threshold", "trades", "beats_naive", "higher_costs"} <= refusals(honest(threshold=None))


@pytest.mark.parametrize(
    ("line", "fires", "releases"),
    [
        ("span", {"at_least_s": 310}, {"at_least_s": 290}),
        ("trades", {"at_least": 1000}, {"at_least": 5}),
        ("direction", {"above": 0.99}, {"above": 0.5}),
        ("suspicion", {"at_most": 0.6}, {"at_most": 0.95}),
        ("brier_skill", {"above": 0.9}, {"above": 0.0}),
        ("calibration", {"at_most": 0.001}, {"at_most": 0.12}),
        ("beats_naive", {"above_quote": 5000}, {"above_quote": 0}),
        ("higher_costs", {"factor": 20}, {"factor": 1.25}),
        ("members", {"above_auc": 0.95}, {"above_auc": 0.5}),
        ("members", {"above_skill": 0.9}, {"above_skill": -0.05}),
        ("drawdown", {"at_most": 0.0001}, {"at_most": 0.2}),
        ("deflated_sharpe", {"at_least": 0.999999}, {"at_least": 0.95}),
        ("over_trading", {"per_horizon": 0.1}, {"per_horizon": 1.5}),
        ("over_trading", {"per_instrument_day": 100}, {"per_instrument_day": 50000}),
        ("latency", {"p99_ms": 0.1}, {"p99_ms": 50}),
        ("latency", {"share_of_interval": 0.001}, {"share_of_interval": 0.2}),
    ],
)
def test_a_limit_fires_and_releases(line: str, fires: dict[str, float], releases: dict[str, float]) -> None:
    assert refusals(honest(), asking(line, **fires)) == {line}
    assert refusals(honest(), asking(line, **releases)) == set()


def test_many_trials_deflate_the_sharpe_ratio_and_unknown_ones_refuse() -> None:
    assert refusals(honest(trials=1)) == set()
    assert refusals(honest(trials=1_000_000)) == {"deflated_sharpe"}
    assert refusals(honest(trials=None)) == {"deflated_sharpe"}


def test_several_configurations_need_their_profit_by_period() -> None:
    policy = asking("overfitting", at_most=0.2)
    rng = np.random.default_rng(1)
    worthless = rng.normal(size=(240, 10))
    working = worthless + 0.6 * (np.arange(10) == 4)
    assert "overfitting" not in refusals(honest(trials=1), policy)
    assert "overfitting" in refusals(honest(trials=10), policy)
    assert "overfitting" in refusals(honest(trials=10, configurations=worthless), policy)
    assert "overfitting" not in refusals(honest(trials=10, configurations=working), policy)


def test_the_champion_is_compared_on_what_it_said_live() -> None:
    policy = asking("champion", margin_quote=50.0)
    case = honest()
    said = case.hold_out.score
    assert "champion" not in refusals(honest(champion=NoChampion()), policy)
    assert "champion" in refusals(honest(champion=None), policy)
    assert "champion" not in refusals(honest(champion=LiveChampion("c" * 64, -said, 0.4)), policy)
    seer = np.sign(case.hold_out.labels - 1.0)
    assert "champion" in refusals(honest(champion=LiveChampion("c" * 64, seer, 0.4)), policy)
    silent = np.full(said.shape, np.nan)
    assert "champion" not in refusals(honest(champion=LiveChampion("c" * 64, silent, 0.4)), policy)


def test_shadow_replay_refuses_until_it_has_been_done() -> None:
    policy = asking("shadow_replay")
    assert refusals(honest(), policy) == {"shadow_replay"}
    assert refusals(honest(shadow_passed=False), policy) == {"shadow_replay"}
    assert refusals(honest(shadow_passed=True), policy) == set()


def test_production_refuses_what_it_cannot_check_yet() -> None:
    found = judged(honest(champion=None), read_policy("production"))
    unchecked = {line.name for line in found.lines if line.value == "cannot be checked yet"}
    assert {"champion", "shadow_replay"} <= unchecked
    assert found.scope is Scope.NONE


def test_twice_the_costs_are_twice_the_costs() -> None:
    case = honest(costs=Costs(0.5, 2.0, 1.0))
    a = evaluate(case, asking("higher_costs", factor=2.0))
    notional = a.model.traded_notional
    assert a.model.net - a.costly.net == pytest.approx(notional * 3.0e-4, rel=0.01)


def test_the_same_case_gives_the_same_lines() -> None:
    assert judged(honest()) == judged(honest())


def test_the_naive_rival_is_chosen_before_the_hold_out() -> None:
    a = evaluate(honest(), demo())
    assert a.naive_before in {"stay out", "momentum", "reversal"}
    names = {against.name for against in a.naive}
    assert names == {"stay out", "buy and hold", "momentum", "reversal", "majority class"}
    assert a.case.costs == COSTS


def test_a_stretch_too_short_for_an_interval_says_so_instead_of_passing() -> None:
    tiny = a_world(Market(edge=0.9, seconds=90, held_out_s=25, seed=2))
    found = judged(a_case(tiny, tiny.true_probabilities, threshold=0.2))
    by_name = {line.name: line for line in found.lines}
    for name in ("direction", "suspicion", "beats_naive"):
        assert not by_name[name].passed
        assert "short run" in by_name[name].reason


def test_a_hold_out_in_which_nothing_moved_is_no_evidence() -> None:
    case = honest()
    still = replace(case.hold_out, labels=np.ones_like(case.hold_out.labels))
    assert {"direction", "suspicion", "members"} <= refusals(replace(case, hold_out=still))
