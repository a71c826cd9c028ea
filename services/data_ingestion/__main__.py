"""Wires data ingestion together and runs it."""

from __future__ import annotations

import random
import sys
import time

import grpc

from libs.runtime.fanout import Fanout
from libs.runtime.kafka import open_producer
from libs.runtime.logs import configure
from libs.runtime.service import Task, run_service
from libs.runtime.tracing import open_tracer
from protos.ingestion.v1 import ingestion_pb2_grpc
from services.data_ingestion.adapters.bybit_rest import BybitRest
from services.data_ingestion.adapters.bybit_stream import Clocks
from services.data_ingestion.adapters.feeds import VenueFeeds
from services.data_ingestion.adapters.kafka_log import KafkaMarketLog
from services.data_ingestion.adapters.meter import PrometheusMeter
from services.data_ingestion.grpc_api import SERVICE, DataIngestionApi
from services.data_ingestion.handlers.feed import Feed
from services.data_ingestion.handlers.operate import Operations
from services.data_ingestion.settings import Settings

NAME = "data_ingestion"
MAX_BEHIND = 5000  # records


def main() -> int:
    settings = Settings.load()
    configure(NAME, settings.log_level)
    tracer = open_tracer(NAME, settings.tracing.endpoint, settings.tracing.ratio)
    watchers = Fanout[bytes](MAX_BEHIND)
    market_log = KafkaMarketLog(
        open_producer(settings.kafka.config(), NAME),
        settings.max_in_flight_records,
        settings.max_in_flight_bytes,
        watchers.show,
        wall_ns=time.time_ns,
        tracer=tracer,
    )
    rest = BybitRest(settings.http_url, settings.stream_url, settings.category, time.time_ns)
    meter = PrometheusMeter()
    clocks = Clocks(time.time_ns, time.monotonic, random.random)
    stream_url = f"{settings.stream_url.rstrip('/')}/v5/public/{settings.category}"

    def make_feed(symbol: str) -> Feed:
        return Feed(symbol, rest.named(symbol), market_log, meter)

    feeds = VenueFeeds(rest, stream_url, market_log, make_feed, clocks, settings.symbols)
    api = DataIngestionApi(Operations(feeds, rest, market_log, time.time_ns), watchers)

    def add_servicers(server: grpc.Server) -> list[str]:
        ingestion_pb2_grpc.add_DataIngestionServiceServicer_to_server(api, server)
        return [SERVICE]

    return run_service(
        NAME,
        grpc_port=settings.grpc_port,
        metrics_port=settings.metrics_port,
        add_servicers=add_servicers,
        tasks=[Task("feeds", feeds.run)],
        is_ready=lambda: feeds.all_opened,
        on_stop=[market_log.close, rest.close],
        host=settings.host,
        tracer=tracer,
    )


if __name__ == "__main__":
    sys.exit(main())
