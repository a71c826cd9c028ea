"""Drives a whole platform from a test: waits, kills, brings it to rest and audits it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from infra.daemon import port_is_taken
from infra.demo.environment import PORT_OFFSETS, Environment, open_environment
from infra.demo.plan import Plan
from infra.demo.run import Demo
from libs.runtime.kafka import KafkaConfig
from libs.wire.progress import read_progress
from tests.e2e.audit import Place, Report, audit

ROOT = Path(__file__).resolve().parents[2]
STEP_S = 0.5
REST_S = 6.0  # more than a prediction's age limit, the archive's roll and the router's reconciliation together


class Driven:
    """A demo that a test steps through. The state folder outlives it."""

    def __init__(
        self,
        state: Path,
        *,
        seed: int = 7,
        signal: float = 1.0,
        training_seconds: int = 3600,
        recordings: Sequence[Path] = (),
    ) -> None:
        self.environment: Environment = open_environment(state, free_base(), recordings, seed, signal)
        self.plan = Plan(self.environment, ROOT, None, seed, training_seconds)
        self.demo = Demo(self.environment, self.plan, ROOT, None, Console(quiet=True))

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Step until it holds; fails with the state of things after `seconds`."""
        limit = time.monotonic() + seconds
        stage = ""
        while not holds():
            assert time.monotonic() < limit, f"{what}: not within {seconds:.0f} s; last stage: {stage!r}"
            stage = self.demo.step()
            time.sleep(STEP_S)

    def until_more(self, name: str, seconds: float, what: str) -> None:
        """Step until a counter is greater than now."""
        before = self.total(name)
        self.until(lambda: self.total(name) > before, seconds, what)

    def go_on(self, seconds: float) -> None:
        """Step for a while."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, seconds + 30, "time to pass")

    def total(self, name: str, **labels: str) -> float:
        return self.demo.outcome.samples.total(name, **labels)

    def kill(self, name: str) -> None:
        """SIGKILL one process and wait until its successor is ready."""
        running = self.demo.supervisor.running[name]
        killed = running.process.pid
        self.demo.supervisor.kill(name)
        self.until(
            lambda: running.process.pid != killed and running.process.poll() is None and running.program.is_ready(),
            90,
            f"{name} ready again after a kill",
        )

    def bring_to_rest(self) -> None:
        """Stop the source of events and wait until nothing moves and everything is archived."""
        self.demo.supervisor.stop("data_ingestion")
        quiet_since, last = time.monotonic(), -1.0
        limit = time.monotonic() + 90
        while time.monotonic() - quiet_since < REST_S:
            assert time.monotonic() < limit, "the platform did not come to rest within 90 s"
            self.demo.step()
            moved = sum(self.total(f"{name}_total") for name in MOVING)
            if moved != last:
                quiet_since, last = time.monotonic(), moved
            time.sleep(STEP_S)
        assert read_progress(self.plan.archive) is not None

    def audit(self) -> Report:
        kafka = KafkaConfig(self.plan.bootstrap, "confluent", self.environment.topic_prefix)
        folder = self.environment.folder
        journal = folder / "router" / "journal.sqlite"
        return audit(Place(self.plan.simulator_address, self.environment.key_file, journal, self.plan.archive, kafka))


MOVING = ("feature_store_vectors", "model_serving_predictions", "order_routing_decisions", "archive_records")


def free_base(start: int = 20_000) -> int:
    """The first block of ports from `start` that is free altogether, below those that the kernel gives to clients."""
    for base in range(start, 32_000, 100):
        if not any(port_is_taken(base + offset) for offset in PORT_OFFSETS.values()):
            return base
    raise RuntimeError("no free block of ports")
