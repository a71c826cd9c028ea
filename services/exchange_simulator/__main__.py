"""Wires the venue and runs it: `python -m services.exchange_simulator`."""

from __future__ import annotations

import sys
import time

from libs.runtime import logs
from libs.runtime.service import Task, run_service
from services.exchange_simulator.adapters.faults import Faults
from services.exchange_simulator.adapters.http_api import Limits
from services.exchange_simulator.adapters.key_file import read_keys
from services.exchange_simulator.adapters.server import Server, Wire
from services.exchange_simulator.adapters.sources import Played, generated, recorded
from services.exchange_simulator.adapters.sqlite_journal import SqliteJournal
from services.exchange_simulator.adapters.streams import Streams
from services.exchange_simulator.domain.generator import Flow
from services.exchange_simulator.handlers import Venue
from services.exchange_simulator.settings import Settings


def played(settings: Settings, now_ns: int) -> Played:
    fees = settings.fee(settings.maker_fee_bps, "0", "2.0"), settings.fee(settings.taker_fee_bps, "1", "5.5")
    if settings.recordings:
        folder = settings.state_dir / "recordings"
        return recorded(settings.recordings, folder, settings.symbol, fees, settings.training_fraction, now_ns)
    flow = Flow(settings.seed, settings.signal_strength, settings.activity)
    return generated(flow, settings.symbol, fees, settings.training_seconds, now_ns)


def main() -> int:
    settings = Settings.load()
    logs.configure("exchange_simulator", settings.log_level)
    secrets = read_keys(settings.key_file)
    journal = SqliteJournal(settings.state_dir / "accounts.sqlite")
    source, pacer = played(settings, time.time_ns())
    faults = Faults()
    streams = Streams(pacer.session.instrument, faults)
    venue = Venue(source, pacer, journal, streams, list(secrets), settings.initial_balance)
    limits = Limits(settings.orders_per_second, settings.orders_per_second, max(50, settings.orders_per_second))
    wire = Wire(settings.host, settings.http_port, limits, settings.faults_allowed, settings.play_at_once)
    server = Server(venue, streams, faults, secrets, wire, time.time_ns)
    server.bind()
    return run_service(
        "exchange_simulator",
        grpc_port=settings.grpc_port,
        metrics_port=settings.metrics_port,
        add_servicers=lambda _: (),
        tasks=[Task("venue", server.run)],
        is_ready=lambda: server.is_listening,
        on_stop=[journal.close],
        host=settings.host,
    )


if __name__ == "__main__":
    sys.exit(main())
