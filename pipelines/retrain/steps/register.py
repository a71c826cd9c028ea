"""Register: put a judged bundle into the registry and move the alias that its verdicts allow."""

from __future__ import annotations

from typing import Any, Protocol

from libs.bundle.folder import REPORT, Bundle, read_bundle
from libs.bundle.trust import Scope
from pipelines.retrain.adapters.mlflow_registry import Entry, Registered
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts


class Registry(Protocol):
    """Where versions live; see adapters."""

    def register(self, entry: Entry) -> Registered: ...

    def set_alias(self, alias: str, version: int) -> None: ...


def allowed_alias(integrity: bool, evidence: Scope) -> str | None:
    """Integrity refused: none. Evidence refused: challenger at most. LIVE evidence: a person moves champion."""
    if not integrity:
        return None
    return "champion" if evidence in (Scope.SIMULATED, Scope.PAPER) else "challenger"


def register(run: RunFolder, registry: Registry, *, window: bool = False) -> dict[str, Any]:
    """Returns (and writes) version, alias and digest. Doing it twice is doing it once: a version whose registration was
    completed keeps the aliases that someone may have moved since.

    `window`: the run's name stands for a window and its settings, so whatever was registered under it is this version.
    """
    judged = read_facts(run.verdicts, "gate")
    bundle = read_bundle(run.bundle)
    if bundle.report is None or bundle.integrity is None or bundle.evidence is None:
        raise RunError("the bundle has no verdicts: run the step 'gate' first")
    alias = allowed_alias(bool(judged["integrity"]), Scope[judged["evidence"]])
    made = registry.register(
        Entry(
            bundle=run.bundle,
            digest=bundle.digest,
            run_name=run.path.name,
            window=window,
            alias=alias,
            parameters=_parameters(bundle),
            metrics=_metrics(run),
            tags=_tags(bundle, judged),
            extra={"report": run.bundle / REPORT, "plots": run.plots},
        )
    )
    if made.settled:
        alias = made.alias
    elif alias is not None:
        registry.set_alias(alias, made.version)
    facts = {
        "version": made.version,
        "new": made.new,
        "alias": alias,
        "digest": made.digest,
        "settled": made.settled,
    }
    write_facts(run.registration, facts)
    return facts


def _parameters(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    return {
        "view_hash": manifest.view.view_hash,
        "horizon_s": f"{manifest.label.horizon_ns / 1e9:g}",
        "label": manifest.label.kind.name,
        "decision_threshold": "never" if manifest.decision_threshold is None else f"{manifest.decision_threshold:g}",
        "dataset": manifest.dataset.id,
        "rows": str(manifest.dataset.rows),
        "instruments": ",".join(manifest.dataset.instruments)[:500],
        "seed": str(manifest.seed),
        "code_version": manifest.code_version,
    } | {f"weight_{member.name}": f"{member.weight:g}" for member in manifest.members}


def _metrics(run: RunFolder) -> dict[str, float]:
    losses = read_facts(run.calibration, "calibrate")["log_loss"]
    parity = read_facts(run.export_facts, "export")["parity"]
    found = {f"out_of_fold_log_loss_{name}": float(value) for name, value in losses.items()}
    return found | {"parity_before": float(parity["before"]), "parity_after": float(parity["after"])}


def _tags(bundle: Bundle, judged: dict[str, Any]) -> dict[str, str]:
    return {
        "provenance": bundle.manifest.dataset.provenance.name,
        "evidence_scope": str(judged["evidence"]),
        "integrity": "passed" if judged["integrity"] else "refused",
        "policy": str(judged["policy"]),
        "reasons": "; ".join(judged["reasons"])[:4500] or "none",
    }
