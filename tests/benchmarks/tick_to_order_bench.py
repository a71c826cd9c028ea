"""From the venue frame's arrival to the last byte of the order request written, by hop, all processes real.

A real broker, MLflow, the exchange simulator playing a generated market at about 100 and 1000 frames a second, and
data_ingestion, feature_store, model_serving and order_routing as processes of their own. The model is a signed bundle
that sets the best level's imbalance against the book's, so that it changes its mind several times a second. The durable
commit of the decision is part of the time. Figures are exact: each process writes down every value that it measures.
No peer publishes this path; the limits are the project's own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from infra.demo.environment import open_environment
from infra.demo.plan import Plan
from infra.demo.processes import Program, Supervisor
from infra.demo.scrape import Samples, Scraper
from infra.demo.source import Source
from infra.kafka.topics import create_topics
from libs.bundle.keys import generate
from libs.trading.features.catalogue import full_spec
from libs.trading.market import NS_PER_SECOND
from tests.benchmarks.exact_samples import Sample, samples_in
from tests.builders.bundles import TestKeys, a_bundle, a_view, register, set_alias
from tests.e2e.drive import free_base

ROOT = Path(__file__).resolve().parents[2]
ACTIVITIES = {100: 3.7, 1000: 52.0}  # frames a second: EXCHANGE_SIMULATOR_ACTIVITY
TARGETS_MS = {"p50": 3.0, "p99": 15.0}
SECONDS = 40.0
WARM_S = 12.0
EMISSION_MS = 50
TRAINING_S = 20
RULE = {"imbalance_1": 1.0, "imbalance_25": -2.5}  # the best level against the lean of all: a quick change of mind
SURE = 1e-6  # any sign of the rule is a signal
FEWEST = 30  # orders; fewer say nothing
HOP = "order_routing_hop_seconds"
HOPS = (
    ("frame → Kafka (every frame)", "data_ingestion_frame_to_kafka_seconds", ()),
    ("frame → vector sent", HOP, ("features",)),
    ("→ prediction", HOP, ("predict",)),
    ("→ read by the router", HOP, ("read",)),
    ("→ decision on disk", HOP, ("decide",)),
    ("→ order written", HOP, ("send",)),
    ("tick → order", HOP, ("total",)),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One rate's run: seconds by hop, what the venue sent, how busy the machine was before and after."""

    wanted: int
    frames_per_s: float
    orders: int
    hops: dict[str, list[float]]
    load: tuple[float, float]


class World:
    """The processes of one run, in a folder and on ports of their own."""

    def __init__(self, folder: Path, activity: float) -> None:
        self._folder = folder
        self._environment = open_environment(folder, free_base(), (), 7, 1.0)
        self._plan = Plan(self._environment, ROOT, None, 7, TRAINING_S)
        self._supervisor = Supervisor(self._environment.folder, ROOT, print)
        self._scraper = Scraper(self._plan.metrics_ports)
        self._source = Source(self._plan.simulator_address)
        self._activity = activity

    def start(self) -> None:
        """Everything runs, the model serves and orders are sent when it returns."""
        plan = self._plan
        self._supervisor.start_all([self._told(program) for program in plan.foundation])
        create_topics(plan.bootstrap, self._environment.topic_prefix)
        self._register()
        wanted = ("feature_store", "model_serving", "order_routing")
        self._supervisor.start_all([self._told(program) for program in plan.services if program.name in wanted])
        self._until(lambda seen: bool(seen.labels_of("model_serving_model_info")), "the model serves")
        self._supervisor.start(self._told(plan.ingestion))
        self._until(lambda seen: seen.total("order_routing_orders_total") > 0, "the first order")

    def stop(self) -> None:
        self._supervisor.stop_all()

    def frames(self) -> float:
        return self._scraper.scrape().total("exchange_simulator_frames_total")

    def samples(self) -> list[Sample]:
        """After `stop`."""
        return [sample for file in self._folder.glob("*.samples") for sample in samples_in(file)]

    def _register(self) -> None:
        keys, bundle = self._plan.keys, self._folder / "bundle"
        pairs = [generate(keys / f"{name}.pem", keys / f"{name}.public.pem") for name in ("training", "gate")]
        view = a_view(tuple(RULE), full_spec(NS_PER_SECOND, EMISSION_MS * 1_000_000))
        table = np.array([(-weight, 0.0, weight) for weight in RULE.values()])  # down, flat, up
        bundle.mkdir()
        digest = a_bundle(bundle, view=view, table=table, decision_threshold=SURE, keys=TestKeys(*pairs))
        set_alias(self._plan.mlflow_address, "champion", register(self._plan.mlflow_address, bundle, digest=digest))

    def _told(self, program: Program) -> Program:
        """The demo's program with this run's settings; a service also writes down what it measures."""
        argv = list(program.argv)
        if (module := argv[-1]).startswith("services."):
            file = self._folder / f"{program.name}.samples"
            argv[-1:] = ["tests.benchmarks.exact_samples", module, str(file)]
        changes = {
            "exchange_simulator": {
                "ACTIVITY": f"{self._activity:g}",
                "ORDERS_PER_SECOND": "1000",
                "INITIAL_BALANCE": "1000000",
            },
            "feature_store": {"EMISSION_MS": str(EMISSION_MS)},
            "model_serving": {"EMISSION_INTERVAL_NS": str(EMISSION_MS * 1_000_000)},
            "order_routing": {"RISK__MAX_ORDERS_PER_SECOND": "1000", "RISK__MAX_ORDERS_PER_MINUTE": "60000"},
        }.get(program.name, {})
        env = {f"{program.name.upper()}_{name}": value for name, value in changes.items()}
        return replace(program, argv=argv, env={**program.env, **env})

    def _until(self, holds: Callable[[Samples], bool], what: str, seconds: float = 120.0) -> None:
        limit = time.monotonic() + seconds
        while not holds(self._scraper.scrape()):
            if time.monotonic() > limit:
                raise TimeoutError(f"{what}: not within {seconds:.0f} s; logs in {self._environment.folder}/logs")
            time.sleep(0.2)


def measure(wanted: int, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name), ACTIVITIES[wanted])
        before = os.getloadavg()[0]
        try:
            world.start()
            time.sleep(WARM_S)
            frames, begin = world.frames(), time.monotonic_ns()
            time.sleep(seconds)
            end = time.monotonic_ns()
            rate = (world.frames() - frames) / ((time.monotonic_ns() - begin) / 1e9)
            load = (before, os.getloadavg()[0])
        finally:
            world.stop()
        taken = [sample for sample in world.samples() if begin <= sample.at_ns < end]
        hops = {label: values_of(taken, metric, labels) for label, metric, labels in HOPS}
    return Measured(wanted, rate, len(hops[HOPS[-1][0]]), hops, load)


def values_of(samples: Sequence[Sample], metric: str, labels: tuple[str, ...]) -> list[float]:
    return sorted(sample.value for sample in samples if (sample.metric, sample.labels) == (metric, labels))


def check(measured: Measured) -> None:
    """Whether the figures are of what they say: enough orders, each with every hop, whose parts make up the whole."""
    assert measured.orders >= FEWEST, f"only {measured.orders} orders at {measured.wanted} frames/s"
    parts = [values for label, values in measured.hops.items() if label != HOPS[0][0]]
    assert {len(values) for values in parts} == {measured.orders}, {k: len(v) for k, v in measured.hops.items()}
    whole, sums = sum(parts[-1]), sum(sum(values) for values in parts[:-1])
    assert abs(whole - sums) <= 0.02 * whole, f"the hops sum to {sums:.3f} s, the whole to {whole:.3f} s"
    assert 0.7 * measured.wanted <= measured.frames_per_s <= 1.3 * measured.wanted, measured.frames_per_s


def quantile(values: Sequence[float], q: float) -> float:
    """By rank, in ms, of sorted seconds."""
    return values[min(len(values) - 1, int(q * len(values)))] * 1000


def durable_writes(folder: Path, *, lengthens: bool, times: int = 200) -> list[float]:
    """Sorted seconds of writing 4 KiB and making them durable: behind the end of a file, or over what was there."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        if not lengthens:
            file.write(bytes(4096 * times))
            os.fsync(file.fileno())
            file.seek(0)
        for _ in range(times):
            begun = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return sorted(taken)


def show(measured: Measured) -> None:
    print(
        f"\n{measured.frames_per_s:.0f} frames/s, {measured.orders} orders, "
        f"load average {measured.load[0]:.1f} before and {measured.load[1]:.1f} at the end, {os.cpu_count()} cores"
    )
    print(f"{'hop':30}{'p50 ms':>9}{'p99 ms':>9}{'n':>9}")
    for label, values in measured.hops.items():
        print(f"{label:30}{quantile(values, 0.5):9.2f}{quantile(values, 0.99):9.2f}{len(values):9}")
    print(f"{'target':30}{TARGETS_MS['p50']:9.2f}{TARGETS_MS['p99']:9.2f}")


def main(rates: Sequence[int], seconds: float) -> None:
    for rate in rates:
        measured = measure(rate, seconds)
        check(measured)
        show(measured)
    print("\nwhat a durable commit costs on this disk (4 KiB, fdatasync), part of → decision on disk:")
    for kind, lengthens in (("at a file's end", True), ("over a file's old content", False)):
        taken = durable_writes(Path(tempfile.gettempdir()), lengthens=lengthens)
        print(f"{kind:30}{quantile(taken, 0.5):9.2f}{quantile(taken, 0.99):9.2f}{len(taken):9}")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main([int(rate) for rate in sys.argv[2:]] or list(ACTIVITIES), float(sys.argv[1]) if sys.argv[1:] else SECONDS)
