"""What the signed verdicts on models.events say about each bundle, checked here against this router's own keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from libs.bundle.keys import TrustedKeys, trusted_keys
from libs.bundle.trust import best_scope
from libs.bundle.verdict import (
    EvidenceVerdict,
    IntegrityVerdict,
    UntrustedVerdict,
    from_message,
    verify_evidence,
    verify_integrity,
)
from libs.runtime.logs import get_logger
from libs.trading.market import Provenance
from libs.trading.risk import ModelStanding
from libs.trading.scoring import Scope
from protos.models.v1 import models_pb2

UNKNOWN = ModelStanding(False, False, Scope.NONE, None, "no verdict on this bundle was heard")

log = get_logger("verdicts")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count. `policies`: digests of policies whose evidence counts; empty: any, never for LIVE."""

    integrity: TrustedKeys
    evidence: TrustedKeys
    policies: frozenset[str] = frozenset()


def trust_of(integrity_keys: Iterable[Path], gate_keys: Iterable[Path], policies: Iterable[str]) -> Trust:
    """From files of public keys. Raises BundleError that names a file which cannot be used."""
    return Trust(trusted_keys(integrity_keys), trusted_keys(gate_keys), frozenset(policies))


class Verdicts:
    """Implements ports.Standings. One thread hears, others ask: a standing is replaced as a whole."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._standings: dict[str, ModelStanding] = {}

    def standing(self, bundle_digest: str) -> ModelStanding:
        return self._standings.get(bundle_digest, UNKNOWN)

    def hear(self, value: bytes) -> None:
        """One record of models.events. What is malformed or not signed by a trusted key changes nothing."""
        try:
            event = models_pb2.ModelEvent.FromString(value)
        except DecodeError as error:
            log.error("a model event that cannot be read", error=str(error))
            return
        digest = event.bundle_digest
        integrity = self._integrity(event)
        if integrity is None:
            return
        known = self._standings.get(digest)
        evidence = self._evidence(event, integrity)
        if evidence is None and known is not None and known.integrity:
            return  # an event without a (trusted) evidence verdict takes nothing back
        scope = Scope.NONE if evidence is None else evidence
        said = f"integrity signed, evidence {scope.name}, made from {integrity.provenance.name} data"
        provenance = Provenance(int(integrity.provenance))
        self._standings[digest] = ModelStanding(True, integrity.passed, scope, provenance, said)

    def _integrity(self, event: models_pb2.ModelEvent) -> IntegrityVerdict | None:
        if not event.HasField("integrity"):
            return None
        try:
            verdict = verify_integrity(from_message(event.integrity), self._trust.integrity)
        except UntrustedVerdict as error:
            log.warning("integrity verdict not believed", digest=event.bundle_digest, reason=str(error))
            return None
        return verdict if verdict.bundle_digest == event.bundle_digest else None

    def _evidence(self, event: models_pb2.ModelEvent, integrity: IntegrityVerdict) -> Scope | None:
        """The scope that counts: NONE of a refusal, never above the data's. None without a trusted verdict."""
        if not event.HasField("evidence_verdict"):
            return None
        try:
            verdict = verify_evidence(from_message(event.evidence_verdict), self._trust.evidence)
        except UntrustedVerdict as error:
            log.warning("evidence verdict not believed", digest=event.bundle_digest, reason=str(error))
            return None
        if verdict.bundle_digest != event.bundle_digest or verdict.provenance != integrity.provenance:
            return None
        return self._scope(verdict)

    def _scope(self, verdict: EvidenceVerdict) -> Scope:
        if not verdict.passed:
            return Scope.NONE
        scope = Scope(min(int(verdict.scope), int(best_scope(verdict.provenance))))
        if self._trust.policies:
            return scope if verdict.policy_digest in self._trust.policies else Scope.NONE
        return min(scope, Scope.PAPER)
