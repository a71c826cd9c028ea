"""Wires the feature store and runs it."""

from __future__ import annotations

import sys
import time
from functools import partial

import grpc

from libs.runtime import logs
from libs.runtime.fanout import Fanout
from libs.runtime.kafka import open_consumer, open_producer
from libs.runtime.service import Task, run_service
from libs.runtime.tracing import open_tracer
from libs.trading.features.engine import compile_kernels
from protos.features.v1 import features_pb2_grpc
from services.feature_store.adapters.event_log import EventLog
from services.feature_store.adapters.intervals import spec_of
from services.feature_store.adapters.latest_log import LatestLog
from services.feature_store.adapters.notices import PrometheusNotices
from services.feature_store.adapters.snapshot_log import SnapshotLog
from services.feature_store.domain import Published
from services.feature_store.grpc_api import SERVICE, FeatureStoreApi
from services.feature_store.handlers import Engines, LatestVectors
from services.feature_store.settings import Settings

NAME, MAX_BEHIND = "feature_store", 1024


def main() -> int:
    settings = Settings.load()
    logs.configure(NAME, settings.log_level)
    spec = spec_of(settings.bar_seconds, settings.emission_ms)
    kafka = settings.kafka.config()
    tracer = open_tracer(NAME, settings.tracing.endpoint, settings.tracing.ratio)
    notices = PrometheusNotices()
    watchers = Fanout[Published](MAX_BEHIND)
    latest = LatestVectors(spec.hash, watchers.show)
    producer = open_producer(kafka, NAME)
    consumer = open_consumer(kafka, NAME, group=settings.group, instance_id=settings.instance_id)
    open_reader = partial(open_consumer, kafka, f"{NAME}-reader")
    events = EventLog(
        consumer,
        producer,
        Engines(spec, notices),
        SnapshotLog(producer, open_reader, spec.hash, time.time_ns),
        notices,
        put_latest=latest.put,
        compile_kernels=lambda: compile_kernels(spec),
        partitions=settings.partition_numbers(),
        snapshot_seconds=settings.snapshot_seconds,
        wall_ns=time.time_ns,
        tracer=tracer,
    )
    follower = LatestLog(open_reader, latest.put)

    def is_ready() -> bool:
        return events.is_caught_up() and follower.is_caught_up()

    def add_servicers(server: grpc.Server) -> list[str]:
        api = FeatureStoreApi(spec, latest, watchers, is_ready, time.time_ns, settings.max_streams)
        features_pb2_grpc.add_FeatureStoreServiceServicer_to_server(api, server)
        return [SERVICE]

    return run_service(
        NAME,
        grpc_port=settings.grpc_port,
        metrics_port=settings.metrics_port,
        add_servicers=add_servicers,
        tasks=[Task("features", events.run), Task("latest", follower.run)],
        is_ready=is_ready,
        on_stop=[consumer.close, producer.close],
        host=settings.host,
        tracer=tracer,
    )


if __name__ == "__main__":
    sys.exit(main())
