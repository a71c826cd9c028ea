"""Verdict: hand what the earlier steps left to the gate, and keep its summary, report and page of plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.trading.features.spec import FeatureSpec, FeatureView, ViewMismatch
from libs.trading.fees import Costs
from libs.trading.market import Provenance
from libs.trading.scoring import Scope, scope_of_data
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts
from pipelines.retrain.adapters.tables import read_columns
from pipelines.retrain.gates.case import Latency, NoChampion, Split
from pipelines.retrain.gates.integrity import Canary, Parity
from pipelines.retrain.gates.policy import Policy
from pipelines.retrain.report.plots import write_page
from pipelines.retrain.steps.evaluate import DatasetMeta, Measured
from pipelines.retrain.steps.fits import load_features
from pipelines.retrain.steps.gate import Checks, Verdicts, consider, measure, sign_evidence, sign_integrity
from pipelines.retrain.steps.score import held_out


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a bundle is judged. `needed_scope` None: that of an account for data of this provenance."""

    policy: Policy
    costs: Costs
    needed_scope: Scope | None
    spec_in_force: FeatureSpec


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the gate found outside the run's own files. `no_champion`: True when the registry has none; None when no one
    looked, or there is one whose live predictions were not read. `trials`: configurations tried on these data."""

    trials: int
    no_champion: bool | None


def integrity(
    run: RunFolder, terms: Terms, found: Circumstances, key: Ed25519PrivateKey, clock_ns: Callable[[], int]
) -> Verdicts:
    """Judge the bundle, write the report and sign integrity with training's key. Raises RunError for a missing step."""
    meta, checks = _judged(run, terms, found)
    measured = measure(run.bundle, run.holdout_scored, checks, clock_ns)
    write_facts(run.circumstances, {"found": asdict(found), "measured": asdict(measured)})
    verdicts = _consider(run, terms, meta, checks, measured)
    sign_integrity(run.bundle, verdicts, key)
    write_page(verdicts.report, run.plots)
    return verdicts


def evidence(run: RunFolder, terms: Terms, key: Ed25519PrivateKey) -> Verdicts:
    """Work the whole judgement out again and sign its evidence with the gate's key; the times and circumstances are
    those that the report names. Raises RunError when report or integrity verdict are not what comes out."""
    kept = read_facts(run.circumstances, "integrity")
    meta, checks = _judged(run, terms, Circumstances(**kept["found"]))
    latency = kept["measured"]["latency"]
    measured = Measured(kept["measured"]["served_difference"], None if latency is None else Latency(**latency))
    verdicts = _consider(run, terms, meta, checks, measured)
    sign_evidence(run.bundle, verdicts, key)
    write_facts(run.verdicts, _summary(verdicts))
    return verdicts


def _consider(run: RunFolder, terms: Terms, meta: DatasetMeta, checks: Checks, measured: Measured) -> Verdicts:
    return consider(run.bundle, run.oof_scored, run.holdout_scored, meta, terms.policy, checks, measured)


def _judged(run: RunFolder, terms: Terms, found: Circumstances) -> tuple[DatasetMeta, Checks]:
    frozen, trained = read_facts(run.snapshot_facts, "snapshot"), read_facts(run.train_facts, "train")
    exported = read_facts(run.export_facts, "export")
    for table in (run.oof_scored, run.holdout_scored):
        if not table.exists():
            raise RunError(f"{table.parent.name}/{table.name} is missing: run the step 'evaluate' first")
    columns = read_columns(run.dataset_table, "dataset")
    meta = DatasetMeta(
        costs=terms.costs,
        needed_scope=terms.needed_scope or scope_of_data(Provenance[frozen["provenance"]]),
        gaps=len(frozen["gaps"]),
        splits=[Split(s["name"], s["last_label_end"], s["first_test_as_of"]) for s in trained["splits"]],
        trials=found.trials,
        champion=NoChampion() if found.no_champion else None,
    )
    checks = Checks(
        view_problem=_view_problem(frozen, terms.spec_in_force),
        parity=Parity(**exported["parity"]),
        canary=Canary(**frozen["canary"]),
        hold_out_features=load_features(run)[held_out(run, columns)],
    )
    return meta, checks


def _view_problem(frozen: dict[str, Any], spec: FeatureSpec) -> str | None:
    features = tuple(zip(frozen["features"], frozen["formula_versions"], strict=True))
    view = FeatureView(features, frozen["bar_interval_ns"], frozen["emission_interval_ns"])
    if view.hash != frozen["view_hash"]:
        return f"the frozen view has hash {frozen['view_hash']}, its names have {view.hash}"
    try:
        spec.project(view)
    except ViewMismatch as error:
        return str(error)
    return None


def _summary(found: Verdicts) -> dict[str, Any]:
    lines = [*found.integrity.reasons, *found.evidence.reasons]
    return {
        "digest": found.integrity.bundle_digest,
        "integrity": found.integrity.passed,
        "evidence": found.evidence.scope.name,
        "policy": found.evidence.policy_name,
        "policy_digest": found.evidence.policy_digest,
        "provenance": found.integrity.provenance.name,
        "reasons": [f"{x.line}: {x.value}, asked {x.threshold} ({x.detail})" for x in lines if not x.passed],
    }
