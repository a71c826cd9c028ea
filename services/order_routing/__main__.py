"""Wires order routing together and runs it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from libs.runtime.logs import configure
from libs.runtime.service import Task, run_service
from libs.wire import orders as wire
from protos.orders.v1 import orders_pb2_grpc
from services.order_routing.adapters import assembly
from services.order_routing.adapters.announcement import SimulatorAnnouncement
from services.order_routing.adapters.bybit_rest import BybitVenue
from services.order_routing.adapters.bybit_stream import BybitStream
from services.order_routing.adapters.counting import Metrics
from services.order_routing.adapters.database import open_database
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.order_events_topic import AlertsTopic, OrderEventsTopic
from services.order_routing.adapters.prediction_inputs import Inputs
from services.order_routing.adapters.verdicts import Verdicts, trust_of
from services.order_routing.grpc_api import SERVICE, OrderRoutingApi
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.lead import Course, Leadership
from services.order_routing.handlers.router import World
from services.order_routing.ports import Venue
from services.order_routing.settings import Settings

NAME, MS = "order_routing", 1_000_000


def main(s: Settings, see: Callable[[Venue], Venue] = lambda venue: venue) -> int:
    """Run until stopped; the exit code. `see` lets a test stand between the router and its venue."""
    configure(NAME, s.log_level)
    s.state_dir.mkdir(parents=True, exist_ok=True)
    keys, at, clock = assembly.read_credentials(s.venue.key_file), s.venue, time.time_ns
    rest = BybitVenue(at.http_url, keys, clock, at.category, s.account, at.receive_window_ms, at.timeout_s)
    stream = BybitStream(at.stream_url, keys, clock, rest.time_here, at.category)
    announcement = SimulatorAnnouncement(at.http_url)
    verdicts = Verdicts(trust_of(map(Path, s.integrity_keys), map(Path, s.gate_keys), s.policies))
    kafka = assembly.open_kafka(s.kafka.config(), NAME)
    explore = assembly.explore_of(s.explore.model_dump(), on=s.explores)
    policy = assembly.policy_of(risk=s.risk.model_dump(), explore=explore, **s.model_dump(include=assembly.OF_POLICY))
    patience = Patience(receive_window=at.receive_window_ms * MS, margin=s.doubt_margin_ms * MS)
    holder, dead_man = assembly.holder_name(), int(s.dead_man_seconds * 1e9)
    course = Course(policy, patience, holder, s.lease_ms * MS, s.instruments, s.reconcile_seconds, dead_man)
    journal, alerts = SqlJournal(open_database(s.database)), AlertsTopic(kafka.producer, clock)
    world = World(journal, see(rest), verdicts, alerts, Metrics(), clock)
    topic = OrderEventsTopic(kafka.producer, kafka.open_reader)
    leadership = Leadership(world, course, announcement, topic, assembly.log_note)
    inputs = Inputs(kafka.open_reader, verdicts)

    def add_servicers(server: grpc.Server) -> list[str]:
        orders_pb2_grpc.add_OrderRoutingServiceServicer_to_server(OrderRoutingApi(leadership.router, wire), server)
        return [SERVICE]

    def decide(stop: threading.Event) -> None:
        router = leadership.acting(stop)
        if router is not None:
            inputs.decide(stop, router.account.offsets, router.predictions.handle, leadership.poison)

    return run_service(
        NAME,
        grpc_port=s.grpc_port,
        metrics_port=s.metrics_port,
        add_servicers=add_servicers,
        tasks=[
            Task("lead", leadership.lead),
            Task("lease", leadership.keep_lease),
            Task("models", inputs.hear_models),
            Task("decide", decide),
            Task("tend", leadership.tend),
            Task("stream", lambda stop: stream.run(stop, leadership.symbols, leadership.news)),
            Task("publish", leadership.publish),
            Task("warm", rest.keep_warm),
        ],
        is_ready=lambda: leadership.is_acting() and inputs.are_caught_up(),
        on_stop=[leadership.give_back, kafka.producer.close, rest.close, announcement.close],
        host=s.host,
    )


if __name__ == "__main__":
    sys.exit(main(Settings.load()))
