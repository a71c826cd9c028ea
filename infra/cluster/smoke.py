"""Asks a running release what `helm test` wants to know: `python -m infra.cluster.smoke {health,predict}`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.features.v1 import features_pb2, features_pb2_grpc
from protos.predictions.v1 import predictions_pb2, predictions_pb2_grpc

CALL_S = 5.0
PAUSE_S = 1.0
BETWEEN_LINES_S = 10.0
Answer = TypeVar("Answer")


class SmokeProblem(Exception):
    """Something did not answer in time; the message holds the last answer and where to look."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.cluster.smoke", description=__doc__)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds until what does not answer has failed")
    commands = parser.add_subparsers(dest="command", required=True)
    health = commands.add_parser("health", help="whether each service says SERVING")
    health.add_argument("services", nargs="+", metavar="HOST:PORT")
    predict = commands.add_parser("predict", help="read an instrument's features and ask the model about them")
    predict.add_argument("--features", required=True, metavar="HOST:PORT")
    predict.add_argument("--models", required=True, metavar="HOST:PORT")
    predict.add_argument("--instrument", required=True)
    chosen = parser.parse_args(arguments)
    limit = time.monotonic() + chosen.patience
    try:
        if chosen.command == "health":
            for service in chosen.services:
                check_health(service, limit)
        else:
            check_prediction(chosen.features, chosen.models, chosen.instrument, limit)
    except SmokeProblem as problem:
        print(problem, file=sys.stderr, flush=True)
        return 1
    return 0


def check_health(address: str, limit: float) -> None:
    """Print the address once it says SERVING. Raises SmokeProblem."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def serving() -> bool:
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S).status
            if status != health_pb2.HealthCheckResponse.SERVING:
                raise NotYet(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
            return True

        name = address.partition(":")[0]
        until(serving, f"health of {address}", limit, f"kubectl describe pod of {name} says what it waits for")
    print(f"{address}: SERVING", flush=True)


def check_prediction(features: str, models: str, instrument: str, limit: float) -> None:
    """Read the newest vector, predict with it, print both. Raises SmokeProblem."""
    with grpc.insecure_channel(features) as reading, grpc.insecure_channel(models) as asking:
        store = features_pb2_grpc.FeatureStoreServiceStub(reading)
        serving = predictions_pb2_grpc.ModelServingServiceStub(asking)
        wanted = features_pb2.GetFeaturesRequest(instruments=[instrument])

        def read() -> features_pb2.FeatureVector:
            return store.GetFeatures(wanted, timeout=CALL_S).vectors[0]

        def predict() -> tuple[features_pb2.FeatureVector, predictions_pb2.Prediction]:
            vector = read()
            answer = serving.Predict(predictions_pb2.PredictRequest(vector=vector), timeout=CALL_S)
            return vector, answer.prediction

        first = until(read, f"features of {instrument} at {features}", limit, "data_ingestion's log says why none come")
        print(f"features of {instrument}: vector {first.id} as of {first.as_of_ns} ns", flush=True)
        where = "DescribeModels says what is served and refused; the first-model Job or the last retraining, why"
        vector, prediction = until(predict, f"prediction of {models}", limit, where)
    count, missing = len(vector.reasons), sum(reason != 0 for reason in vector.reasons)
    said = ", ".join(
        f"{name} {chance:.4f}" for name, chance in zip(prediction.classes, prediction.probabilities, strict=True)
    )
    print(f"vector {vector.id}: {count} features, {missing} not ready, as of {vector.as_of_ns} ns", flush=True)
    print(f"prediction by version {prediction.model_version} ({prediction.bundle_digest[:12]}): {said}", flush=True)


class NotYet(Exception):
    """An answer, but not the one that is waited for."""


def until(ask: Callable[[], Answer], what: str, limit: float, where: str) -> Answer:
    """Ask until it is answered; says now and then what is missing. Raises SmokeProblem after the limit (monotonic)."""
    told = 0.0
    while True:
        try:
            return ask()
        except NotYet as problem:
            reason = str(problem)
        except grpc.RpcError as error:
            reason = f"{error.code().name}: {error.details()}"
        now = time.monotonic()
        if now >= limit:
            raise SmokeProblem(f"{what}: {reason} ({where})")
        if now - told >= BETWEEN_LINES_S:
            print(f"{what}: {reason}, waiting", flush=True)
            told = now
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
