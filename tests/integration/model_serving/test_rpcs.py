"""The rpcs of the real process, and each error in its agreed status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.features.catalogue import full_spec
from libs.trading.market import Provenance
from libs.wire.features import encode_vector, vector_message
from protos.predictions.v1 import predictions_pb2 as pb
from tests.builders.bundles import BAR_INTERVAL, NAMES
from tests.builders.processes import wait_for
from tests.builders.vectors import a_vector
from tests.integration.model_serving.place import Place


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, list[Any]]:
    """The status of a failing call, with its details unpacked."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error: Any = raised.value  # a call as well, which its type does not say
    status = rpc_status.from_call(error)
    details = []
    for packed in status.details if status else ():
        for kind in (error_details_pb2.BadRequest, error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                details.append(kind())
                packed.Unpack(details[-1])
    return error.code(), details


def test_each_error_has_its_agreed_status(place: Place) -> None:
    place.start()
    good = vector_message(a_vector({NAMES[0]: 1.0}))

    def predict(vector: object = good, role: int = 0) -> pb.PredictResponse:
        return place.rpc.Predict(pb.PredictRequest(vector=vector, role=role), timeout=5.0)  # type: ignore[arg-type]

    def batch(vectors: list[Any]) -> pb.PredictBatchResponse:
        return place.rpc.PredictBatch(pb.PredictBatchRequest(vectors=vectors), timeout=10.0)

    code, details = refused(predict)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)

    place.champion("champion")
    assert sum(predict().prediction.probabilities) == pytest.approx(1.0, abs=1e-9)
    assert batch([]).predictions == []
    assert len(batch([good] * 1000).predictions) == 1000

    short = vector_message(a_vector())
    short.values = short.values[:-1]
    cases: dict[str, tuple[Callable[[], Any], grpc.StatusCode, str]] = {
        "no vector": (lambda: predict(None), grpc.StatusCode.INVALID_ARGUMENT, "vector"),
        "torn values": (lambda: predict(short), grpc.StatusCode.INVALID_ARGUMENT, "vector"),
        "unknown role": (lambda: predict(role=9), grpc.StatusCode.INVALID_ARGUMENT, "role"),
        "too many": (lambda: batch([good] * 1001), grpc.StatusCode.INVALID_ARGUMENT, "vectors"),
        "one torn of two": (lambda: batch([good, short]), grpc.StatusCode.INVALID_ARGUMENT, "vectors[1]"),
        "nobody in role": (lambda: predict(role=pb.ROLE_CHALLENGER), grpc.StatusCode.UNAVAILABLE, "NO_MODEL"),
    }
    other = full_spec(BAR_INTERVAL, 10**9)
    for name, vector in {
        "NOT_READY": a_vector(not_ready=NAMES[:1]),
        "SIMULATED_MODEL": a_vector(provenance=Provenance.LIVE),
        "OTHER_SPEC": a_vector(spec=other),
    }.items():
        message = vector_message(vector)
        cases[name] = (lambda message=message: predict(message), grpc.StatusCode.FAILED_PRECONDITION, name)  # type: ignore[misc]
    for name, (call, expected, named) in cases.items():
        code, details = refused(call)
        assert code is expected, name
        assert named in str(details), name

    huge = vector_message(a_vector())
    huge.values = bytes(8 * 1024 * 1024)
    code, _ = refused(lambda: predict(huge))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert predict().prediction.id


def test_a_batch_a_stream_and_single_calls_say_the_same(place: Place) -> None:
    place.start()
    place.champion("champion")
    vectors = [vector_message(a_vector({NAMES[0]: n / 10}, ordinal=n)) for n in range(50)]
    together = place.rpc.PredictBatch(pb.PredictBatchRequest(vectors=vectors), timeout=5.0).predictions
    streamed = place.rpc.PredictStream((pb.PredictStreamRequest(vector=v) for v in vectors), timeout=10.0)
    alone = [place.rpc.Predict(pb.PredictRequest(vector=v), timeout=5.0).prediction for v in vectors]
    for one, two, three in zip(together, alone, (answer.prediction for answer in streamed), strict=True):
        assert one.probabilities == two.probabilities == three.probabilities
        assert one.id == two.id == three.id


def taken(place: Place, over: threading.Event) -> Any:
    """A stream with a place, until the event; None while there is none: a watcher's is free soon after it left."""

    def vectors() -> Iterator[pb.PredictStreamRequest]:
        yield pb.PredictStreamRequest(vector=vector_message(a_vector()))
        over.wait(90.0)

    stream: Any = place.rpc.PredictStream(vectors(), timeout=90.0)
    try:
        next(stream)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return None
    return stream


def test_watchers_see_predictions_and_too_many_streams_are_turned_away(place: Place, kafka_prefix: KafkaConfig) -> None:
    place.start()
    place.champion("champion")
    request = pb.WatchPredictionsRequest(instruments=["bybit.linear.BTCUSDT"])
    watch: Any = place.rpc.WatchPredictions(request, timeout=30.0)
    producer = open_producer(kafka_prefix, "test-writer")
    seen: list[pb.Prediction] = []

    def read() -> None:
        for answer in watch:
            seen.append(answer.prediction)
            if len(seen) == 3:
                watch.cancel()
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    ordinal = iter(range(10_000))

    def feed() -> bool:
        number = next(ordinal)
        for instrument in ("bybit.linear.ETHUSDT", "bybit.linear.BTCUSDT"):
            vector = a_vector(ordinal=number, instrument=instrument)
            producer.send("features.vectors", key=instrument.encode(), value=encode_vector(vector))
        return len(seen) >= 3

    wait_for(feed)
    producer.close()
    assert {prediction.instrument for prediction in seen} == {"bybit.linear.BTCUSDT"}

    over = threading.Event()
    streams = [wait_for(lambda: taken(place, over), why="a place") for _ in range(8)]
    assert taken(place, over) is None
    assert place.rpc.DescribeModels(pb.DescribeModelsRequest(), timeout=5.0).models
    over.set()
    for stream in streams:
        stream.cancel()
