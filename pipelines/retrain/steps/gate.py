"""Gate: judge a bundle under a policy, write the report, sign both verdicts and put all of it beside the bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from libs.bundle import verdict as signed
from libs.bundle.folder import Bundle, attach_report, attach_verdicts, read_bundle
from libs.bundle.trust import Scope
from libs.trading.metrics import class_frequencies
from pipelines.retrain.adapters.onnx_session import Scorer, open_graph
from pipelines.retrain.adapters.scored_table import ScoredTable, TableError, read_scored
from pipelines.retrain.gates import integrity as lines_of_integrity
from pipelines.retrain.gates.case import Latency, Scored
from pipelines.retrain.gates.evidence import Evidence, evidence
from pipelines.retrain.gates.integrity import Canary, Parity
from pipelines.retrain.gates.lines import Line, passed
from pipelines.retrain.gates.policy import Policy
from pipelines.retrain.report.contents import contents, to_bytes
from pipelines.retrain.steps.evaluate import DatasetMeta, Measured, build_case, evaluate

LATENCY_CALLS = 500
UNKNOWN_VIEW = "no one compared the view with the spec in force"


@dataclass(frozen=True, slots=True)
class Keys:
    """Training's key signs integrity, only the gate's key signs evidence; locally both may be one key."""

    training: Ed25519PrivateKey
    gate: Ed25519PrivateKey


@dataclass(frozen=True, slots=True, eq=False)
class Checks:
    """What was checked of the bundle and its features; the defaults are "not checked", which refuses.

    `view_problem`: why the spec in force cannot serve the view, None when it can. `hold_out_features`: float32
    (rows, features) of the hold-out table, row by row in the order of its file.
    """

    view_problem: str | None = UNKNOWN_VIEW
    parity: Parity | None = None
    canary: Canary | None = None
    hold_out_features: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Both verdicts as signed, and the report they name."""

    integrity: signed.IntegrityVerdict
    evidence: signed.EvidenceVerdict
    report: Mapping[str, Any]


def judge(
    folder: Path,
    oof_table: Path,
    holdout_table: Path,
    meta: DatasetMeta,
    policy: Policy,
    keys: Keys,
    checks: Checks,
    clock_ns: Callable[[], int],
) -> Verdicts:
    """Judge the bundle in `folder`; afterwards it holds report.json and both signed verdicts, passed or refused.

    `clock_ns` times inference. Raises BundleError for a bundle that is not the one written, TableError for tables that
    cannot be judged.
    """
    bundle = read_bundle(folder)
    oof, hold_out = read_scored(oof_table).rows, read_scored(holdout_table)
    graph = open_graph(bundle.onnx)
    measured = _measure(graph, checks.hold_out_features, hold_out, clock_ns)
    integrity = _integrity(bundle, graph, oof, hold_out.rows, checks)
    assessment = evaluate(build_case(bundle.manifest, oof, hold_out.rows, meta, measured), policy)
    found = evidence(assessment, policy)
    report = contents(bundle.digest, assessment, integrity, found, policy)
    report_digest = attach_report(folder, to_bytes(report))
    verdicts = _verdicts(bundle, report_digest, integrity, found, policy, report)
    attach_verdicts(folder, signed.sign(verdicts.integrity, keys.training), signed.sign(verdicts.evidence, keys.gate))
    return verdicts


def _integrity(bundle: Bundle, graph: Scorer, oof: Scored, hold_out: Scored, checks: Checks) -> tuple[Line, ...]:
    return (
        lines_of_integrity.view_servable(checks.view_problem),
        lines_of_integrity.files(_not_data(bundle)),
        lines_of_integrity.golden_rows(bundle.golden.check(graph(bundle.golden.inputs)[0])),
        lines_of_integrity.parity(checks.parity),
        lines_of_integrity.outputs_vary(hold_out.probabilities),
        lines_of_integrity.both_classes(hold_out.probabilities, class_frequencies(oof.labels)),
        lines_of_integrity.leakage(checks.canary),
    )


def _measure(
    graph: Scorer, features: NDArray[np.float32] | None, table: ScoredTable, clock_ns: Callable[[], int]
) -> Measured:
    """The finished bundle over the hold-out's own features: does it say what was judged, and how fast."""
    if features is None:
        return Measured(None, None)
    if len(features) != table.order.size:
        raise TableError(f"{len(features)} rows of features for {table.order.size} judged rows")
    ordered = features[table.order]
    difference = float(np.max(np.abs(graph(ordered)[0] - table.rows.probabilities)))
    return Measured(difference, Latency(_p99_ms(graph, ordered, clock_ns), LATENCY_CALLS))


def _p99_ms(graph: Scorer, features: NDArray[np.float32], clock_ns: Callable[[], int]) -> float:
    """99th percentile of single rows, in milliseconds; the first tenth only warms up."""
    took = []
    for call in range(LATENCY_CALLS + LATENCY_CALLS // 10):
        row = features[call % len(features)][None, :]
        begin = clock_ns()
        graph(row)
        took.append(clock_ns() - begin)
    return float(np.percentile(took[LATENCY_CALLS // 10 :], 99)) / 1e6


def _not_data(bundle: Bundle) -> str | None:
    """Digests were checked in reading; a member must be text too (a pickle is not)."""
    for name, data in bundle.members.items():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return f"{name}: not a text file"
    return None


def _verdicts(
    bundle: Bundle,
    report_digest: str,
    integrity: Sequence[Line],
    found: Evidence,
    policy: Policy,
    report: Mapping[str, Any],
) -> Verdicts:
    provenance = bundle.manifest.dataset.provenance
    return Verdicts(
        signed.IntegrityVerdict(
            bundle_digest=bundle.digest,
            files_digest=bundle.files_digest,
            report_digest=report_digest,
            provenance=provenance,
            passed=passed(integrity),
            reasons=_signed_lines(integrity),
        ),
        signed.EvidenceVerdict(
            bundle_digest=bundle.digest,
            report_digest=report_digest,
            provenance=provenance,
            passed=passed(found.lines),
            scope=Scope(int(found.scope)),
            policy_name=policy.name,
            policy_digest=policy.digest,
            reasons=_signed_lines(found.lines),
        ),
        report,
    )


def _signed_lines(lines: Sequence[Line]) -> tuple[signed.Line, ...]:
    return tuple(signed.Line(x.name, x.passed, x.value, x.threshold, x.reason) for x in lines)
