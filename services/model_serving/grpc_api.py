"""The service as rpcs: decodes, asks the handlers, and says each refusal in the agreed status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from libs.runtime.fanout import Fanout
from libs.runtime.grpc_errors import abort
from libs.runtime.service import StreamCap
from libs.trading.features.vector import FeatureVector
from libs.trading.scoring import Prediction, Role, Scope
from protos.features.v1 import features_pb2
from protos.predictions.v1 import predictions_pb2 as pb
from protos.predictions.v1 import predictions_pb2_grpc
from services.model_serving.domain import ALIASES, Arrived, Change, Unscored
from services.model_serving.handlers.reconcile import Reconciler
from services.model_serving.handlers.serving import Scoring, Served
from services.model_serving.ports import MalformedVector

SERVICE = "predictions.v1.ModelServingService"
MAX_BATCH = 1000
RETRY_S = 2.0
MEANING: Mapping[Unscored, str] = {
    Unscored.NO_MODEL: "no accepted model serves this role",
    Unscored.OTHER_SPEC: "the vector was made under another feature spec than the one in force",
    Unscored.OTHER_INTERVAL: "the vector was emitted at another interval than the model's view states",
    Unscored.NOT_READY: "a feature of the model's view is not ready",
    Unscored.SIMULATED_MODEL: "a model made from simulated data acts in simulated sessions only",
}


class ModelServingApi(predictions_pb2_grpc.ModelServingServiceServicer):
    """`decode` raises MalformedVector; `encode` makes the message of a prediction."""

    def __init__(
        self,
        scoring: Scoring,
        reconciler: Reconciler,
        watchers: Fanout[Prediction],
        required_scope: Scope,
        *,
        decode: Callable[[features_pb2.FeatureVector], FeatureVector],
        encode: Callable[[Prediction], pb.Prediction],
    ) -> None:
        self._scoring = scoring
        self._reconciler = reconciler
        self._watchers = watchers
        self._required_scope = required_scope
        self._decode = decode
        self._encode = encode
        self._streams = StreamCap()

    def Predict(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> pb.PredictResponse:
        return pb.PredictResponse(prediction=self._one(request, context))

    def PredictBatch(self, request: pb.PredictBatchRequest, context: grpc.ServicerContext) -> pb.PredictBatchResponse:
        if len(request.vectors) > MAX_BATCH:
            wrong = {"vectors": f"{len(request.vectors)} vectors, at most {MAX_BATCH}"}
            abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the batch is too large", violations=wrong)
        role = _role(request.role, context)
        vectors = [
            Arrived(self._vector(message, f"vectors[{place}]", context))
            for place, message in enumerate(request.vectors)
        ]
        predictions = []
        for place, answer in enumerate(self._scoring.score(role, vectors)):
            if isinstance(answer, Unscored):
                _unscored(answer, f"vectors[{place}]", context)
            predictions.append(self._encode(answer))
        return pb.PredictBatchResponse(predictions=predictions)

    def PredictStream(
        self, request_iterator: Iterator[pb.PredictStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.PredictStreamResponse]:
        with self._streams.hold(context):
            for request in request_iterator:
                yield pb.PredictStreamResponse(prediction=self._one(request, context))

    def DescribeModels(
        self, request: pb.DescribeModelsRequest, context: grpc.ServicerContext
    ) -> pb.DescribeModelsResponse:
        scope: Any = int(self._required_scope)
        return pb.DescribeModelsResponse(models=self._models(), refused=self._refused(), required_scope=scope)

    def ReconcileModels(
        self, request: pb.ReconcileModelsRequest, context: grpc.ServicerContext
    ) -> pb.ReconcileModelsResponse:
        self._reconciler.step(again=True)
        return pb.ReconcileModelsResponse(models=self._models(), refused=self._refused())

    def WatchPredictions(
        self, request: pb.WatchPredictionsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPredictionsResponse]:
        with self._streams.hold(context):
            for prediction in self._watchers.follow(frozenset(request.instruments), context):
                yield pb.WatchPredictionsResponse(prediction=self._encode(prediction))

    def _one(
        self, request: pb.PredictRequest | pb.PredictStreamRequest, context: grpc.ServicerContext
    ) -> pb.Prediction:
        if not request.HasField("vector"):
            wrong = {"vector": "missing"}
            abort(context, grpc.StatusCode.INVALID_ARGUMENT, "no vector", violations=wrong)
        role = _role(request.role, context)
        [answer] = self._scoring.score(role, [Arrived(self._vector(request.vector, "vector", context))])
        if isinstance(answer, Unscored):
            _unscored(answer, "vector", context)
        return self._encode(answer)

    def _vector(self, message: features_pb2.FeatureVector, path: str, context: grpc.ServicerContext) -> FeatureVector:
        try:
            return self._decode(message)
        except MalformedVector as error:
            wrong = {path: str(error)}
            abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"{path}: {error}", violations=wrong)

    def _models(self) -> list[pb.ServedModel]:
        return [served_message(served) for served in self._scoring.models.now().values()]

    def _refused(self) -> list[pb.RefusedModel]:
        return [refused_message(change) for change in self._reconciler.refused().values()]


def _role(value: int, context: grpc.ServicerContext) -> Role:
    if value == 0:
        return Role.CHAMPION
    try:
        return Role(value)
    except ValueError:
        known = ", ".join(f"{int(role)} {alias}" for role, alias in ALIASES.items())
        wrong = {"role": f"{value} is none of {known}"}
        abort(context, grpc.StatusCode.INVALID_ARGUMENT, "unknown role", violations=wrong)


def _unscored(why: Unscored, path: str, context: grpc.ServicerContext) -> NoReturn:
    if why is Unscored.NO_MODEL:
        abort(context, grpc.StatusCode.UNAVAILABLE, MEANING[why], reason=why.value, retry_s=RETRY_S)
    abort(context, grpc.StatusCode.FAILED_PRECONDITION, f"{path}: {MEANING[why]}", reason=why.value)


def served_message(served: Served) -> pb.ServedModel:
    facts = served.admitted.facts
    # enums go in as numbers typed Any: generated stubs disagree about what they want
    role: Any = int(served.role)
    kind: Any = int(facts.label_kind)
    provenance: Any = int(facts.provenance)
    evidence: Any = int(facts.evidence)
    names: Sequence[str] = facts.view.names
    return pb.ServedModel(
        role=role,
        model_name=facts.name,
        version=facts.version,
        bundle_digest=facts.digest,
        view_hash=served.view_hash,
        feature_names=names,
        label_kind=kind,
        horizon_ns=facts.horizon,
        provenance=provenance,
        evidence=evidence,
        decision_threshold=facts.decision_threshold,
        accepted_time_ns=served.accepted_time,
    )


def refused_message(change: Change) -> pb.RefusedModel:
    role: Any = int(change.role)
    return pb.RefusedModel(
        role=role,
        version=change.version,
        bundle_digest=change.digest,
        reason=change.reason,
        refused_time_ns=change.time,
    )
