"""Wires model serving together and runs it."""

from __future__ import annotations

import sys
import threading
import time

import grpc

from libs.runtime.fanout import Fanout
from libs.runtime.logs import configure
from libs.runtime.service import Task, run_service
from libs.runtime.tracing import open_tracer
from libs.trading.features.catalogue import full_spec
from libs.trading.scoring import Prediction, Scope
from protos.predictions.v1 import predictions_pb2_grpc
from services.model_serving.adapters.admission import BundleAdmission, trust_of
from services.model_serving.adapters.cache import BundleCache
from services.model_serving.adapters.history import KafkaHistory
from services.model_serving.adapters.kafka_ends import open_ends
from services.model_serving.adapters.messages import prediction_message, vector_of
from services.model_serving.adapters.mlflow_registry import MlflowRegistry
from services.model_serving.adapters.notices import ServiceNotices
from services.model_serving.adapters.vector_log import VectorLog
from services.model_serving.grpc_api import SERVICE, ModelServingApi
from services.model_serving.handlers.reconcile import Reconciler
from services.model_serving.handlers.serving import Models, Scoring
from services.model_serving.settings import Settings

NAME, MAX_BEHIND = "model_serving", 1000


def main() -> int:
    settings = Settings.load()
    configure(NAME, settings.log_level)
    trust = trust_of(settings.integrity_keys, settings.gate_keys, settings.required_scope, settings.policies)
    spec = full_spec(settings.bar_interval_ns, settings.emission_interval_ns)
    tracer = open_tracer(NAME, settings.tracing.endpoint, settings.tracing.ratio)
    ends = open_ends(settings.kafka.config(), NAME, settings.instance_id)
    notices = ServiceNotices(ends.producer, time.time_ns)
    registry = MlflowRegistry(settings.mlflow_uri, settings.model_name)
    watchers, scoring = Fanout[Prediction](MAX_BEHIND), Scoring(Models(), spec, time.time_ns)
    reconciler = Reconciler(
        settings.model_name,
        scoring.models,
        registry=registry,
        admission=BundleAdmission(trust, spec),
        cache=BundleCache(settings.cache_folder),
        history=KafkaHistory(ends.open_reader, ends.producer),
        notices=notices,
        clock=time.time_ns,
    )
    vectors = VectorLog(ends, scoring.score_all, watchers.show, notices, tracer=tracer)
    required = Scope[settings.required_scope]
    api = ModelServingApi(scoring, reconciler, watchers, required, decode=vector_of, encode=prediction_message)

    def add_servicers(server: grpc.Server) -> list[str]:
        predictions_pb2_grpc.add_ModelServingServiceServicer_to_server(api, server)
        return [SERVICE]

    def score(stop: threading.Event) -> None:
        reconciler.wait_until_restored(stop)
        vectors.run(stop)

    return run_service(
        NAME,
        grpc_port=settings.grpc_port,
        metrics_port=settings.metrics_port,
        add_servicers=add_servicers,
        tasks=[Task("reconcile", lambda stop: reconciler.run(stop, settings.poll_seconds)), Task("score", score)],
        is_ready=vectors.is_caught_up,
        on_stop=[ends.producer.close, registry.close],
        host=settings.host,
        tracer=tracer,
    )


if __name__ == "__main__":
    sys.exit(main())
