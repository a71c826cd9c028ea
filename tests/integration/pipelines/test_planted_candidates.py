"""Planted candidates through the whole gate: tables, bundle, graph, report, signatures; each refused for its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from libs.bundle.acceptance import Accepted, Refusal, Refused, Trust
from libs.bundle.acceptance import judge as accept
from libs.bundle.folder import read_bundle, write_bundle
from libs.bundle.golden import GoldenRows
from libs.bundle.manifest import EvaluationWindow, Label, LabelKind
from libs.bundle.trust import Provenance, Scope
from libs.trading.scoring import Scope as TradingScope
from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.adapters.scored_table import TableError
from pipelines.retrain.gates.case import NoChampion, Split
from pipelines.retrain.gates.integrity import Canary, Parity
from pipelines.retrain.steps.evaluate import DatasetMeta
from pipelines.retrain.steps.gate import Checks, Keys, Verdicts, judge
from tests.builders.bundles import (
    CLASSES,
    a_key_pair,
    a_linear_graph,
    a_manifest,
    golden_inputs,
    linear_probabilities,
    weights,
)
from tests.builders.candidates import COSTS, MEMBERS, SECOND, Market, World, a_world, hold_out_start

Floats = NDArray[np.float64]
KEYS = a_key_pair()
TABLE = weights(3)
CLEAN = Canary(900, 0, 8)
HONEST = 0.8  # of the linear rule per standard deviation of the expected return: about calibrated


@dataclass(frozen=True, eq=False)
class Candidate:
    """Features that a linear bundle turns into probabilities, and what the gate is told beside them."""

    world: World
    signal: Floats
    threshold: float | None = 0.35
    provenance: Provenance = Provenance.SIMULATED
    needed_scope: TradingScope = TradingScope.SIMULATED
    canary: Canary = CLEAN
    microseconds: int = 300
    table: Floats | None = None
    tampered: bool = False

    @property
    def features(self) -> NDArray[np.float32]:
        noise = np.random.default_rng(9).normal(size=(self.signal.size, 2))
        return np.column_stack((self.signal, noise)).astype(np.float32)

    @property
    def weights(self) -> Floats:
        return TABLE if self.table is None else self.table

    @property
    def probabilities(self) -> Floats:
        return linear_probabilities(self.features, self.weights)


def knowledge(world: World) -> Floats:
    return np.asarray(world.expected / world.expected.std())


@pytest.fixture(scope="module")
def world() -> World:
    return a_world(Market(edge=0.6, seed=5))


def honest(world: World) -> Candidate:
    return Candidate(world, knowledge(world) * HONEST)


def constant(world: World) -> Candidate:
    return Candidate(world, np.full(knowledge(world).shape, 0.3), threshold=0.1)


def shuffled_labels(world: World) -> Candidate:
    """Taught on shuffled labels: its answers belong to another history."""
    return Candidate(world, knowledge(a_world(replace(world.market, seed=77))) * HONEST, threshold=0.2)


def looks_ahead(world: World) -> Candidate:
    """A feature that holds the return of the next seconds; the canary found it in the engine."""
    return Candidate(world, 6 * world.future / world.future.std(), threshold=0.2, canary=Canary(900, 1, 8))


def looks_ahead_unseen(world: World) -> Candidate:
    """The same where the feature engine is clean, as with a join that was not purged: only the score gives it away."""
    return replace(looks_ahead(world), canary=Canary(900, 0, 8))


def slow(world: World) -> Candidate:
    return replace(honest(world), microseconds=80_000)


def over_trading(world: World) -> Candidate:
    """Turns round with every wobble of its own noise."""
    noise = np.random.default_rng(4).normal(size=world.future.size)
    return Candidate(world, knowledge(world) * 0.4 + noise, threshold=0.05)


def mis_calibrated(world: World) -> Candidate:
    """Right about the direction, far too sure of it."""
    return Candidate(world, knowledge(world) * 5.0, threshold=0.9)


def volatility_only(_: World) -> Candidate:
    """Knows when the market will move, not where to: the first feature speaks for up and for down alike."""
    other = a_world(Market(edge=0.0, seed=5, volatility_swing=0.6))
    table = np.array([(1.0, -1.0, 1.0), (-0.02, 0.0, 0.02), (0.0, 0.0, 0.0)])
    calm = other.spread_of_return < np.mean(other.spread_of_return)
    return Candidate(other, np.where(calm, -1.2, 0.1), threshold=0.01, table=table)


def simulated_for_a_recording(world: World) -> Candidate:
    return replace(honest(world), needed_scope=TradingScope.PAPER)


def never(world: World) -> Candidate:
    return replace(honest(world), threshold=None)


# --- how a candidate reaches the gate


def write_tables(folder: Path, candidate: Candidate) -> tuple[Path, Path, NDArray[np.float32]]:
    """Both tables as training writes them, and the hold-out's features in the order of its table."""
    world, quotes = candidate.world, candidate.world.quotes
    columns: dict[str, NDArray[np.generic]] = {
        name: getattr(quotes, name) for name in ("as_of", "known_at", "bid", "ask")
    }
    columns |= {"label": world.labels.astype(np.int8), "label_end": world.label_end, "future_return": world.future}
    for prefix in ("p", *(f"{member}_p" for member in MEMBERS)):
        columns |= {f"{prefix}_{name}": candidate.probabilities[:, c] for c, name in enumerate(CLASSES)}
    border = hold_out_start(world.market)
    parts = {
        "oof": np.flatnonzero(world.label_end <= border),
        "held": np.random.default_rng(2).permutation(np.flatnonzero(quotes.as_of >= border)),  # any order will do
    }
    for name, place in parts.items():
        table = {key: pa.array(values[place]) for key, values in columns.items()}
        text = {"instrument": "bybit.linear.BTCUSDT", "session": "s1"}
        table |= {key: pa.array([value] * place.size).dictionary_encode() for key, value in text.items()}
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder / "oof.parquet", folder / "held.parquet", candidate.features[parts["held"]]


def write_candidate(folder: Path, candidate: Candidate) -> None:
    market, border = candidate.world.market, hold_out_start(candidate.world.market)
    manifest = replace(
        a_manifest(provenance=candidate.provenance, decision_threshold=candidate.threshold),
        label=Label(LabelKind.DIRECTION, int(market.horizon_s * SECOND), CLASSES, {"threshold": candidate.world.cut}),
        evaluation=EvaluationWindow(border, border + int((market.held_out_s + 1) * SECOND)),
    )
    inputs = golden_inputs(3)
    golden = GoldenRows(inputs, linear_probabilities(inputs, candidate.weights))
    graph = a_linear_graph(candidate.weights + (0.5 if candidate.tampered else 0.0) * np.eye(3))
    write_bundle(folder, manifest, graph, {"linear": b"{}"}, golden)


def ticking(step_ns: int) -> Callable[[], int]:
    ticks = count(0, step_ns)
    return lambda: next(ticks)


def judged(tmp_path: Path, candidate: Candidate, policy: str = "demo") -> Verdicts:
    border = hold_out_start(candidate.world.market)
    write_candidate(tmp_path / "bundle", candidate)
    oof, held, features = write_tables(tmp_path, candidate)
    meta = DatasetMeta(
        costs=COSTS,
        needed_scope=candidate.needed_scope,
        gaps=0,
        splits=(Split("fold 1", border - 400 * SECOND, border - 390 * SECOND), Split("outer", border - 1, border)),
        trials=1,
        champion=NoChampion(),
    )
    checks = Checks(None, Parity(12_000, 1e-7, 1e-6, 0), candidate.canary, features)
    keys = Keys(KEYS.training, KEYS.gate)
    clock = ticking(candidate.microseconds * 1000)
    return judge(tmp_path / "bundle", oof, held, meta, read_policy(policy), keys, checks, clock)


def refusals(verdicts: Verdicts) -> set[str]:
    lines = (*verdicts.integrity.reasons, *verdicts.evidence.reasons)
    return {line.line for line in lines if not line.passed}


def trust(scope: Scope) -> Trust:
    return Trust(KEYS.integrity, KEYS.evidence, scope)


# --- what becomes of them


def test_an_honest_edge_becomes_champion_of_simulated_accounts_only(tmp_path: Path, world: World) -> None:
    verdicts = judged(tmp_path, honest(world))
    assert refusals(verdicts) == set()
    assert verdicts.evidence.scope is Scope.SIMULATED
    bundle = read_bundle(tmp_path / "bundle")
    accepted = accept(bundle, alias="champion", trust=trust(Scope.SIMULATED), view_problem=None)
    assert isinstance(accepted, Accepted)
    assert accepted.evidence_verdict == verdicts.evidence
    paper = accept(bundle, alias="champion", trust=trust(Scope.PAPER), view_problem=None)
    assert isinstance(paper, Refused)
    assert paper.code is Refusal.SCOPE_TOO_LOW


@pytest.mark.parametrize(
    ("plant", "reasons"),
    [
        (constant, {"outputs_vary", "both_classes", "direction", "beats_naive"}),
        (shuffled_labels, {"direction", "brier_skill", "beats_naive"}),
        (looks_ahead, {"leakage", "suspicion"}),
        (looks_ahead_unseen, {"suspicion"}),
        (slow, {"latency"}),
        (over_trading, {"over_trading"}),
        (mis_calibrated, {"calibration"}),
        (volatility_only, {"direction", "members", "beats_naive"}),
        (simulated_for_a_recording, {"provenance"}),
        (never, {"threshold", "trades"}),
    ],
)
def test_a_planted_candidate_is_refused_for_its_reason(
    tmp_path: Path, world: World, plant: Callable[[World], Candidate], reasons: set[str]
) -> None:
    verdicts = judged(tmp_path, plant(world))
    assert reasons <= refusals(verdicts)
    refused = accept(
        read_bundle(tmp_path / "bundle"), alias="champion", trust=trust(Scope.SIMULATED), view_problem=None
    )
    assert isinstance(refused, Refused)
    assert verdicts.evidence.scope is Scope.NONE or not verdicts.integrity.passed
    shown = json.dumps(verdicts.report["verdict"]["refusals"])
    assert all(reason in shown for reason in reasons)


@pytest.mark.parametrize(
    ("plant", "reasons"),
    [(slow, {"latency"}), (simulated_for_a_recording, {"provenance"})],
)
def test_some_are_refused_for_nothing_else(
    tmp_path: Path, world: World, plant: Callable[[World], Candidate], reasons: set[str]
) -> None:
    assert refusals(judged(tmp_path, plant(world))) == reasons


def test_the_wrong_sort_of_right(tmp_path: Path, world: World) -> None:
    """The over-sure one knows the direction, the volatility one has skill: only their own lines see through them."""
    assert "direction" not in refusals(judged(tmp_path, mis_calibrated(world)))


def test_knowing_when_it_moves_has_brier_skill_and_no_direction(tmp_path: Path, world: World) -> None:
    found = refusals(judged(tmp_path, volatility_only(world)))
    assert "brier_skill" not in found
    assert "direction" in found


def test_another_graph_than_the_judged_one_is_refused(tmp_path: Path, world: World) -> None:
    found = refusals(judged(tmp_path, replace(honest(world), tampered=True)))
    assert {"golden_rows", "served_as_judged"} <= found


def test_production_refuses_minutes_of_simulated_data(tmp_path: Path, world: World) -> None:
    verdicts = judged(tmp_path, honest(world), "production")
    assert {"span", "trades", "shadow_replay"} <= refusals(verdicts)
    assert verdicts.integrity.passed
    bundle = read_bundle(tmp_path / "bundle")
    assert isinstance(accept(bundle, alias="challenger", trust=trust(Scope.NONE), view_problem=None), Accepted)


def test_the_report_is_the_one_that_both_verdicts_name(tmp_path: Path, world: World) -> None:
    verdicts = judged(tmp_path, honest(world))
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.report is not None
    assert bundle.report_digest == verdicts.integrity.report_digest == verdicts.evidence.report_digest
    report: Mapping[str, object] = json.loads(bundle.report)
    assert report["bundle_digest"] == bundle.digest


def test_the_same_candidate_gives_the_same_report(tmp_path: Path, world: World) -> None:
    first, second = (judged(tmp_path / str(k), honest(world)) for k in _folders(tmp_path))
    assert first.integrity == second.integrity
    assert first.evidence == second.evidence


def _folders(tmp_path: Path) -> list[int]:
    for k in (1, 2):
        (tmp_path / str(k)).mkdir()
    return [1, 2]


def test_a_table_without_its_columns_is_named(tmp_path: Path, world: World) -> None:
    write_candidate(tmp_path / "bundle", honest(world))
    oof, held, features = write_tables(tmp_path, honest(world))
    pq.write_table(pq.read_table(held).drop_columns(["label_end"]), held)
    meta = DatasetMeta(COSTS, TradingScope.SIMULATED)
    with pytest.raises(TableError, match=r"held\.parquet: missing label_end"):
        judge(
            tmp_path / "bundle", oof, held, meta, read_policy("demo"), Keys(KEYS.training, KEYS.gate),
            Checks(hold_out_features=features), ticking(1000),
        )  # fmt: skip


def test_a_caller_that_knows_nothing_gets_nothing(tmp_path: Path, world: World) -> None:
    write_candidate(tmp_path / "bundle", honest(world))
    oof, held, _ = write_tables(tmp_path, honest(world))
    keys = Keys(KEYS.training, KEYS.gate)
    meta = DatasetMeta(COSTS, TradingScope.SIMULATED)
    found = judge(tmp_path / "bundle", oof, held, meta, read_policy("demo"), keys, Checks(), ticking(1000))
    unknown = {"view_servable", "parity", "leakage", "gap_free", "outer_hold_out", "served_as_judged", "latency"}
    assert refusals(found) == {*unknown, "deflated_sharpe"}
