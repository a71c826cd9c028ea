"""Whatever a client sends, the answer is a prediction or one of the agreed statuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from libs.runtime.fanout import Fanout
from libs.trading.scoring import Role, Scope
from libs.wire.features import vector_message
from protos.features.v1 import features_pb2
from protos.predictions.v1 import predictions_pb2 as pb
from services.model_serving.adapters.messages import prediction_message, vector_of
from services.model_serving.domain import Unscored
from services.model_serving.grpc_api import MEANING, ModelServingApi
from services.model_serving.handlers.serving import Models, Scoring, Served
from tests.builders.vectors import a_vector
from tests.unit.services.model_serving.fakes import SPEC, VIEW, admitted

AGREED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE}
GOOD = vector_message(a_vector()).SerializeToString()


class Ended(Exception):
    """The call ended with a status."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code)
        self.code = code


class Context:
    def abort_with_status(self, status: Any) -> None:
        raise Ended(status.code)


def an_api() -> ModelServingApi:
    models = Models()
    models.put(Served(admitted(1), Role.CHAMPION, VIEW.hash, 0))
    scoring = Scoring(models, SPEC, partial(int, 1))
    nobody: Any = None
    return ModelServingApi(scoring, nobody, Fanout(10), Scope.PAPER, decode=vector_of, encode=prediction_message)


API = an_api()
CONTEXT: Any = Context()


def ended(request: pb.PredictRequest) -> grpc.StatusCode | None:
    try:
        assert API.Predict(request, CONTEXT).prediction.id
    except Ended as end:
        return end.code
    return None


def test_a_good_vector_is_answered() -> None:
    assert ended(pb.PredictRequest(vector=features_pb2.FeatureVector.FromString(GOOD))) is None


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6), st.integers(-1, 3))
def test_a_vector_with_changed_bytes_has_an_answer_or_an_agreed_status(
    changes: list[tuple[int, int]], role: Any
) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    try:
        vector = features_pb2.FeatureVector.FromString(bytes(data))
    except DecodeError:
        return
    assert ended(pb.PredictRequest(vector=vector, role=role)) in AGREED | {None}


@given(st.integers(0, 400), st.integers(0, 100), st.text(max_size=5), st.integers(-(2**31), 2**31 - 1))
def test_vectors_of_any_shape_have_an_agreed_status(values: int, reasons: int, text: str, number: Any) -> None:
    vector = features_pb2.FeatureVector(
        id=text,
        instrument=text,
        session=text,
        reason=number,
        provenance=number,
        spec_hash=SPEC.hash,
        values=bytes(values),
        reasons=bytes(reasons),
        emission_interval_ns=number,
    )
    assert ended(pb.PredictRequest(vector=vector)) in AGREED


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANING) == set(Unscored)


def test_an_oversized_batch_is_refused_before_a_vector_is_read() -> None:
    torn = [features_pb2.FeatureVector()] * 1001
    with pytest.raises(Ended) as end:
        API.PredictBatch(pb.PredictBatchRequest(vectors=torn), CONTEXT)
    assert end.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_models_are_described_with_the_scope_that_is_required() -> None:
    said = API._models()
    assert [(model.version, model.view_hash, list(model.feature_names)) for model in said] == [
        (1, VIEW.hash, list(VIEW.names))
    ]
