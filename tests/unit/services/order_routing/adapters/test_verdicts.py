"""The router believes signatures, not words: who vouched, for what, and how far."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.bundle.keys import key_id
from libs.bundle.trust import Provenance as From
from libs.bundle.trust import Scope as Given
from libs.bundle.verdict import EvidenceVerdict, IntegrityVerdict, Line, sign, to_message
from libs.trading.market import Provenance
from libs.trading.scoring import Scope
from protos.models.v1 import models_pb2
from services.order_routing.adapters.verdicts import UNKNOWN, Trust, Verdicts

TRAINING, GATE, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
LINES = (Line("all", True, "1", "1", ""),)
INTEGRITY = IntegrityVerdict("d1", "files", "report", From.RECORDED, True, LINES)
EVIDENCE = EvidenceVerdict("d1", "report", From.RECORDED, True, Given.PAPER, "demo", "policy-1", LINES)


def trust(*policies: str) -> Trust:
    public = {key_id(key.public_key()): key.public_key() for key in (TRAINING, GATE)}
    return Trust(
        {name: key for name, key in public.items() if name == key_id(TRAINING.public_key())},
        {name: key for name, key in public.items() if name == key_id(GATE.public_key())},
        frozenset(policies),
    )


def event(
    integrity: IntegrityVerdict | None = INTEGRITY,
    evidence: EvidenceVerdict | None = EVIDENCE,
    *,
    training: Ed25519PrivateKey = TRAINING,
    gate: Ed25519PrivateKey = GATE,
) -> bytes:
    return models_pb2.ModelEvent(
        model_name="m",
        bundle_digest="d1",
        integrity=None if integrity is None else to_message(sign(integrity, training)),
        evidence_verdict=None if evidence is None else to_message(sign(evidence, gate)),
    ).SerializeToString()


def heard(*events: bytes, policies: tuple[str, ...] = ()) -> Verdicts:
    verdicts = Verdicts(trust(*policies))
    for one in events:
        verdicts.hear(one)
    return verdicts


def test_both_signatures_give_the_evidence() -> None:
    standing = heard(event()).standing("d1")
    assert (standing.known, standing.integrity, standing.evidence) == (True, True, Scope.PAPER)
    assert standing.provenance is Provenance.RECORDED


@pytest.mark.parametrize(
    "untrusted",
    [
        b"\xff\xff",
        event(integrity=None),
        event(training=STRANGER),
        event(training=GATE),
        event(integrity=replace(INTEGRITY, bundle_digest="d2")),
    ],
)
def test_without_a_trusted_integrity_nothing_is_known(untrusted: bytes) -> None:
    assert heard(untrusted).standing("d1") == UNKNOWN


@pytest.mark.parametrize(
    "without",
    [
        event(evidence=None),
        event(gate=STRANGER),
        event(gate=TRAINING),
        event(evidence=replace(EVIDENCE, bundle_digest="d2")),
        event(evidence=replace(EVIDENCE, provenance=From.LIVE)),
    ],
)
def test_without_trusted_evidence_it_has_integrity_alone(without: bytes) -> None:
    standing = heard(without).standing("d1")
    assert (standing.known, standing.integrity, standing.evidence) == (True, True, Scope.NONE)


def test_a_changed_verdict_is_not_believed() -> None:
    message = models_pb2.ModelEvent.FromString(event())
    message.evidence_verdict.payload = message.evidence_verdict.payload.replace(b'"demo"', b'"DEMO"')
    assert heard(message.SerializeToString()).standing("d1").evidence is Scope.NONE


def test_only_named_policies_count_and_live_needs_one() -> None:
    live = event(replace(INTEGRITY, provenance=From.LIVE), replace(EVIDENCE, provenance=From.LIVE, scope=Given.LIVE))
    assert heard(live, policies=("policy-1",)).standing("d1").evidence is Scope.LIVE
    assert heard(live, policies=("policy-2",)).standing("d1").evidence is Scope.NONE
    assert heard(live).standing("d1").evidence is Scope.PAPER


def test_noise_takes_nothing_back() -> None:
    good = heard(event(), event(gate=STRANGER), event(integrity=None), b"garbage")
    assert good.standing("d1").evidence is Scope.PAPER


def test_a_later_signed_refusal_counts() -> None:
    refused = replace(EVIDENCE, passed=False, scope=Given.NONE, reasons=(Line("all", False, "0", "1", ""),))
    assert heard(event(), event(evidence=refused)).standing("d1").evidence is Scope.NONE
