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
from libs.bundle.canonical import to_bytes as canonical
from libs.bundle.digest import sha256
from libs.bundle.folder import Bundle, attach_report, attach_verdicts, read_bundle
from libs.bundle.trust import Scope
from libs.trading.metrics import class_frequencies
from pipelines.retrain.adapters.onnx_session import Scorer, open_graph
from pipelines.retrain.adapters.run_folder import RunError
from pipelines.retrain.adapters.scored_table import TableError, read_scored
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
    """Both verdicts, and the report they name (as JSON values and as the bytes beside the bundle)."""

    integrity: signed.IntegrityVerdict
    evidence: signed.EvidenceVerdict
    report: Mapping[str, Any]
    report_bytes: bytes


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
    measured = measure(folder, holdout_table, checks, clock_ns)
    verdicts = consider(folder, oof_table, holdout_table, meta, policy, checks, measured)
    sign_integrity(folder, verdicts, keys.training)
    sign_evidence(folder, verdicts, keys.gate)
    return verdicts


def measure(folder: Path, holdout_table: Path, checks: Checks, clock_ns: Callable[[], int]) -> Measured:
    """The finished bundle over the hold-out's own features: does it say what was judged, and how fast."""
    features, table = checks.hold_out_features, read_scored(holdout_table)
    if features is None:
        return Measured(None, None)
    if len(features) != table.order.size:
        raise TableError(f"{len(features)} rows of features for {table.order.size} judged rows")
    graph, ordered = open_graph(read_bundle(folder).onnx), features[table.order]
    difference = float(np.max(np.abs(graph(ordered)[0] - table.rows.probabilities)))
    return Measured(difference, Latency(_p99_ms(graph, ordered, clock_ns), LATENCY_CALLS))


def consider(
    folder: Path,
    oof_table: Path,
    holdout_table: Path,
    meta: DatasetMeta,
    policy: Policy,
    checks: Checks,
    measured: Measured,
) -> Verdicts:
    """Both verdicts and the report, nothing written: the same inputs give the same bytes, so that whoever signs can
    work it out again."""
    bundle = read_bundle(folder)
    oof, hold_out = read_scored(oof_table).rows, read_scored(holdout_table).rows
    integrity = _integrity(bundle, open_graph(bundle.onnx), oof, hold_out, checks)
    assessment = evaluate(build_case(bundle.manifest, oof, hold_out, meta, measured), policy)
    found = evidence(assessment, policy)
    report = contents(bundle.digest, assessment, integrity, found, policy)
    return _verdicts(bundle, to_bytes(report), integrity, found, policy, report)


def sign_integrity(folder: Path, verdicts: Verdicts, training: Ed25519PrivateKey) -> None:
    """Put the report and the integrity verdict beside the bundle."""
    attach_report(folder, verdicts.report_bytes)
    attach_verdicts(folder, signed.sign(verdicts.integrity, training), None)


def sign_evidence(folder: Path, verdicts: Verdicts, gate: Ed25519PrivateKey) -> None:
    """Put the evidence verdict beside a bundle whose report and integrity verdict are these. Raises RunError when they
    are not: the gate's key signs what the gate worked out, not what it was given."""
    bundle = read_bundle(folder)
    if bundle.report is None or bundle.integrity is None:
        raise RunError("the bundle has no integrity verdict: run the step 'integrity' first")
    if bundle.report != verdicts.report_bytes:
        raise RunError("report.json is not what the gate works out from the run's tables: run 'integrity' again")
    if bundle.integrity.payload != canonical(verdicts.integrity):
        raise RunError("the integrity verdict is not what the gate works out from the bundle: run 'integrity' again")
    attach_verdicts(folder, None, signed.sign(verdicts.evidence, gate))


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
    report_bytes: bytes,
    integrity: Sequence[Line],
    found: Evidence,
    policy: Policy,
    report: Mapping[str, Any],
) -> Verdicts:
    provenance, report_digest = bundle.manifest.dataset.provenance, sha256(report_bytes)
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
        report_bytes,
    )


def _signed_lines(lines: Sequence[Line]) -> tuple[signed.Line, ...]:
    return tuple(signed.Line(x.name, x.passed, x.value, x.threshold, x.reason) for x in lines)
