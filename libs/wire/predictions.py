"""Predictions between message bytes and values."""

from __future__ import annotations

import math

from libs.trading.features.vector import EmissionReason
from libs.trading.scoring import LabelKind, Prediction, Role, Scope
from libs.wire.fields import (
    clock_message,
    clock_value,
    member,
    not_negative,
    number,
    parse,
    provenance_of,
    quote_message,
    quote_value,
    text,
)
from libs.wire.malformed import MalformedMessage
from protos.predictions.v1 import predictions_pb2

SUM_TOLERANCE = 1e-6  # calibrated float64 probabilities, summed


def prediction_message(prediction: Prediction) -> predictions_pb2.Prediction:
    return predictions_pb2.Prediction(
        id=prediction.id,
        vector_id=prediction.vector_id,
        instrument=prediction.instrument,
        session=prediction.session,
        as_of_ns=prediction.as_of,
        reason=number(prediction.reason),
        ordinal=prediction.ordinal,
        view_hash=prediction.view_hash,
        bundle_digest=prediction.bundle_digest,
        model_version=prediction.model_version,
        role=number(prediction.role),
        label_kind=number(prediction.label_kind),
        horizon_ns=prediction.horizon,
        classes=prediction.classes,
        probabilities=prediction.probabilities,
        decision_threshold=prediction.decision_threshold,
        provenance=number(prediction.provenance),
        model_provenance=number(prediction.model_provenance),
        evidence=number(prediction.evidence),
        received_time_ns=prediction.received_time,
        clock=clock_message(prediction.clock),
        quote=None if prediction.quote is None else quote_message(prediction.quote),
        input_offset=prediction.input_offset,
        vector_written_ns=prediction.vector_written,
        predicted_ns=prediction.predicted,
    )


def prediction_value(message: predictions_pb2.Prediction) -> Prediction:
    """Raises MalformedMessage that says which field is wrong."""
    threshold = message.decision_threshold if message.HasField("decision_threshold") else None
    return Prediction(
        id=text(message.id, "id"),
        vector_id=text(message.vector_id, "vector_id"),
        instrument=text(message.instrument, "instrument"),
        session=text(message.session, "session"),
        as_of=message.as_of_ns,
        reason=member(EmissionReason, message.reason, "reason"),
        ordinal=message.ordinal,
        view_hash=text(message.view_hash, "view_hash"),
        bundle_digest=text(message.bundle_digest, "bundle_digest"),
        model_version=message.model_version,
        role=member(Role, message.role, "role"),
        label_kind=member(LabelKind, message.label_kind, "label_kind"),
        horizon=message.horizon_ns,
        classes=tuple(message.classes),
        probabilities=_probabilities(message),
        decision_threshold=None if threshold is None else not_negative(threshold, "decision_threshold"),
        provenance=provenance_of(message.provenance),
        model_provenance=provenance_of(message.model_provenance),
        evidence=member(Scope, message.evidence, "evidence"),
        received_time=message.received_time_ns,
        clock=clock_value(message),
        quote=quote_value(message),
        input_offset=message.input_offset,
        vector_written=message.vector_written_ns,
        predicted=message.predicted_ns,
    )


def encode_prediction(prediction: Prediction) -> bytes:
    return prediction_message(prediction).SerializeToString()


def decode_prediction(data: bytes) -> Prediction:
    """Raises MalformedMessage that says which field is wrong."""
    return prediction_value(parse(predictions_pb2.Prediction(), data))


def _probabilities(message: predictions_pb2.Prediction) -> tuple[float, ...]:
    values = tuple(message.probabilities)
    if len(values) != len(message.classes):
        raise MalformedMessage(f"{len(message.classes)} classes but {len(values)} probabilities")
    if len(set(message.classes)) != len(message.classes):
        raise MalformedMessage(f"classes are not distinct: {list(message.classes)}")
    for name, value in zip(message.classes, values, strict=True):
        if not 0.0 <= value <= 1.0:
            raise MalformedMessage(f"probability of {name} is {value}, not within 0 and 1")
    if values and abs(math.fsum(values) - 1.0) > SUM_TOLERANCE:
        raise MalformedMessage(f"probabilities sum to {math.fsum(values)}, not 1")
    return values
