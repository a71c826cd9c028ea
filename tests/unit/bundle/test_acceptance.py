"""Each rule of acceptance both refuses and releases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libs.bundle.acceptance import Accepted, Alias, Refusal, Trust, judge
from libs.bundle.folder import read_bundle
from libs.bundle.trust import Provenance, Scope
from tests.builders.bundles import a_bundle, a_key_pair

KEYS = a_key_pair()
TRUST = Trust(KEYS.integrity, KEYS.evidence, Scope.SIMULATED)
POLICY = "12" * 32


def answer(folder: Path, alias: Alias, trust: Trust = TRUST, view_problem: str | None = None, **parts: Any) -> str:
    a_bundle(folder / "b", **parts)
    verdict = judge(read_bundle(folder / "b"), alias=alias, trust=trust, view_problem=view_problem)
    return verdict.evidence.name if isinstance(verdict, Accepted) else verdict.code.value


@pytest.mark.parametrize(
    ("parts", "champion", "challenger"),
    [
        ({}, "SIMULATED", "SIMULATED"),
        ({"evidence": None}, Refusal.EVIDENCE_MISSING, "NONE"),
        ({"evidence": False}, Refusal.EVIDENCE_REFUSED, "NONE"),
        ({"integrity": None}, Refusal.INTEGRITY_MISSING, Refusal.INTEGRITY_MISSING),
        ({"integrity": False}, Refusal.INTEGRITY_REFUSED, Refusal.INTEGRITY_REFUSED),
        ({"keys": a_key_pair(3)}, Refusal.INTEGRITY_UNTRUSTED, Refusal.INTEGRITY_UNTRUSTED),
        (
            {"keys": replace(KEYS, gate=a_key_pair(3).gate)},
            Refusal.EVIDENCE_UNTRUSTED,
            Refusal.EVIDENCE_UNTRUSTED,
        ),
        ({"keys": replace(KEYS, gate=KEYS.training)}, Refusal.EVIDENCE_UNTRUSTED, Refusal.EVIDENCE_UNTRUSTED),
        ({"provenance": Provenance.LIVE, "scope": Scope.SIMULATED}, "SIMULATED", "SIMULATED"),
    ],
)
def test_champion_needs_evidence_and_any_alias_integrity(
    tmp_path: Path, parts: dict[str, Any], champion: str, challenger: str
) -> None:
    assert answer(tmp_path / "1", "champion", **parts) == champion
    assert answer(tmp_path / "2", "challenger", **parts) == challenger


@pytest.mark.parametrize("required", list(Scope)[1:])
@pytest.mark.parametrize("provenance", list(Provenance))
def test_a_champion_needs_at_least_the_scope_of_the_accounts(
    tmp_path: Path, required: Scope, provenance: Provenance
) -> None:
    trust = replace(TRUST, required_scope=required, policies=(POLICY,))
    found = answer(tmp_path, "champion", trust, provenance=provenance)
    enough = int(provenance) >= int(required)
    assert found == (Scope(int(provenance)).name if enough else Refusal.SCOPE_TOO_LOW)


def test_no_stated_scope_accepts_no_champion(tmp_path: Path) -> None:
    assert answer(tmp_path, "champion", replace(TRUST, required_scope=Scope.NONE)) == Refusal.NO_REQUIRED_SCOPE


def test_a_live_account_believes_named_policies_only(tmp_path: Path) -> None:
    live = replace(TRUST, required_scope=Scope.LIVE)
    parts: dict[str, Any] = {"provenance": Provenance.LIVE}
    assert answer(tmp_path / "1", "champion", live, **parts) == Refusal.POLICY_NOT_ALLOWED
    other = replace(live, policies=("34" * 32,))
    assert answer(tmp_path / "2", "champion", other, **parts) == Refusal.POLICY_NOT_ALLOWED
    assert answer(tmp_path / "3", "champion", replace(live, policies=(POLICY,)), **parts) == "LIVE"
    assert answer(tmp_path / "4", "champion", replace(TRUST, policies=("34" * 32,))) == Refusal.POLICY_NOT_ALLOWED


def test_a_view_that_cannot_be_served_is_refused_for_any_alias(tmp_path: Path) -> None:
    problem = "feature x is not in the spec"
    assert answer(tmp_path / "1", "champion", view_problem=problem) == Refusal.VIEW_NOT_SERVABLE
    assert answer(tmp_path / "2", "challenger", view_problem=problem) == Refusal.VIEW_NOT_SERVABLE


def test_verdicts_of_another_bundle_do_not_count(tmp_path: Path) -> None:
    a_bundle(tmp_path / "a")
    a_bundle(tmp_path / "b", seed=1)
    one, other = read_bundle(tmp_path / "a"), read_bundle(tmp_path / "b")
    for borrowed in (
        replace(one, integrity=other.integrity),
        replace(one, evidence=other.evidence),
        replace(one, files_digest=other.files_digest),
        replace(one, report_digest="00" * 32),
    ):
        verdict = judge(borrowed, alias="champion", trust=TRUST, view_problem=None)
        assert not isinstance(verdict, Accepted)
        assert verdict.code is Refusal.VERDICT_OF_ANOTHER_BUNDLE


def test_the_provenance_of_manifest_and_verdicts_is_one(tmp_path: Path) -> None:
    a_bundle(tmp_path / "a")
    bundle = read_bundle(tmp_path / "a")
    dataset = replace(bundle.manifest.dataset, provenance=Provenance.LIVE)
    verdict = judge(
        replace(bundle, manifest=replace(bundle.manifest, dataset=dataset)),
        alias="challenger",
        trust=TRUST,
        view_problem=None,
    )
    assert not isinstance(verdict, Accepted)
    assert "provenance" in verdict.detail
