"""Wires order routing together and runs it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from libs.runtime.logs import configure
from libs.runtime.service import Task, run_service
from libs.wire import orders as wire
from services.order_routing.adapters import announcement, assembly, bybit_rest, bybit_stream, commands, verdicts
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.order_events_topic import AlertsTopic, OrderEventsTopic
from services.order_routing.adapters.prediction_inputs import Inputs
from services.order_routing.adapters.schema import open_database
from services.order_routing.grpc_api import door
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.lead import Course, Leadership
from services.order_routing.handlers.router import Router, World
from services.order_routing.ports import Venue
from services.order_routing.settings import JournalSettings, Settings

NAME, MS = "order_routing", 1_000_000


@assembly.one_line_problems()
def main(s: Settings, see: Callable[[Venue], Venue] = lambda venue: venue) -> int:
    """Run until stopped; the exit code. `see` lets a test stand between the router and its venue."""
    configure(NAME, s.log_level)
    s.state_dir.mkdir(parents=True, exist_ok=True)
    keys, at, clock = assembly.read_credentials(s.venue.key_file), s.venue, time.time_ns
    rest = bybit_rest.BybitVenue(at.http_url, keys, clock, at.category, s.account, at.receive_window_ms, at.timeout_s)
    stream = bybit_stream.BybitStream(at.stream_url, keys, clock, rest.time_here, at.category)
    announced = announcement.SimulatorAnnouncement(at.http_url)
    trust = verdicts.trust_of(map(Path, s.integrity_keys), map(Path, s.gate_keys), s.policies)
    standings = verdicts.Verdicts(trust)
    sql, kafka = SqlJournal(open_database(s.database)), assembly.open_kafka(s.kafka.config(), NAME)
    explore = assembly.explore_of(s.explore.model_dump(), on=s.explores)
    policy = assembly.policy_of(risk=s.risk.model_dump(), explore=explore, **s.model_dump(include=assembly.OF_POLICY))
    patience = Patience(at.answer_ms * MS, at.receive_window_ms * MS, s.doubt_margin_ms * MS)
    holder, dead_man = assembly.holder_name(), int(s.dead_man_seconds * 1e9)
    keep = assembly.keep_of(s.keep_events_days, s.keep_decisions_days, explore)
    course = Course(policy, patience, holder, s.lease_ms * MS, s.instruments, s.reconcile_seconds, dead_man, keep)
    traces = assembly.open_traces(NAME, s.tracing.endpoint, s.tracing.ratio)
    world = World(sql, see(rest), standings, AlertsTopic(kafka.producer, clock), traces, clock)
    topic = OrderEventsTopic(kafka.producer, kafka.open_reader)
    leadership = Leadership(world, course, announced, topic, assembly.log_note)
    inputs = Inputs(kafka.open_reader, standings, traces)

    def decide(over: threading.Event, router: Router) -> None:
        inputs.decide(over, router.account.offsets, router.predictions.handle, router.predictions.poison)

    tasks = {
        "lead": leadership.lead,
        "lease": leadership.terms.keep,
        "models": inputs.hear_models,
        "decide": lambda stop: leadership.terms.each_term(stop, decide),
        "tend": leadership.tend,
        "stream": lambda stop: stream.run(stop, leadership.symbols, leadership.news),
        "publish": leadership.publish,
        "warm": rest.keep_warm,
    }
    return run_service(
        NAME,
        grpc_port=s.grpc_port,
        metrics_port=s.metrics_port,
        add_servicers=door(leadership.terms.router, wire),
        tasks=[Task(name, run) for name, run in tasks.items()],
        is_ready=lambda: leadership.terms.is_acting() and inputs.are_caught_up(),
        on_stop=[kafka.producer.close, leadership.terms.give_back, rest.close, announced.close],
        host=s.host,
        tracer=traces.tracer,
    )


if __name__ == "__main__":
    sys.exit(commands.run(sys.argv[1:], JournalSettings.load) if sys.argv[1:] else main(Settings.load()))
