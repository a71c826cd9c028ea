"""Runs the steps of one request in this process; every step reads and writes the run's folder only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from libs.bundle.folder import read_bundle
from libs.bundle.manifest import MODEL_NAME
from libs.bundle.trust import Scope as BundleScope
from libs.runtime.kafka import KafkaConfig
from libs.trading.backtest import Terms
from libs.trading.features.catalogue import VIEWS, full_spec
from libs.trading.features.spec import FeatureSpec
from libs.trading.fees import Costs
from libs.trading.labels import LabelSpec
from libs.trading.market import MarketRecord
from libs.trading.scoring import LabelKind, Scope
from pipelines.retrain.adapters.archive_log import archive_log, find_session, wait_until_archived
from pipelines.retrain.adapters.bar_files import bar_files, bar_log
from pipelines.retrain.adapters.code_version import code_version
from pipelines.retrain.adapters.forest import Recipe
from pipelines.retrain.adapters.key_folder import make_keys, read_keys
from pipelines.retrain.adapters.members import MEMBERS
from pipelines.retrain.adapters.mlflow_registry import Registry
from pipelines.retrain.adapters.model_events import tell_registered
from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts
from pipelines.retrain.gates.case import NoChampion
from pipelines.retrain.gates.policy import Policy
from pipelines.retrain.report.progress import StepProgress
from pipelines.retrain.report.tables import show
from pipelines.retrain.settings import Request
from pipelines.retrain.steps.calibrate import calibrate
from pipelines.retrain.steps.dataset import dataset
from pipelines.retrain.steps.export import export
from pipelines.retrain.steps.gate import Keys
from pipelines.retrain.steps.plan import FoldPlan, ThresholdPlan
from pipelines.retrain.steps.register import register
from pipelines.retrain.steps.score import score
from pipelines.retrain.steps.snapshot import OPEN_END, Assumptions, Stretch, snapshot
from pipelines.retrain.steps.train import train
from pipelines.retrain.steps.verdict import verdict

NS = 1e9


@dataclass(frozen=True, slots=True)
class Places:
    """What lies outside the run's folder. No `mlflow`: nothing is registered."""

    mlflow: str | None
    kafka: KafkaConfig | None
    keys: Path


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A request with its folder, ready to run any of `STEPS`; `clock_ns` is the wall clock."""

    folder: RunFolder
    request: Request
    places: Places
    progress: StepProgress
    console: Console
    clock_ns: Callable[[], int]

    def run(self, step: str) -> None:
        self.progress.begin(step)
        self.progress.end(STEPS[step](self))

    @property
    def spec(self) -> FeatureSpec:
        settings = self.request.settings
        return full_spec(int(settings.bar_s * NS), int(settings.emission_ms * 1e6))

    @property
    def policy(self) -> Policy:
        return read_policy(self.request.settings.policy)

    @property
    def costs(self) -> Costs:
        costs = self.request.settings.costs
        return Costs(costs.maker_fee_bps, costs.taker_fee_bps, costs.slippage_bps)

    @property
    def label(self) -> LabelSpec:
        """Latency is the policy's: what is learnt is what the gate's run can trade."""
        settings, label = self.request.settings, self.request.settings.label
        return LabelSpec(
            kind=LabelKind[label.kind],
            horizon_ns=int(settings.horizon_s * NS),
            threshold_sigmas=label.threshold_sigmas,
            threshold_floor=label.floor_round_trips * self.costs.taker_round_trip(),
            latency_ns=int(self.policy.account.latency_ms * 1e6),
            max_wait_ns=int(label.max_wait_s * NS),
        )

    def summary(self) -> dict[str, Any]:
        """What is known of this run, for the last line of output."""
        found: dict[str, Any] = {"run": self.folder.path.name}
        if self.folder.verdicts.exists():
            found |= read_facts(self.folder.verdicts, "gate")
            found["threshold"] = read_facts(self.folder.calibration, "calibrate")["threshold"]
            found["rows"] = read_facts(self.folder.dataset_facts, "dataset")["rows"]
        if self.folder.registration.exists():
            registered = read_facts(self.folder.registration, "register")
            found |= {name: registered[name] for name in ("version", "alias", "new")}
        return found


def take_snapshot(local: LocalRun) -> str:
    source, settings = local.request.source, local.request.settings
    stretch = Stretch(source.from_ns, OPEN_END if source.to_ns is None else source.to_ns, None)
    if source.data is not None:
        log, name = _bars(source.data, int(settings.history_delay_ms * 1e6)), f"bars in {source.data.name}"
    elif source.archive is not None:
        instrument, session = find_session(source.archive, source.instrument, source.session)
        stretch = Stretch(stretch.from_ns, stretch.to_ns, session)
        if source.to_ns is not None:
            wait_until_archived(
                source.archive, instrument, session, source.to_ns, source.patience_s, local.progress.tell
            )
        log = archive_log(source.archive, instrument, session, stretch.to_ns)
        name = f"session {session} of {instrument}"
    else:
        raise RunError("name a source: --data FOLDER of bars, or --archive FOLDER of an environment")
    assumptions = Assumptions(int(settings.history_delay_ms * 1e6), settings.half_spread_bps)
    names = VIEWS[settings.view]
    snapshot(local.folder, log, local.spec, names, stretch, assumptions, name, settings.seed, local.progress.tell)
    facts = read_facts(local.folder.snapshot_facts, "snapshot")
    return f"{facts['rows']} vectors of {len(names)} features, {facts['provenance']}, {len(facts['gaps'])} gaps"


def _bars(folder: Path, known_after_ns: int) -> Iterator[tuple[int, MarketRecord]]:
    for file in bar_files(folder):
        yield from ((-1, record) for record in bar_log(file, known_after_ns))


def make_dataset(local: LocalRun) -> str:
    dataset(local.folder, local.label)
    facts = read_facts(local.folder.dataset_facts, "dataset")
    return f"{facts['rows']} rows, {facts['not_ready']} vectors were not ready"


def train_members(local: LocalRun) -> str:
    settings, folds = local.request.settings, local.request.settings.folds
    recipes = {name: Recipe(**tree.model_dump(), seed=settings.seed) for name, tree in settings.members.items()}
    plan = FoldPlan(
        folds=folds.folds,
        first_share=folds.first_share,
        embargo_bars=folds.embargo_bars,
        holdout_share=folds.holdout_share,
        holdout_least_ns=int(folds.holdout_least_s * NS),
        holdout_most_share=folds.holdout_most_share,
        least_rows=folds.least_rows,
    )
    members = {name: MEMBERS[name] for name in MEMBERS if name in recipes}
    train(local.folder, members, recipes, local.label, plan, os.cpu_count() or 1, local.progress.tell)
    return f"{len(members)} members on {folds.folds} folds"


def calibrate_vote(local: LocalRun) -> str:
    account, settings = local.policy.account, local.request.settings.threshold
    label = local.label
    terms = Terms(local.costs, label.horizon_ns, label.latency_ns, account.balance_quote, account.balance_quote)
    plan = ThresholdPlan(settings.quantiles, settings.least_trades, settings.least_winning_folds)
    calibrate(local.folder, terms, plan)
    facts = read_facts(local.folder.calibration, "calibrate")
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in facts["weights"].items())
    threshold = "never" if facts["threshold"] is None else f"{facts['threshold']:.3f}"
    return f"weights {weights}; trades from {threshold}"


def export_bundle(local: LocalRun) -> str:
    digest = export(local.folder, MEMBERS, local.label, code_version(), local.request.settings.seed)
    parity = read_facts(local.folder.export_facts, "export")["parity"]
    return f"bundle {digest[:16]}, graph = native within {parity['after']:.1g} on {parity['rows']} rows"


def score_tables(local: LocalRun) -> str:
    score(local.folder, MEMBERS)
    return "out of fold and outer hold-out scored"


def judge_bundle(local: LocalRun) -> str:
    needed = local.request.needed_scope
    make_keys(local.places.keys)
    found = verdict(
        local.folder,
        local.policy,
        Keys(*read_keys(local.places.keys)),
        local.costs,
        None if needed is None else Scope[needed],
        _champion(local.places),
        local.spec,
        local.request.settings.trials + local.folder.judged_before(),
        local.clock_ns,
    )
    show(found.report, local.console)
    integrity = "holds" if found.integrity.passed else "refused"
    return f"integrity {integrity}, evidence {found.evidence.scope.name}"


def _champion(places: Places) -> NoChampion | None:
    """None where there is a champion: its live predictions are not read yet, so the line that asks refuses."""
    if places.mlflow is None:
        return None
    return NoChampion() if Registry(places.mlflow, MODEL_NAME).champion() is None else None


def register_version(local: LocalRun) -> str:
    if local.places.mlflow is None:
        return "no registry was named (--mlflow): nothing is registered"
    facts = register(local.folder, Registry(local.places.mlflow, MODEL_NAME))
    if local.places.kafka is not None:
        judged = read_facts(local.folder.verdicts, "gate")
        tell_registered(
            local.places.kafka,
            read_bundle(local.folder.bundle),
            facts["version"],
            facts["alias"] or "",
            BundleScope[judged["evidence"]],
            "; ".join(judged["reasons"]),
            local.clock_ns(),
        )
    return f"{MODEL_NAME} version {facts['version']}, alias {facts['alias'] or 'none'}"


STEPS: dict[str, Callable[[LocalRun], str]] = {
    "snapshot": take_snapshot,
    "dataset": make_dataset,
    "train": train_members,
    "calibrate": calibrate_vote,
    "export": export_bundle,
    "evaluate": score_tables,
    "gate": judge_bundle,
    "register": register_version,
}
