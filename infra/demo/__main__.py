"""Runs the whole platform on this machine: `python -m infra.demo`, or `make demo`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.demo.again import Options
from infra.demo.environment import EnvironmentProblem, check_ports
from infra.demo.modelling import RetrainingFailed
from infra.demo.processes import ProgramFailed
from infra.demo.run import Demo
from infra.demo.summary import has_traded, line, summary_of
from infra.kafka.topics import TopicsProblem
from infra.place import ServerProblem

ROOT = Path(__file__).resolve().parents[2]


def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, help="end by itself, counted from the first prediction")
    ] = None,
    recording: Annotated[str, typer.Option(help="FILE,FILE: learn from the first, trade the second")] = "",
    signal_strength: Annotated[float, typer.Option("--signal", min=0, max=5, help="of the generated market")] = 1.0,
    seed: Annotated[int, typer.Option(help="of the generated market")] = 7,
    port_base: Annotated[int, typer.Option(min=1024, max=65000, help="the first of the ports used")] = 27_000,
    state: Annotated[Path, typer.Option(help="where environments are kept")] = ROOT / ".state",
    broker: Annotated[str, typer.Option(help="your own Kafka, host:port, instead of a local one")] = "",
) -> None:
    console = Console()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    recordings = [Path(part) for part in recording.split(",") if part]
    try:
        options = Options(tuple(str(path.resolve()) for path in recordings), signal_strength, seed, port_base, broker)
        environment, plan = options.open(state)
        story = Demo(environment, plan, ROOT, seconds, console)
        try:
            with options.kept_in(environment):
                check_ports(environment, bool(broker))
                story.run()
        except KeyboardInterrupt:
            console.print("stopped on request")
    except (EnvironmentProblem, ProgramFailed, RetrainingFailed, ServerProblem, TopicsProblem) as problem:
        print(problem, file=sys.stderr)
        raise typer.Exit(1) from None
    summary = summary_of(story.outcome, environment.name)
    print(line(summary), flush=True)
    raise typer.Exit(0 if has_traded(summary) else 2)


if __name__ == "__main__":
    typer.run(demo)
