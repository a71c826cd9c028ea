"""The manifest has one spelling, and says which field is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bundle.canonical import BundleError, to_bytes
from libs.bundle.manifest import EvaluationWindow, LabelKind, Manifest
from libs.bundle.trust import Provenance, Scope, best_scope
from libs.trading import market, scoring
from protos.models.v1 import models_pb2
from protos.predictions.v1 import predictions_pb2
from tests.builders.bundles import a_manifest

MANIFEST = a_manifest().to_bytes()


def changed(path: str, value: object) -> bytes:
    """The manifest's JSON with one field set, or taken away (value is ...)."""
    content: Any = json.loads(MANIFEST)
    *above, last = path.split(".")
    place = content
    for name in above:
        place = place[int(name)] if name.isdigit() else place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def test_it_is_read_as_it_was_written() -> None:
    whole = replace(a_manifest(), evaluation=EvaluationWindow(5, 9), decision_threshold=None)
    assert Manifest.from_bytes(whole.to_bytes()) == whole
    assert Manifest.from_bytes(MANIFEST) == a_manifest()


@pytest.mark.parametrize("path", ["seed", "view.names", "members.0.weight", "dataset.provenance", "label.classes"])
def test_a_missing_field_is_named(path: str) -> None:
    named = path.replace(".0.", r"\[0\]\.").replace(".", r"\.").replace(r"\\.", r"\.")
    with pytest.raises(BundleError, match=f"manifest.json.{named}: missing field"):
        Manifest.from_bytes(changed(path, ...))


@pytest.mark.parametrize("path", ["colour", "view.colour", "members.0.colour"])
def test_an_unknown_field_is_named(path: str) -> None:
    with pytest.raises(BundleError, match="colour: unknown field"):
        Manifest.from_bytes(changed(path, 1))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("seed", 1.0, "seed: expected int"),
        ("seed", True, "seed: expected int"),
        ("decision_threshold", 1, "decision_threshold: expected float"),
        ("decision_threshold", 1.5, "decision_threshold: not in"),
        ("members.0.weight", 0.5, "weights do not sum to 1"),
        ("members.0.weight", -1.0, "weight: not in"),
        ("members.0.file", "../evil.txt", "file: not members"),
        ("members.0.file", "members/model.pkl", "file: not members"),
        ("dataset.provenance", "REAL", "'REAL' is none of"),
        ("dataset.rows", 0, "rows: none"),
        ("dataset.to_ns", 1, "to_ns: not after"),
        ("label.horizon_ns", 0, "horizon_ns: not positive"),
        ("label.classes", ["up", "up"], "classes: not two or more"),
        ("view.names", ["a", "a", "b"], "names: a feature twice"),
        ("view.formula_versions", [1], "formula_versions: not one per feature"),
        ("view.view_hash", "no hex!", "view_hash: not hex"),
        ("calibration", {}, "calibration: no method"),
        ("format_version", 2, "format_version: 2, this code reads 1"),
        ("model_name", "Other", "model_name"),
        ("view", [], "view: expected dict"),
    ],
)
def test_a_wrong_value_is_named(path: str, value: object, named: str) -> None:
    with pytest.raises(BundleError, match=named):
        Manifest.from_bytes(changed(path, value))


@pytest.mark.parametrize(
    "data",
    [
        b" " + MANIFEST,
        MANIFEST.replace(b'"seed":42', b'"seed": 42'),
        MANIFEST.replace(b'"seed":42', b'"seed":42,"seed":42'),
        MANIFEST.replace(b'"decision_threshold":0.2', b'"decision_threshold":0.20'),
        MANIFEST.replace(b'"decision_threshold":0.2', b'"decision_threshold":2e-1'),
        json.dumps(json.loads(MANIFEST)).encode(),
    ],
)
def test_another_spelling_of_the_same_content_is_refused(data: bytes) -> None:
    assert data != MANIFEST
    with pytest.raises(BundleError, match="not canonical"):
        Manifest.from_bytes(data)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"NaN", b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused_without_a_crash(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Manifest.from_bytes(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_an_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        Manifest.from_bytes(data)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_one_number_has_one_spelling(value: float) -> None:
    assert to_bytes([value]) == to_bytes([value + 0.0])
    assert json.loads(to_bytes([value])) == [value]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_cannot_be_written(value: float) -> None:
    with pytest.raises(BundleError, match="is no number"):
        replace(a_manifest(), label=replace(a_manifest().label, params={"threshold": value})).to_bytes()


def test_the_ladders_are_those_of_the_protos_and_of_the_trading_core() -> None:
    assert {p.name: int(p) for p in Provenance} == {p.name: int(p) for p in market.Provenance}
    assert {s.name: int(s) for s in Scope} == {s.name: int(s) for s in scoring.Scope}
    assert {k.name: int(k) for k in LabelKind} == {k.name: int(k) for k in scoring.LabelKind}
    assert {f"SCOPE_{s.name}": int(s) for s in Scope if s} == dict(list(models_pb2.Scope.items())[1:])
    assert {f"LABEL_KIND_{k.name}": int(k) for k in LabelKind} == dict(list(predictions_pb2.LabelKind.items())[1:])
    for provenance in Provenance:
        assert int(best_scope(provenance)) == int(scoring.scope_of_data(market.Provenance(int(provenance))))
