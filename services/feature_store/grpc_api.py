"""FeatureStoreService: what the features are, their newest values, and a stream of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

import grpc
import numpy as np
from numpy.typing import NDArray

from libs.runtime.fanout import Fanout
from libs.runtime.grpc_errors import abort
from libs.runtime.service import StreamCap
from libs.trading.features.catalogue import VIEWS
from libs.trading.features.spec import FeatureSpec
from protos.features.v1 import features_pb2 as pb
from protos.features.v1 import features_pb2_grpc
from services.feature_store.domain import Published
from services.feature_store.handlers import LatestVectors

SERVICE = "features.v1.FeatureStoreService"
MAX_INSTRUMENTS = 200
MAX_NAMES = 1000


class FeatureStoreApi(features_pb2_grpc.FeatureStoreServiceServicer):
    """Statuses as contracts: INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION (stale), UNAVAILABLE (not caught up)."""

    def __init__(
        self,
        spec: FeatureSpec,
        latest: LatestVectors,
        watchers: Fanout[Published],
        is_ready: Callable[[], bool],
        wall_ns: Callable[[], int],
        max_streams: int,
    ) -> None:
        self._spec = spec
        self._latest, self._watchers = latest, watchers
        self._is_ready = is_ready
        self._wall_ns = wall_ns
        self._streams = StreamCap(max_streams)
        self._place = {name: index for index, name in enumerate(spec.names)}

    def DescribeFeatures(
        self, request: pb.DescribeFeaturesRequest, context: grpc.ServicerContext
    ) -> pb.DescribeFeaturesResponse:
        return pb.DescribeFeaturesResponse(
            spec_hash=self._spec.hash,
            emission_interval_ns=self._spec.emission_interval,
            bar_interval_ns=self._spec.bar_interval,
            features=[
                pb.FeatureDescription(
                    name=feature.name,
                    formula_version=feature.formula_version,
                    window=feature.window,
                    inputs=feature.inputs,
                    unit=feature.unit,
                )
                for feature in self._spec.features
            ],
            view_hashes={name: self._spec.view(features).hash for name, features in VIEWS.items()},
        )

    def GetFeatures(self, request: pb.GetFeaturesRequest, context: grpc.ServicerContext) -> pb.GetFeaturesResponse:
        positions = self._check(request, context)
        found = [self._newest(instrument, request.max_age_ns, context) for instrument in request.instruments]
        vectors = [pb.FeatureVector.FromString(published.message) for published in found]
        if positions is not None:
            for message, published in zip(vectors, found, strict=True):
                message.values = published.vector.values[positions].tobytes()
                message.reasons = published.vector.reasons[positions].tobytes()
        return pb.GetFeaturesResponse(vectors=vectors)

    def WatchFeatures(
        self, request: pb.WatchFeaturesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchFeaturesResponse]:
        if len(request.instruments) > MAX_INSTRUMENTS:
            self._too_many(context, "instruments", len(request.instruments), MAX_INSTRUMENTS)
        with self._streams.hold(context):
            for published in self._watchers.follow(frozenset(request.instruments), context):
                yield pb.WatchFeaturesResponse(vector=pb.FeatureVector.FromString(published.message))

    def _check(self, request: pb.GetFeaturesRequest, context: grpc.ServicerContext) -> NDArray[np.intp] | None:
        """Where the wanted names lie; None for all. Ends the call when an argument is wrong."""
        for field, count, limit in (
            ("instruments", len(request.instruments), MAX_INSTRUMENTS),
            ("names", len(request.names), MAX_NAMES),
        ):
            if count > limit:
                self._too_many(context, field, count, limit)
        violations = {}
        if not request.instruments:
            violations["instruments"] = "name at least one instrument, like bybit.linear.BTCUSDT"
        if request.max_age_ns < 0:
            violations["max_age_ns"] = f"{request.max_age_ns} is below 0"
        unknown = [name for name in request.names if name not in self._place]
        if unknown:
            violations["names"] = f"the spec has no {', '.join(unknown)}; DescribeFeatures lists what there is"
        if violations:
            problems = "; ".join(f"{field}: {text}" for field, text in violations.items())
            abort(context, grpc.StatusCode.INVALID_ARGUMENT, problems, violations=violations)
        if not request.names:
            return None
        return np.array([self._place[name] for name in request.names], dtype=np.intp)

    def _newest(self, instrument: str, max_age_ns: int, context: grpc.ServicerContext) -> Published:
        published = self._latest.get(instrument)
        if published is None:
            if not self._is_ready():
                message = "still reading the log"
                abort(context, grpc.StatusCode.UNAVAILABLE, message, reason="NOT_CAUGHT_UP", retry_s=1.0)
            abort(context, grpc.StatusCode.NOT_FOUND, f"no vector of {instrument!r} yet", reason="UNKNOWN_INSTRUMENT")
        vector = published.vector
        age_ns = vector.clock.session_time(self._wall_ns()) - vector.received_time
        if 0 < max_age_ns < age_ns:
            message = f"the newest vector of {instrument} is {age_ns} ns old, asked for {max_age_ns} ns at most"
            metadata = {"instrument": instrument, "age_ns": str(age_ns)}
            abort(context, grpc.StatusCode.FAILED_PRECONDITION, message, reason="STALE_FEATURES", metadata=metadata)
        return published

    @staticmethod
    def _too_many(context: grpc.ServicerContext, field: str, count: int, limit: int) -> NoReturn:
        message = f"{field}: {count} given, at most {limit} in one call"
        abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, message, reason="TOO_MANY", metadata={"field": field})
