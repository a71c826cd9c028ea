"""What follows from a wish, and which vectors a model may speak about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.features.spec import FeatureView
from libs.trading.market import Provenance
from libs.trading.scoring import DIRECTION_CLASSES, LabelKind, Role, Scope, prediction_id
from services.model_serving.domain import (
    ALIASES,
    Change,
    ChangeKind,
    Last,
    ModelFacts,
    Retire,
    Try,
    Unscored,
    accepted_kind,
    last_of,
    prediction_of,
    to_do,
    why_unscored,
)
from tests.builders.bundles import NAMES, a_spec
from tests.builders.vectors import a_vector

SPEC = a_spec()
VIEW = SPEC.view(NAMES)
POSITIONS = SPEC.project(VIEW)


def facts(**changes: object) -> ModelFacts:
    plain = ModelFacts(
        "ProductionEnsemble",
        3,
        "ab" * 32,
        VIEW,
        LabelKind.DIRECTION,
        5_000_000_000,
        DIRECTION_CLASSES,
        0.2,
        Provenance.SIMULATED,
        Scope.SIMULATED,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def change(kind: ChangeKind, version: int, role: Role = Role.CHAMPION) -> Change:
    return Change(kind, "m", role, version, f"{version:064x}", "", version)


versions = st.dictionaries(st.sampled_from(list(Role)), st.integers(1, 4))


@given(versions, versions, versions)
def test_steps_lead_to_the_wish_or_say_that_it_was_refused(
    wishes: dict[Role, int], serving: dict[Role, int], refused: dict[Role, int]
) -> None:
    steps = to_do({ALIASES[role]: version for role, version in wishes.items()}, serving, refused)
    after = dict(serving)
    for step in steps:
        if isinstance(step, Retire):
            del after[step.role]
        else:
            after[step.role] = step.version
    for role in Role:
        wish = wishes.get(role)
        stays_refused = wish is not None and refused.get(role) == wish and serving.get(role) != wish
        assert after.get(role) == (serving.get(role) if stays_refused else wish)
    assert to_do({ALIASES[role]: version for role, version in after.items()}, after, {}) == []


def test_a_refused_version_is_tried_again_only_when_asked() -> None:
    wish, refused = {"champion": 2}, {Role.CHAMPION: 2}
    assert to_do(wish, {Role.CHAMPION: 1}, refused) == []
    assert to_do(wish, {Role.CHAMPION: 1}, refused, again=True) == [Try(Role.CHAMPION, 2)]
    assert to_do(wish, {Role.CHAMPION: 2}, {}, again=True) == []
    assert to_do({"canary": 9}, {}, {}) == []


def test_history_ends_in_who_serves_and_who_was_refused_since() -> None:
    one, two, refused = (
        change(ChangeKind.ACCEPTED, 1),
        change(ChangeKind.ROLLED_BACK, 2),
        change(ChangeKind.REFUSED, 3),
    )
    retired = change(ChangeKind.RETIRED, 2)
    assert last_of([]) == {role: Last() for role in Role}
    assert last_of([one, refused])[Role.CHAMPION] == Last(one, refused)
    assert last_of([one, refused, two])[Role.CHAMPION] == Last(two)
    assert last_of([one, retired])[Role.CHAMPION] == Last()
    assert last_of([one, change(ChangeKind.REGISTERED, 5)])[Role.CHAMPION] == Last(one)
    assert last_of([one])[Role.CHALLENGER] == Last()


@pytest.mark.parametrize(("version", "before", "kind"), [(2, 1, 2), (1, 2, 4), (1, None, 2), (1, 1, 2)])
def test_an_older_version_is_a_roll_back(version: int, before: int | None, kind: int) -> None:
    assert accepted_kind(version, before) == ChangeKind(kind)


def test_only_whole_vectors_of_the_spec_and_of_the_right_world_are_scored() -> None:
    def why(**changes: object) -> Unscored | None:
        return why_unscored(a_vector(**changes), facts(), SPEC.hash, POSITIONS)  # type: ignore[arg-type]

    assert why() is None
    assert why(not_ready=("close",)) is None
    assert why(not_ready=(NAMES[2],)) is Unscored.NOT_READY
    assert why(values={NAMES[0]: float("nan")}) is Unscored.NOT_READY
    assert why(spec_hash="other") is Unscored.OTHER_SPEC
    assert why(provenance=Provenance.RECORDED) is Unscored.SIMULATED_MODEL
    assert why(emission_interval=7) is Unscored.OTHER_INTERVAL
    short = replace(a_vector(), values=np.zeros(2, np.float32), reasons=np.zeros(2, np.uint8))
    assert why_unscored(short, facts(), SPEC.hash, POSITIONS) is Unscored.OTHER_SPEC


@pytest.mark.parametrize("of_model", list(Provenance))
@pytest.mark.parametrize("of_vector", list(Provenance))
def test_simulated_models_stay_in_simulated_sessions(of_model: Provenance, of_vector: Provenance) -> None:
    found = why_unscored(a_vector(provenance=of_vector), facts(provenance=of_model), SPEC.hash, POSITIONS)
    forbidden = of_model is Provenance.SIMULATED and of_vector is not Provenance.SIMULATED
    assert found is (Unscored.SIMULATED_MODEL if forbidden else None)


def test_a_prediction_copies_what_the_router_needs() -> None:
    vector = a_vector()
    said = prediction_of(
        vector,
        facts(decision_threshold=None),
        Role.CHALLENGER,
        np.array([0.2, 0.3, 0.5]),
        view_hash=VIEW.hash,
        input_offset=7,
        vector_written=8,
        predicted=9,
    )
    assert said.id == prediction_id(vector.id, "ab" * 32)
    assert said.decision_threshold is None
    assert (said.quote, said.clock, said.received_time) == (vector.quote, vector.clock, vector.received_time)
    assert (said.input_offset, said.vector_written, said.predicted) == (7, 8, 9)
    assert said.score == pytest.approx(0.3)
    assert all(type(p) is float for p in said.probabilities)


def test_a_view_at_another_interval_is_another_view() -> None:
    assert FeatureView(VIEW.features, VIEW.bar_interval, 1).hash != VIEW.hash
