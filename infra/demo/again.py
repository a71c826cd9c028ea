"""Makes the next model of the demo that runs now, from its own archive: `make retrain` without DATA."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from infra.demo.environment import Environment, EnvironmentProblem, open_environment
from infra.demo.plan import Plan
from infra.demo.source import Source, SourceProblem

ROOT = Path(__file__).resolve().parents[2]
FILE = "demo.json"


@dataclass(frozen=True, slots=True)
class Options:
    """What a demo was started with; kept in its folder while it runs."""

    recordings: tuple[str, ...]
    signal_strength: float
    seed: int
    port_base: int
    broker: str

    def open(self, state: Path) -> tuple[Environment, Plan]:
        recordings = [Path(path) for path in self.recordings]
        environment = open_environment(state, self.port_base, recordings, self.seed, self.signal_strength)
        return environment, Plan(environment, ROOT, self.broker or None, self.seed)

    @contextmanager
    def kept_in(self, environment: Environment) -> Iterator[None]:
        """Hold the environment and say so in its folder. Raises `EnvironmentProblem` when another demo holds it."""
        path = environment.folder / FILE
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                other = json.load(file)["port_base"]
                raise EnvironmentProblem(
                    f"a demo of {environment.name} runs already, on ports from {other}; stop it, or choose another SEED"
                ) from None
            file.truncate(0)
            file.write(json.dumps(asdict(self)))
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)


def running_demo(state: Path) -> Plan:
    """The plan of the one demo that runs. Raises `EnvironmentProblem` when there is none, or more than one."""
    plans = []
    for file in state.glob(f"*/{FILE}"):
        if not file.read_text():
            continue
        options = json.loads(file.read_text())
        _, plan = Options(**options | {"recordings": tuple(options["recordings"])}).open(state)
        if Source(plan.simulator_address).answers():
            plans.append(plan)
    if len(plans) != 1:
        names = ", ".join(plan.environment.name for plan in plans) or "none"
        raise EnvironmentProblem(
            f"one running demo is needed, found: {names}; start `make demo`, or give DATA=FOLDER of real bars"
        )
    return plans[0]


def again(state: Annotated[Path, typer.Option(help="where environments are kept")] = ROOT / ".state") -> None:
    try:
        plan = running_demo(state)
        session = Source(plan.simulator_address).sessions()[0]
    except (EnvironmentProblem, SourceProblem) as problem:
        print(problem, file=sys.stderr)
        raise typer.Exit(1) from None
    reached = session.session_anchor_ns + int(session.rate * (time.time_ns() - session.wall_anchor_ns))
    until = replace(session, training_end_ns=max(session.training_end_ns, reached))
    argv = [part for part in plan.retrain_argv(until) if part != "--json"]
    raise typer.Exit(subprocess.run(argv, cwd=ROOT, env=plan.env).returncode)


if __name__ == "__main__":
    typer.run(again)
