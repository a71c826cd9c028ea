"""Verdict: hand what the earlier steps left to the gate, and keep its summary, report and page of plots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libs.trading.features.spec import FeatureSpec, FeatureView, ViewMismatch
from libs.trading.fees import Costs
from libs.trading.market import Provenance
from libs.trading.scoring import Scope, scope_of_data
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts
from pipelines.retrain.adapters.tables import read_columns
from pipelines.retrain.gates.case import LiveChampion, NoChampion, Split
from pipelines.retrain.gates.integrity import Canary, Parity
from pipelines.retrain.gates.policy import Policy
from pipelines.retrain.report.plots import write_page
from pipelines.retrain.steps.evaluate import DatasetMeta
from pipelines.retrain.steps.gate import Checks, Keys, Verdicts, judge
from pipelines.retrain.steps.score import held_out
from pipelines.retrain.steps.train import load_features


def verdict(
    run: RunFolder,
    policy: Policy,
    keys: Keys,
    costs: Costs,
    needed_scope: Scope | None,
    champion: NoChampion | LiveChampion | None,
    spec_in_force: FeatureSpec,
    trials: int,
    clock_ns: Callable[[], int],
) -> Verdicts:
    """Judge the bundle of this run. Raises RunError when a step is missing.

    `needed_scope` None: that of an account for data of this provenance. `champion` None: no one looked, or its live
    predictions were not read. `trials`: configurations tried on these data.
    """
    frozen, trained = read_facts(run.snapshot_facts, "snapshot"), read_facts(run.train_facts, "train")
    exported = read_facts(run.export_facts, "export")
    for table in (run.oof_scored, run.holdout_scored):
        if not table.exists():
            raise RunError(f"{table.parent.name}/{table.name} is missing: run the step 'evaluate' first")
    columns = read_columns(run.dataset_table, "dataset")
    meta = DatasetMeta(
        costs=costs,
        needed_scope=needed_scope or scope_of_data(Provenance[frozen["provenance"]]),
        gaps=len(frozen["gaps"]),
        splits=[Split(s["name"], s["last_label_end"], s["first_test_as_of"]) for s in trained["splits"]],
        trials=trials,
        champion=champion,
    )
    checks = Checks(
        view_problem=_view_problem(frozen, spec_in_force),
        parity=Parity(**exported["parity"]),
        canary=Canary(**frozen["canary"]),
        hold_out_features=load_features(run)[held_out(run, columns)],
    )
    found = judge(run.bundle, run.oof_scored, run.holdout_scored, meta, policy, keys, checks, clock_ns)
    write_facts(run.verdicts, _summary(found))
    write_page(found.report, run.plots)
    return found


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
