"""What one decision costs the router, from a decoded prediction to its durable row: CPU and wall time, by database."""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.daemon import free_port
from infra.postgres.server import PostgresPlace, PostgresServer
from libs.trading.market import NS_PER_SECOND
from libs.trading.orders import Order
from libs.trading.risk import RiskLimits
from services.order_routing.domain import InputAt
from tests.builders.orders import a_policy, a_prediction
from tests.fakes.router_world import RouterWorld

WARM, TIMES = 100, 600
STEP = NS_PER_SECOND


class Trial:
    """A router in memory on a real journal; `send` is where a decision with an order is durable."""

    def __init__(self, url: str) -> None:
        limits = replace(RiskLimits(), max_orders_per_second=10_000, max_orders_per_minute=100_000)
        self.world = RouterWorld(policy=a_policy(limits=limits), url=url)
        self.router = self.world.started()
        self.durable: list[tuple[float, float]] = []
        self._send = self.router.sender.send
        sender: Any = self.router.predictions._sender
        sender.send = self.send
        self._offset = 0

    def send(self, order: Order, written: Callable[[], None] = lambda: None) -> Order:
        self.durable.append((time.perf_counter(), time.thread_time()))
        return self._send(order, written)

    def decide(self, up: float, down: float) -> tuple[float, float]:
        """Wall and CPU seconds of one decision; news and renewals come before it and do not count."""
        world, router = self.world, self.router
        world.clock.advance(STEP)
        world.keep(router)
        while world.venue.news:
            router.reconciliation.news(world.venue.news.popleft())
        prediction = a_prediction(up=up, down=down, now=world.clock.now)
        at = InputAt("predictions", 0, self._offset)
        self._offset += 1
        self.durable.clear()
        wall, cpu = time.perf_counter(), time.thread_time()
        router.predictions.handle(prediction, at)
        done = self.durable[0] if self.durable else (time.perf_counter(), time.thread_time())
        return done[0] - wall, done[1] - cpu

    def run(self, kind: str, times: int) -> list[tuple[float, float]]:
        found = []
        for number in range(times):
            up, down = (0.3, 0.3) if kind == "hold" else (0.6, 0.1) if number % 2 else (0.1, 0.6)
            found.append(self.decide(up, down))
            assert bool(self.durable) == (kind == "order"), f"{kind}: {self.world.told.decisions[-1]}"
        return found


def measure(name: str, url: str, profile: str | None) -> None:
    trial = Trial(url)
    for kind in ("hold", "order"):
        trial.run(kind, WARM)
        profiler = cProfile.Profile() if profile == f"{name}-{kind}" else None
        if profiler is not None:
            profiler.enable()
        found = trial.run(kind, TIMES)
        if profiler is not None:
            profiler.disable()
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)
        wall, cpu = (sorted(values) for values in zip(*found, strict=True))
        middle, late = len(wall) // 2, int(len(wall) * 0.99)
        print(
            f"{name:10} {kind:6} CPU p50 {cpu[middle] * 1e3:.3f} ms   wall p50 {wall[middle] * 1e3:.3f} ms"
            f"   wall p99 {wall[late] * 1e3:.3f} ms",
            flush=True,
        )


def main(profile: str | None = None) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="decide-")))
        folder.chmod(0o755)
        measure("sqlite", f"sqlite:///{folder / 'journal.sqlite'}", profile)
        server = PostgresServer(PostgresPlace(folder / "postgres", free_port()))
        server.start()
        stack.callback(server.stop)
        measure("postgres", server.place.url(), profile)


if __name__ == "__main__":
    main(*sys.argv[1:2])
