"""Who may serve under which alias: the rules of acceptance, pure, the same for every reader of a bundle."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from libs.bundle.folder import Bundle
from libs.bundle.keys import TrustedKeys
from libs.bundle.trust import Scope
from libs.bundle.verdict import EvidenceVerdict, IntegrityVerdict, UntrustedVerdict, verify_evidence, verify_integrity

Alias = Literal["champion", "challenger"]


class Refusal(StrEnum):
    """Why a version is refused; stable names, used as tags, metric labels and in alerts."""

    BROKEN_BUNDLE = "BROKEN_BUNDLE"  # a file is missing, changed, unlisted or unreadable
    INTEGRITY_MISSING = "INTEGRITY_MISSING"
    INTEGRITY_UNTRUSTED = "INTEGRITY_UNTRUSTED"
    INTEGRITY_REFUSED = "INTEGRITY_REFUSED"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    EVIDENCE_UNTRUSTED = "EVIDENCE_UNTRUSTED"
    EVIDENCE_REFUSED = "EVIDENCE_REFUSED"
    VERDICT_OF_ANOTHER_BUNDLE = "VERDICT_OF_ANOTHER_BUNDLE"
    SCOPE_TOO_LOW = "SCOPE_TOO_LOW"
    POLICY_NOT_ALLOWED = "POLICY_NOT_ALLOWED"
    VIEW_NOT_SERVABLE = "VIEW_NOT_SERVABLE"
    GRAPH_NOT_RUNNABLE = "GRAPH_NOT_RUNNABLE"
    GOLDEN_ROWS_DIFFER = "GOLDEN_ROWS_DIFFER"
    NO_REQUIRED_SCOPE = "NO_REQUIRED_SCOPE"


@dataclass(frozen=True, slots=True)
class Refused:
    code: Refusal
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """`evidence` is the scope granted (NONE without evidence)."""

    digest: str
    evidence: Scope
    integrity_verdict: IntegrityVerdict
    evidence_verdict: EvidenceVerdict | None


@dataclass(frozen=True, slots=True)
class Trust:
    """What a reader believes: keys of training (integrity) and of the gate (evidence), the least scope of a champion,
    and the digests of the policies whose evidence counts (None: any; LIVE always needs them named)."""

    integrity: TrustedKeys
    evidence: TrustedKeys
    required_scope: Scope
    policies: Collection[str] | None = None


def judge(bundle: Bundle, *, alias: Alias, trust: Trust, view_problem: str | None) -> Accepted | Refused:
    """Accept or refuse a bundle whose bytes are already proven (`read_bundle`); golden rows are for who has a runtime.

    Integrity is needed for any alias. Champion also needs evidence of at least `trust.required_scope`; a challenger's
    refused or missing evidence leaves it with scope NONE, but a verdict that does not verify refuses it.
    `view_problem`: why the feature spec in force cannot serve the bundle's view exactly, None when it can.
    """
    integrity = _integrity(bundle, trust)
    if isinstance(integrity, Refused):
        return integrity
    evidence = _evidence(bundle, trust)
    if isinstance(evidence, Refused):
        return evidence
    if alias == "champion" and (refused := _champion(evidence, trust)) is not None:
        return refused
    if view_problem is not None:
        return Refused(Refusal.VIEW_NOT_SERVABLE, view_problem)
    return Accepted(bundle.digest, evidence.scope if evidence is not None else Scope.NONE, integrity, evidence)


def _integrity(bundle: Bundle, trust: Trust) -> IntegrityVerdict | Refused:
    if bundle.integrity is None:
        return Refused(Refusal.INTEGRITY_MISSING, "no signed integrity verdict")
    try:
        verdict = verify_integrity(bundle.integrity, trust.integrity)
    except UntrustedVerdict as error:
        return Refused(Refusal.INTEGRITY_UNTRUSTED, str(error))
    if verdict.bundle_digest != bundle.digest or verdict.files_digest != bundle.files_digest:
        return _other("integrity is of other content than this bundle's")
    if verdict.report_digest != bundle.report_digest:
        return _other("report.json is not the report that integrity names")
    if verdict.provenance is not bundle.manifest.dataset.provenance:
        return _other("integrity names another provenance of the data than the manifest")
    if not verdict.passed:
        return Refused(Refusal.INTEGRITY_REFUSED, _failed(verdict))
    return verdict


def _evidence(bundle: Bundle, trust: Trust) -> EvidenceVerdict | Refused | None:
    if bundle.evidence is None:
        return None
    try:
        verdict = verify_evidence(bundle.evidence, trust.evidence)
    except UntrustedVerdict as error:
        return Refused(Refusal.EVIDENCE_UNTRUSTED, str(error))
    if verdict.bundle_digest != bundle.digest or verdict.report_digest != bundle.report_digest:
        return _other("evidence is of another bundle or report than this one")
    if verdict.provenance is not bundle.manifest.dataset.provenance:
        return _other("evidence names another provenance of the data than the manifest")
    return verdict


def _champion(evidence: EvidenceVerdict | None, trust: Trust) -> Refused | None:
    if trust.required_scope is Scope.NONE:
        return Refused(Refusal.NO_REQUIRED_SCOPE, "the scope of the accounts served is not stated")
    if evidence is None:
        return Refused(Refusal.EVIDENCE_MISSING, "a champion needs a signed evidence verdict")
    if not evidence.passed:
        return Refused(Refusal.EVIDENCE_REFUSED, _failed(evidence))
    if evidence.scope < trust.required_scope:
        return Refused(Refusal.SCOPE_TOO_LOW, f"evidence {evidence.scope.name}, needed {trust.required_scope.name}")
    named = trust.policies if trust.policies is not None or trust.required_scope < Scope.LIVE else ()
    if named is not None and evidence.policy_digest not in named:
        return Refused(Refusal.POLICY_NOT_ALLOWED, f"policy {evidence.policy_name} ({evidence.policy_digest})")
    return None


def _failed(verdict: IntegrityVerdict | EvidenceVerdict) -> str:
    failed = (line for line in verdict.reasons if not line.passed)
    return "; ".join(f"{line.line}: {line.value} against {line.threshold}" for line in failed)


def _other(detail: str) -> Refused:
    return Refused(Refusal.VERDICT_OF_ANOTHER_BUNDLE, detail)
