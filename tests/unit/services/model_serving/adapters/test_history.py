"""Model events carry a change exactly; what nobody can read is passed over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.runtime.kafka import Record
from libs.trading.market import Provenance
from libs.trading.scoring import Role, Scope
from protos.models.v1 import models_pb2
from services.model_serving.adapters.history import change_of, event_of
from services.model_serving.domain import Change, ChangeKind, Signed

CHANGE = Change(
    ChangeKind.ACCEPTED,
    "ProductionEnsemble",
    Role.CHALLENGER,
    4,
    "ab" * 32,
    "",
    123,
    Provenance.RECORDED,
    Scope.PAPER,
    Signed(b"{}", b"s" * 64, "k" * 16),
    None,
)


def record(value: bytes) -> Record:
    return Record("models.events", 0, 0, 0, b"ProductionEnsemble", value)


@pytest.mark.parametrize("kind", list(ChangeKind))
@pytest.mark.parametrize("evidence", [None, Signed(b"[]", b"t" * 64, "l" * 16)])
def test_a_change_comes_back_as_it_was_written(kind: ChangeKind, evidence: Signed | None) -> None:
    change = replace(CHANGE, kind=kind, evidence_verdict=evidence)
    assert change_of(record(event_of(change).SerializeToString())) == change


def test_a_refusal_of_an_unreadable_bundle_has_no_provenance() -> None:
    change = Change(ChangeKind.REFUSED, "M", Role.CHAMPION, 1, "", "BROKEN_BUNDLE: x", 1)
    assert change_of(record(event_of(change).SerializeToString())) == change


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff",
        b"",
        models_pb2.ModelEvent(model_name="M", kind=models_pb2.MODEL_EVENT_KIND_REGISTERED).SerializeToString(),
        models_pb2.ModelEvent(model_name="M", kind=models_pb2.MODEL_EVENT_KIND_ACCEPTED, alias="x").SerializeToString(),
    ],
)
def test_what_says_nothing_about_an_alias_is_passed_over(value: bytes) -> None:
    assert change_of(record(value)) is None


def test_an_event_of_a_later_version_is_passed_over() -> None:
    later = replace(record(event_of(CHANGE).SerializeToString()), headers=(("payload", b"models.v2.ModelEvent"),))
    assert change_of(later) is None


def test_the_numbers_of_kinds_are_the_protos() -> None:
    named = {f"MODEL_EVENT_KIND_{kind.name}": int(kind) for kind in ChangeKind}
    assert named == dict(list(models_pb2.ModelEventKind.items())[1:])
