"""A verdict is believed only as it was signed, by a key that is trusted here, and never beyond its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from libs.bundle.canonical import BundleError, to_bytes
from libs.bundle.keys import generate, key_id, load_private, load_public, trusted_keys
from libs.bundle.trust import Provenance, Scope, best_scope
from libs.bundle.verdict import (
    EvidenceVerdict,
    IntegrityVerdict,
    Line,
    SignedVerdict,
    UntrustedVerdict,
    from_message,
    sign,
    to_message,
    verify_evidence,
    verify_integrity,
)
from protos.models.v1 import models_pb2
from tests.builders.bundles import a_key_pair

KEYS = a_key_pair()
GOOD, BAD = Line("net_pnl", True, "1", "0", ""), Line("net_pnl", False, "-1", "0", "")
EVIDENCE = EvidenceVerdict(
    "aa" * 32, "bb" * 32, Provenance.RECORDED, True, Scope.PAPER, "production", "cc" * 32, (GOOD,)
)
INTEGRITY = IntegrityVerdict("aa" * 32, "dd" * 32, "bb" * 32, Provenance.RECORDED, True, (GOOD,))
SIGNED = sign(EVIDENCE, KEYS.gate)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[place % len(data)] ^= 1 << bit
    return bytes(changed)


def test_a_trusted_signature_gives_back_the_verdict() -> None:
    assert verify_evidence(SIGNED, KEYS.evidence) == EVIDENCE
    assert verify_integrity(sign(INTEGRITY, KEYS.training), KEYS.integrity) == INTEGRITY
    assert sign(EVIDENCE, KEYS.gate) == SIGNED


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_in_payload_or_signature_is_not_believed(place: int, bit: int) -> None:
    for changed in (
        replace(SIGNED, payload=flipped(SIGNED.payload, place, bit)),
        replace(SIGNED, signature=flipped(SIGNED.signature, place, bit)),
    ):
        with pytest.raises(UntrustedVerdict, match="does not fit"):
            verify_evidence(changed, KEYS.evidence)


@given(st.binary(max_size=80))
def test_any_other_signature_is_not_believed(signature: bytes) -> None:
    with pytest.raises(UntrustedVerdict):
        verify_evidence(replace(SIGNED, signature=signature), KEYS.evidence)


def test_training_cannot_sign_evidence_and_a_stranger_nothing() -> None:
    with pytest.raises(UntrustedVerdict, match="not trusted here"):
        verify_evidence(sign(EVIDENCE, KEYS.training), KEYS.evidence)
    with pytest.raises(UntrustedVerdict, match="not trusted here"):
        verify_evidence(sign(EVIDENCE, a_key_pair(9).gate), KEYS.evidence)
    stolen_name = replace(sign(EVIDENCE, a_key_pair(9).gate), key_id=SIGNED.key_id)
    with pytest.raises(UntrustedVerdict, match="does not fit"):
        verify_evidence(stolen_name, KEYS.evidence)
    with pytest.raises(UntrustedVerdict, match=r"\(none\)"):
        verify_evidence(SignedVerdict(b"", b"", ""), KEYS.evidence)


def test_one_kind_of_verdict_is_never_taken_for_the_other() -> None:
    with pytest.raises(UntrustedVerdict):
        verify_integrity(SIGNED, KEYS.evidence)
    disguised = replace(EVIDENCE, kind="integrity")
    with pytest.raises(UntrustedVerdict, match="where evidence is needed"):
        verify_evidence(sign(disguised, KEYS.gate), KEYS.evidence)


@pytest.mark.parametrize("provenance", list(Provenance))
@pytest.mark.parametrize("scope", list(Scope)[1:])
def test_a_scope_above_the_data_can_neither_be_said_nor_believed(provenance: Provenance, scope: Scope) -> None:
    if scope <= best_scope(provenance):
        assert replace(EVIDENCE, provenance=provenance, scope=scope).scope is scope
        return
    with pytest.raises(ValueError, match="above what"):
        replace(EVIDENCE, provenance=provenance, scope=scope)
    payload = to_bytes(EVIDENCE).replace(b'"PAPER"', f'"{scope.name}"'.encode())
    payload = payload.replace(b'"RECORDED"', f'"{provenance.name}"'.encode())
    forged = SignedVerdict(payload, KEYS.gate.sign(payload), SIGNED.key_id)
    with pytest.raises(UntrustedVerdict, match="above what"):
        verify_evidence(forged, KEYS.evidence)


def test_passed_is_what_the_lines_say() -> None:
    for reasons in ((GOOD, BAD), ()):
        with pytest.raises(ValueError, match="passed"):
            replace(EVIDENCE, reasons=reasons)
    with pytest.raises(ValueError, match="scope"):
        replace(EVIDENCE, passed=False, reasons=(BAD,))
    with pytest.raises(ValueError, match="scope"):
        replace(EVIDENCE, scope=Scope.NONE)
    assert not replace(EVIDENCE, passed=False, reasons=(BAD,), scope=Scope.NONE).passed


def test_messages_carry_the_verdict_exactly() -> None:
    message = models_pb2.SignedVerdict.FromString(to_message(SIGNED).SerializeToString())
    assert from_message(message) == SIGNED


def test_keys_are_made_kept_and_named(tmp_path: Path) -> None:
    private, public = tmp_path / "keys" / "gate.pem", tmp_path / "keys" / "gate.pub.pem"
    key = generate(private, public)
    assert private.stat().st_mode & 0o077 == 0
    assert sign(EVIDENCE, load_private(private)) == sign(EVIDENCE, key)
    assert key_id(load_public(public)) == key_id(key.public_key())
    raw = tmp_path / "raw"
    raw.write_bytes(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    assert list(trusted_keys([public, raw])) == [key_id(key.public_key())]
    with pytest.raises(FileExistsError):
        generate(private, public)
    assert load_private(private).private_bytes_raw() == key.private_bytes_raw()


def test_what_is_no_key_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data in (b"", b"secret" * 9, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", other):
        file.write_bytes(data)
        for load in (load_private, load_public):
            with pytest.raises(BundleError, match="no Ed25519") as raised:
                load(file)
            assert "secret" not in str(raised.value)
    with pytest.raises(BundleError, match="No such file"):
        load_public(tmp_path / "missing")
