"""Runs steps of one request in this process; every step reads and writes the run's folder only, and once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from libs.bundle.folder import read_bundle
from libs.bundle.keys import key_id
from libs.bundle.manifest import MODEL_NAME
from libs.bundle.trust import Scope as BundleScope
from libs.runtime.kafka import KafkaConfig
from libs.trading.backtest import Terms as TradingTerms
from libs.trading.features.catalogue import VIEWS, full_spec
from libs.trading.features.spec import FeatureSpec
from libs.trading.fees import Costs
from libs.trading.labels import LabelSpec
from libs.trading.market import MarketRecord, Provenance
from libs.trading.scoring import LabelKind, Scope
from libs.wire.places import Place
from pipelines.retrain.adapters.archive_log import archive_at, archive_log, find_session, wait_until_archived
from pipelines.retrain.adapters.archive_window import (
    ArchiveWindow,
    wait_for_instrument,
    wait_until_passed,
    window_log,
)
from pipelines.retrain.adapters.bar_files import bar_files, bar_log
from pipelines.retrain.adapters.code_version import code_version
from pipelines.retrain.adapters.finished import Trace, begin, finish, inputs_of, is_finished
from pipelines.retrain.adapters.forest import Recipe
from pipelines.retrain.adapters.key_folder import GATE, TRAINING, make_keys, read_key
from pipelines.retrain.adapters.members import MEMBERS
from pipelines.retrain.adapters.mlflow_registry import Registry
from pipelines.retrain.adapters.model_events import tell_registered
from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts
from pipelines.retrain.adapters.waiting import when_there
from pipelines.retrain.gates.policy import Policy
from pipelines.retrain.report.progress import StepProgress
from pipelines.retrain.report.tables import show
from pipelines.retrain.settings import Request
from pipelines.retrain.steps.calibrate import calibrate
from pipelines.retrain.steps.dataset import dataset
from pipelines.retrain.steps.export import export
from pipelines.retrain.steps.fits import Training, fold_names, keep_fit, kept_fit, training
from pipelines.retrain.steps.plan import FoldPlan, ThresholdPlan
from pipelines.retrain.steps.register import register
from pipelines.retrain.steps.score import score
from pipelines.retrain.steps.snapshot import OPEN_END, Assumptions, Stretch, snapshot
from pipelines.retrain.steps.train import train
from pipelines.retrain.steps.verdict import Circumstances, Terms, evidence, integrity

NS = 1e9
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Places:
    """What lies outside the run's folder. No `mlflow`: nothing is registered. `make_keys`: where they are absent."""

    mlflow: str | None
    kafka: KafkaConfig | None
    keys: Path
    make_keys: bool = True


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A request with its folder, ready to run any of `STEPS`; `clock_ns` is the wall clock.

    `again`: finished steps too. `member` and `fold` say which fit the step `fit` makes.
    """

    folder: RunFolder
    request: Request
    places: Places
    progress: StepProgress
    console: Console
    clock_ns: Callable[[], int]
    again: bool = False
    member: str = ""
    fold: str = ""

    def run(self, step: str) -> None:
        self.progress.begin(step)
        self.progress.end(self._once(step))

    def _once(self, step: str) -> str:
        """A step that ended before with the same inputs, and whose files are all there, is not done again."""
        trace = TRACES.get(step)
        if trace is None or (step == "snapshot" and self.request.source.to_ns is None):
            return (STEPS | PARTS)[step](self)
        inputs = inputs_of(self.folder, trace, self._told(step))
        if not self.again and is_finished(self.folder, step, inputs, trace):
            return "finished before, from the same inputs"
        begin(self.folder, step)
        said = (STEPS | PARTS)[step](self)
        finish(self.folder, step, inputs, trace)
        return said

    def _told(self, step: str) -> dict[str, Any]:
        request = self.request.model_dump(mode="json", exclude={"source": {"patience_s"}})
        signers = {"integrity": (TRAINING,), "evidence": (GATE,), "gate": (TRAINING, GATE)}.get(step, ())
        keys = [key_id(self.key(name).public_key()) for name in signers]
        return {"request": request, "policy": self.policy.digest, "code": code_version(), "keys": keys}

    def key(self, name: str) -> Ed25519PrivateKey:
        if self.places.make_keys:
            make_keys(self.places.keys)
        return read_key(self.places.keys, name)

    def wait_for(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns once what it needs is there, at most the request's patience."""
        return when_there(attempt, self.request.source.patience_s, self.progress.tell)

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

    @property
    def recipes(self) -> dict[str, Recipe]:
        settings = self.request.settings
        return {name: Recipe(**tree.model_dump(), seed=settings.seed) for name, tree in settings.members.items()}

    @property
    def folds(self) -> FoldPlan:
        folds = self.request.settings.folds
        return FoldPlan(
            folds=folds.folds,
            first_share=folds.first_share,
            embargo_bars=folds.embargo_bars,
            holdout_share=folds.holdout_share,
            holdout_least_ns=int(folds.holdout_least_s * NS),
            holdout_most_share=folds.holdout_most_share,
            least_rows=folds.least_rows,
        )

    @property
    def fits(self) -> list[dict[str, str]]:
        """Every fit of this run, the largest first."""
        return [{"member": name, "fold": fold} for fold in fold_names(self.folds) for name in self.recipes]

    @property
    def terms(self) -> Terms:
        needed = self.request.needed_scope
        return Terms(self.policy, self.costs, None if needed is None else Scope[needed], self.spec)

    def summary(self) -> dict[str, Any]:
        """What is known of this run, for the last line of output."""
        found: dict[str, Any] = {"run": self.folder.path.name}
        if self.folder.verdicts.exists():
            found |= read_facts(self.folder.verdicts, "gate")
            found["threshold"] = read_facts(self.folder.calibration, "calibrate")["threshold"]
            found["rows"] = read_facts(self.folder.dataset_facts, "dataset")["rows"]
        if self.folder.registration.exists():
            registered = read_facts(self.folder.registration, "register")
            found |= {name: registered[name] for name in ("version", "alias", "new", "digest")}
        return found


def take_snapshot(local: LocalRun) -> str:
    source, settings = local.request.source, local.request.settings
    stretch = Stretch(source.from_ns, OPEN_END if source.to_ns is None else source.to_ns, None)
    if source.data is not None:
        log, name = _bars(source.data, int(settings.history_delay_ms * 1e6)), f"bars in {source.data.name}"
    elif source.archive is not None and source.window is not None:
        log, name = _window(local, archive_at(source.archive)), f"{source.window} of {source.instrument}"
    elif source.archive is not None:
        archive = archive_at(source.archive)
        instrument, session = find_session(archive, source.instrument, source.session)
        stretch = Stretch(stretch.from_ns, stretch.to_ns, session)
        if source.to_ns is not None:
            wait_until_archived(archive, instrument, session, source.to_ns, source.patience_s, local.progress.tell)
        log = archive_log(archive, instrument, session, stretch.to_ns)
        name = f"session {session} of {instrument}"
    else:
        raise RunError("name a source: --data FOLDER of bars, or --archive FOLDER of an environment")
    assumptions = Assumptions(int(settings.history_delay_ms * 1e6), settings.half_spread_bps)
    names = VIEWS[settings.view]
    snapshot(local.folder, log, local.spec, names, stretch, assumptions, name, settings.seed, local.progress.tell)
    facts = read_facts(local.folder.snapshot_facts, "snapshot")
    sessions = f"{len(facts['sessions'])} session{'s' if len(facts['sessions']) > 1 else ''}"
    return (
        f"{facts['rows']} vectors of {len(names)} features from {sessions}, {facts['provenance']}, "
        f"{len(facts['gaps'])} gaps"
    )


def _window(local: LocalRun, archive: Place) -> Iterator[tuple[int, MarketRecord]]:
    source, tell = local.request.source, local.progress.tell
    instrument = wait_for_instrument(archive, source.instrument, source.patience_s, tell)
    provenance = None if source.provenance is None else Provenance[source.provenance]
    window = ArchiveWindow(instrument, source.from_ns, source.to_ns or OPEN_END, provenance)
    wait_until_passed(archive, window, source.patience_s, tell)
    return window_log(archive, window)


def _bars(folder: Path, known_after_ns: int) -> Iterator[tuple[int, MarketRecord]]:
    for file in bar_files(folder):
        yield from ((-1, record) for record in bar_log(file, known_after_ns))


def make_dataset(local: LocalRun) -> str:
    dataset(local.folder, local.label)
    facts = read_facts(local.folder.dataset_facts, "dataset")
    return f"{facts['rows']} rows, {facts['not_ready']} vectors were not ready"


def _training(local: LocalRun) -> Training:
    recipes = local.recipes
    members = {name: MEMBERS[name] for name in MEMBERS if name in recipes}
    return training(local.folder, members, recipes, local.label, local.folds, code_version())


def fit_member(local: LocalRun) -> str:
    known = _training(local)
    member, part = local.member, known.part(local.fold)
    known.member(member)
    if not local.again and kept_fit(local.folder, known, member, part.fold) is not None:
        return f"{member}, {part.name}: fitted before, from the same inputs"
    keep_fit(local.folder, known, member, part.fold, known.fit(part, member))
    return f"{member}, {part.name}: fitted on {part.split.train.size} rows"


def train_members(local: LocalRun) -> str:
    known = _training(local)
    made = train(local.folder, known, os.cpu_count() or 1, local.progress.tell)
    return f"{len(known.members)} members on {len(known.parts) - 1} folds, {made} fits made now"


def calibrate_vote(local: LocalRun) -> str:
    account, settings = local.policy.account, local.request.settings.threshold
    label = local.label
    terms = TradingTerms(local.costs, label.horizon_ns, label.latency_ns, account.balance_quote, account.balance_quote)
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
    sign_integrity(local)
    return sign_evidence(local)


def sign_integrity(local: LocalRun) -> str:
    trials = local.request.settings.trials + local.folder.judged_before()
    found = Circumstances(trials, _no_champion(local))
    judged = integrity(local.folder, local.terms, found, local.key(TRAINING), local.clock_ns)
    return f"integrity {'holds' if judged.integrity.passed else 'refused'}"


def sign_evidence(local: LocalRun) -> str:
    judged = evidence(local.folder, local.terms, local.key(GATE))
    show(judged.report, local.console)
    held = "holds" if judged.integrity.passed else "refused"
    return f"integrity {held}, evidence {judged.evidence.scope.name}"


def _no_champion(local: LocalRun) -> bool | None:
    """None where there is a champion: its live predictions are not read yet, so the line that asks refuses."""
    mlflow = local.places.mlflow
    if mlflow is None:
        return None
    champion = local.wait_for(lambda: Registry(mlflow, MODEL_NAME).champion())
    return True if champion is None else None


def register_version(local: LocalRun) -> str:
    mlflow = local.places.mlflow
    if mlflow is None:
        return "no registry was named (--mlflow): nothing is registered"
    registry = Registry(mlflow, MODEL_NAME)
    facts = local.wait_for(lambda: register(local.folder, registry, window=local.request.source.window is not None))
    if not facts["settled"]:
        local.wait_for(lambda: _tell(local, facts))
        local.wait_for(lambda: registry.settle(facts["version"]))
    before = "" if facts["new"] else "registered before: "
    return f"{before}{MODEL_NAME} version {facts['version']}, alias {facts['alias'] or 'none'}"


def _tell(local: LocalRun, facts: dict[str, Any]) -> None:
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
# Of `train` and `gate`: for pods that make one fit, or hold one key.
PARTS: dict[str, Callable[[LocalRun], str]] = {
    "fit": fit_member,
    "integrity": sign_integrity,
    "evidence": sign_evidence,
}

BUNDLE = "bundle/files.json"  # lists the digest of every file that export wrote; the gate's own lie beside it
LEARNT = ("snapshot", "dataset", "train", "calibrate")
JUDGED = ("snapshot", "dataset", "train", "export", "evaluate", BUNDLE)
INTEGRITY = ("bundle/report.json", "bundle/verdicts/integrity.json", "bundle/verdicts/integrity.sig")
EVIDENCE = ("bundle/verdicts/evidence.json", "bundle/verdicts/evidence.sig", "gate/summary.json")
TRACES: dict[str, Trace] = {
    "snapshot": Trace((), ("snapshot",)),
    "dataset": Trace(("snapshot",), ("dataset",)),
    "train": Trace(("dataset",), ("train",)),
    "calibrate": Trace(("dataset", "train"), ("calibrate",)),
    "export": Trace(LEARNT, ("export", BUNDLE)),
    "evaluate": Trace((*LEARNT[1:], BUNDLE), ("evaluate",)),
    "gate": Trace(JUDGED, ("gate", *INTEGRITY, *EVIDENCE)),
    "integrity": Trace(JUDGED, ("gate/circumstances.json", "gate/report.png", *INTEGRITY)),
    "evidence": Trace((*JUDGED, "gate/circumstances.json", *INTEGRITY), EVIDENCE),
}
