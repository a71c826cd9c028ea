"""Kills every process at random for minutes, then audits: `python -m tests.e2e.chaos --minutes 10`, or `make chaos`."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.e2e.audit import Report
from tests.e2e.drive import MOVING, ROOT, Driven

VICTIMS = (
    "data_ingestion",
    "feature_store",
    "model_serving",
    "order_routing",
    "archive",
    "exchange_simulator",
    "kafka",
    "mlflow",
)
PAUSE_S = (3.0, 15.0)


def chaos(
    minutes: Annotated[float, typer.Option(min=0.1)] = 10.0,
    seed: Annotated[int, typer.Option(help="of the choice of victims")] = 1,
    state: Annotated[Path, typer.Option(help="a folder of its own, emptied first")] = ROOT / ".state" / "chaos",
    victims: Annotated[str, typer.Option(help="comma-separated; all by default")] = ",".join(VICTIMS),
) -> None:
    console = Console()
    if state.exists():
        shutil.rmtree(state)
    driven = Driven(state)
    try:
        driven.demo.start()
        console.print("waiting for the first model-driven fill")
        driven.until(lambda: driven.total("order_routing_fills_total") >= 1, 300, "the first fill")
        killed = kill_at_random(driven, victims.split(","), minutes * 60, random.Random(seed), console)
        for name in MOVING:
            driven.until_more(f"{name}_total", 120, f"more {name} after the kills")
        console.print("coming to rest")
        driven.bring_to_rest()
        report = driven.audit()
    finally:
        driven.demo.stop()
    show(report, killed, console)
    sys.exit(1 if report.differences else 0)


def kill_at_random(
    driven: Driven, victims: list[str], seconds: float, chance: random.Random, console: Console
) -> Counter[str]:
    """SIGKILL one process after another until the time is over; returns how often each."""
    killed: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        driven.go_on(chance.uniform(*PAUSE_S))
        name = chance.choice(victims)
        killed[name] += 1
        left = max(0.0, end - time.monotonic())
        fills = driven.total("order_routing_fills_total")
        console.print(f"{left:5.0f} s left, {fills:.0f} fills: SIGKILL {name}")
        driven.kill(name)
    return killed


def show(report: Report, killed: Counter[str], console: Console) -> None:
    table = Table("process", "killed")
    for name, count in killed.most_common():
        table.add_row(name, str(count))
    console.print(table)
    table = Table("compared", "items")
    for what, count in report.compared.items():
        table.add_row(what, f"{count:,}")
    console.print(table)
    for difference in report.differences[:50]:
        console.print(f"DIFFERENCE {difference}", style="red", markup=False)
    console.print(f"{len(report.differences)} differences", style="bold")


if __name__ == "__main__":
    typer.run(chaos)
