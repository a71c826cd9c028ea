"""Admission: one good bundle in, every bad one out with its own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from libs.bundle.acceptance import Trust
from libs.bundle.golden import GoldenRows
from libs.bundle.keys import generate
from libs.bundle.manifest import View
from libs.bundle.trust import Provenance, Scope
from libs.runtime.settings import SettingsProblem
from libs.trading.features.catalogue import full_spec
from libs.trading.scoring import LabelKind, Role
from libs.trading.scoring import Scope as TradingScope
from services.model_serving.adapters.admission import BundleAdmission, trust_of
from services.model_serving.ports import Admitted, NotAdmitted
from tests.builders.bundles import (
    CLASSES,
    NAMES,
    a_bundle,
    a_key_pair,
    a_spec,
    a_view,
    golden_inputs,
    linear_probabilities,
    weights,
)

KEYS = a_key_pair()
TRUST = Trust(KEYS.integrity, KEYS.evidence, Scope.SIMULATED)
ADMISSION = BundleAdmission(TRUST, a_spec())


def admit(folder: Path, role: Role = Role.CHAMPION, admission: BundleAdmission = ADMISSION, **parts: Any) -> Any:
    a_bundle(folder / "b", **parts)
    return admission.admit(folder / "b", 5, role)


def test_a_good_bundle_comes_with_its_facts_its_view_and_a_warm_graph(tmp_path: Path) -> None:
    found = admit(tmp_path, decision_threshold=None)
    assert isinstance(found, Admitted)
    facts = found.facts
    assert (facts.version, facts.classes, facts.label_kind) == (5, CLASSES, LabelKind.DIRECTION)
    assert (facts.decision_threshold, facts.evidence) == (None, TradingScope.SIMULATED)
    assert facts.view == a_spec().view(NAMES)
    assert [a_spec().names[place] for place in found.positions] == list(NAMES)
    inputs = golden_inputs(3)
    np.testing.assert_allclose(found.scorer.score(inputs), linear_probabilities(inputs, weights(3)), atol=1e-9)
    assert found.evidence is not None


def test_a_challenger_without_evidence_has_no_scope(tmp_path: Path) -> None:
    found = admit(tmp_path, Role.CHALLENGER, evidence=None)
    assert isinstance(found, Admitted)
    assert found.facts.evidence is TradingScope.NONE
    assert found.evidence is None


def wrong_golden_rows() -> GoldenRows:
    inputs = golden_inputs(3)
    return GoldenRows(inputs, linear_probabilities(inputs, weights(3, slope=1.001)))


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"integrity": None}, "INTEGRITY_MISSING"),
        ({"keys": a_key_pair(4)}, "INTEGRITY_UNTRUSTED"),
        ({"evidence": False}, "EVIDENCE_REFUSED"),
        ({"view": a_view(spec=full_spec(9 * 10**9, 250_000_000))}, "VIEW_NOT_SERVABLE"),
        ({"view": a_view(spec=full_spec(10**9, 10**9))}, "VIEW_NOT_SERVABLE"),
        ({"view": View(NAMES, (1, 1, 9), "ab" * 16, "cd" * 16, 10**9, 250_000_000)}, "VIEW_NOT_SERVABLE"),
        ({"golden": wrong_golden_rows()}, "GOLDEN_ROWS_DIFFER"),
        ({"graph": b"no graph"}, "GRAPH_NOT_RUNNABLE"),
    ],
)
def test_each_fault_has_its_code(tmp_path: Path, parts: dict[str, Any], code: str) -> None:
    found = admit(tmp_path, **parts)
    assert isinstance(found, NotAdmitted)
    assert found.code == code
    assert found.detail
    assert len(found.digest) == 64


def test_the_scope_of_the_accounts_is_demanded(tmp_path: Path) -> None:
    paper = BundleAdmission(Trust(KEYS.integrity, KEYS.evidence, Scope.PAPER), a_spec())
    assert admit(tmp_path / "1", admission=paper).code == "SCOPE_TOO_LOW"
    assert isinstance(admit(tmp_path / "2", admission=paper, provenance=Provenance.RECORDED), Admitted)


def test_a_folder_that_is_no_bundle_has_no_digest(tmp_path: Path) -> None:
    found = ADMISSION.admit(tmp_path / "nothing", 1, Role.CHAMPION)
    assert found == NotAdmitted("BROKEN_BUNDLE", "files.json: No such file or directory", "")


def test_adding_a_feature_does_not_orphan_a_view(tmp_path: Path) -> None:
    spec = a_spec()
    older = type(spec)(spec.features[:-1], spec.bar_interval, spec.emission_interval)
    assert isinstance(admit(tmp_path, view=a_view(spec=older)), Admitted)


def test_trust_comes_from_named_files(tmp_path: Path) -> None:
    generate(tmp_path / "k", tmp_path / "k.pub")
    trust = trust_of([str(tmp_path / "k.pub")], [], "PAPER", ())
    assert (len(trust.integrity), len(trust.evidence), trust.required_scope, trust.policies) == (
        1,
        0,
        Scope.PAPER,
        None,
    )
    with pytest.raises(SettingsProblem, match="missing"):
        trust_of([str(tmp_path / "missing")], [], "PAPER", ())
