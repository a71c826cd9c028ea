"""Signed verdicts: what integrity and the gate said about one bundle, for any service to check for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.bundle.canonical import BundleError, from_bytes, to_bytes
from libs.bundle.keys import TrustedKeys, key_id
from libs.bundle.trust import Provenance, Scope, best_scope
from protos.models.v1 import models_pb2


class UntrustedVerdict(Exception):
    """A verdict that must not be believed; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a policy as it was judged. `value` and `threshold` are text, as the report shows them."""

    line: str
    passed: bool
    value: str
    threshold: str
    detail: str


@dataclass(frozen=True, slots=True)
class IntegrityVerdict:
    """The bundle is what it says it is. `files_digest` (of files.json) puts every file under the signature."""

    bundle_digest: str
    files_digest: str
    report_digest: str
    provenance: Provenance
    passed: bool
    reasons: tuple[Line, ...]
    kind: str = "integrity"

    def __post_init__(self) -> None:
        _demand(self.passed == _all_passed(self.reasons), "passed: not what its lines say")


@dataclass(frozen=True, slots=True)
class EvidenceVerdict:
    """The bundle may trade within `scope` (NONE when refused), judged under this policy file."""

    bundle_digest: str
    report_digest: str
    provenance: Provenance
    passed: bool
    scope: Scope
    policy_name: str
    policy_digest: str
    reasons: tuple[Line, ...]
    kind: str = "evidence"

    def __post_init__(self) -> None:
        _demand(self.passed == _all_passed(self.reasons), "passed: not what its lines say")
        _demand(self.passed == (self.scope > Scope.NONE), "scope: granted without evidence, or evidence without scope")
        _demand(
            self.scope <= best_scope(self.provenance),
            f"scope: {self.scope.name} is above what {self.provenance.name} data can give",
        )


Verdict = IntegrityVerdict | EvidenceVerdict
V = TypeVar("V", IntegrityVerdict, EvidenceVerdict)


@dataclass(frozen=True, slots=True)
class SignedVerdict:
    """A verdict exactly as it was signed: canonical JSON and its Ed25519 signature (64 bytes)."""

    payload: bytes
    signature: bytes
    key_id: str


def sign(verdict: Verdict, key: Ed25519PrivateKey) -> SignedVerdict:
    payload = to_bytes(verdict)
    return SignedVerdict(payload, key.sign(payload), key_id(key.public_key()))


def verify_integrity(signed: SignedVerdict, trusted: TrustedKeys) -> IntegrityVerdict:
    """The verdict, once its signature by a trusted key holds. Raises UntrustedVerdict with the reason."""
    _verify_signature(signed, trusted)
    verdict = _read(IntegrityVerdict, signed.payload)
    if verdict.kind != "integrity":
        raise UntrustedVerdict(f"a verdict of kind {verdict.kind!r} where integrity is needed")
    return verdict


def verify_evidence(signed: SignedVerdict, trusted: TrustedKeys) -> EvidenceVerdict:
    """The verdict, once its signature by a trusted key holds. Raises UntrustedVerdict with the reason."""
    _verify_signature(signed, trusted)
    verdict = _read(EvidenceVerdict, signed.payload)
    if verdict.kind != "evidence":
        raise UntrustedVerdict(f"a verdict of kind {verdict.kind!r} where evidence is needed")
    return verdict


def to_message(signed: SignedVerdict) -> models_pb2.SignedVerdict:
    return models_pb2.SignedVerdict(payload=signed.payload, signature=signed.signature, key_id=signed.key_id)


def from_message(message: models_pb2.SignedVerdict) -> SignedVerdict:
    return SignedVerdict(message.payload, message.signature, message.key_id)


def _verify_signature(signed: SignedVerdict, trusted: TrustedKeys) -> None:
    key = trusted.get(signed.key_id)
    if key is None:
        raise UntrustedVerdict(f"signed by key {signed.key_id or '(none)'}, which is not trusted here")
    try:
        key.verify(signed.signature, signed.payload)
    except InvalidSignature as error:
        raise UntrustedVerdict(f"the signature of key {signed.key_id} does not fit the verdict") from error


def _read(kind: type[V], payload: bytes) -> V:
    try:
        return from_bytes(kind, payload, "verdict")
    except BundleError as error:
        raise UntrustedVerdict(str(error)) from error


def _all_passed(lines: tuple[Line, ...]) -> bool:
    return len(lines) > 0 and all(line.passed for line in lines)


def _demand(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
