"""Predictions survive the wire; probabilities that are none are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.features.vector import EmissionReason
from libs.trading.market import Provenance, Quote, SessionClock
from libs.trading.scoring import DIRECTION_CLASSES, LabelKind, Prediction, Role, Scope
from libs.wire.malformed import MalformedMessage
from libs.wire.predictions import decode_prediction, encode_prediction, prediction_message

A_PREDICTION = Prediction(
    id="ab",
    vector_id="cd",
    instrument="bybit.linear.BTCUSDT",
    session="s",
    as_of=1_000,
    reason=EmissionReason.BOUNDARY,
    ordinal=4,
    view_hash="ef",
    bundle_digest="gh",
    model_version=2,
    role=Role.CHAMPION,
    label_kind=LabelKind.DIRECTION,
    horizon=10_000_000_000,
    classes=DIRECTION_CLASSES,
    probabilities=(0.25, 0.25, 0.5),
    decision_threshold=0.1,
    provenance=Provenance.SIMULATED,
    model_provenance=Provenance.SIMULATED,
    evidence=Scope.SIMULATED,
    received_time=1_001,
    clock=SessionClock(1, 2, 1.0),
    quote=Quote(99.0, 1.0, 100.0, 2.0),
    input_offset=12,
    vector_written=5,
    predicted=6,
)


@given(
    st.floats(0.0, 1.0).flatmap(lambda up: st.tuples(st.just(up), st.floats(0.0, 1.0 - up))),
    st.none() | st.floats(0.0, 1.0),
    st.sampled_from(Role),
    st.sampled_from(Scope),
    st.none() | st.just(A_PREDICTION.quote),
)
def test_a_prediction_survives_the_wire(
    ups: tuple[float, float], threshold: float | None, role: Role, evidence: Scope, quote: Quote | None
) -> None:
    up, down = ups
    prediction = replace(
        A_PREDICTION,
        probabilities=(down, 1.0 - up - down if up + down < 1.0 else 0.0, up),
        decision_threshold=threshold,
        role=role,
        evidence=evidence,
        quote=quote,
    )
    assert decode_prediction(encode_prediction(prediction)) == prediction


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("vector_id", "", "vector_id is empty"),
        ("role", 0, "role is unspecified"),
        ("label_kind", 0, "label_kind is unspecified"),
        ("label_kind", 77, "label_kind is unknown: 77"),
        ("evidence", 9, "evidence is unknown: 9"),
        ("decision_threshold", float("nan"), "decision_threshold is nan"),
        ("bundle_digest", "", "bundle_digest is empty"),
    ],
)
def test_what_means_nothing_is_refused(field: str, value: Any, says: str) -> None:
    message = prediction_message(A_PREDICTION)
    setattr(message, field, value)
    with pytest.raises(MalformedMessage, match=says):
        decode_prediction(message.SerializeToString())


@pytest.mark.parametrize(
    ("probabilities", "says"),
    [
        ((0.5, 0.5), "3 classes but 2 probabilities"),
        ((0.5, 0.6, -0.1), "probability of up is -0.1"),
        ((0.5, float("nan"), 0.5), "probability of flat is nan"),
        ((0.5, 0.5, 0.5), "sum to 1.5"),
    ],
)
def test_numbers_that_are_no_probabilities_are_refused(probabilities: tuple[float, ...], says: str) -> None:
    message = prediction_message(replace(A_PREDICTION, probabilities=probabilities))
    with pytest.raises(MalformedMessage, match=says):
        decode_prediction(message.SerializeToString())
