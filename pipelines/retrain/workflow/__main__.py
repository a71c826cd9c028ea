"""`python -m pipelines.retrain workflow`: renders the chart's files, and submits, watches and lists runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.live import Live

from pipelines.retrain.command.codes import A_PERSON_MUST_ACT, DONE, TRY_AGAIN
from pipelines.retrain.command.options import gathered
from pipelines.retrain.workflow.live import changes, runs_table, steps_table, verdict_lines
from pipelines.retrain.workflow.render import stale, write
from pipelines.retrain.workflow.server import ArgoAway, ArgoProblem, ArgoServer, Run

POLL_S, AWAY_S = 2.0, 120.0
SHOWN_RUNS = 20

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which run is started."""

    window: Annotated[str, typer.Option(help="as 60m or 26w; else the release's")] = ""
    until: Annotated[str, typer.Option(help="end of the window: now, or 2026-11-22T00:00:00Z")] = ""
    set_: Annotated[list[str], typer.Option("--set", help="another parameter, as policy=demo; may be repeated")] = (
        field(default_factory=list)
    )
    watching: Annotated[bool, typer.Option("--watch", help="watch it until it ends")] = False

    def parameters(self) -> dict[str, str]:
        """Raises ArgoProblem for a --set that sets nothing."""
        chosen = {name: text for name, text in (("window", self.window), ("until", self.until)) if text}
        for one in self.set_:
            name, equals, text = one.partition("=")
            if not equals:
                raise ArgoProblem(f"--set {one}: expected name=value, as policy=demo")
            chosen[name] = text
        return chosen


@dataclass(frozen=True, slots=True)
class NameOptions:
    """Which run is looked at."""

    name: Annotated[str, typer.Argument(help="of the workflow; the newest without it")] = ""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Who is asked, and about what."""

    template: Annotated[str, typer.Option(help="<release>-retrain")] = "trading-platform-retrain"
    namespace: Annotated[str, typer.Option("--namespace", "-n", envvar="ARGO_NAMESPACE", help="of the release")] = (
        "default"
    )
    server: Annotated[str, typer.Option(envvar="ARGO_SERVER", help="address of the Argo server")] = (
        "http://localhost:2746"
    )
    token: Annotated[str, typer.Option(envvar="ARGO_TOKEN", help="of a user whom the server lets in")] = ""
    insecure: Annotated[bool, typer.Option("--insecure", help="do not check the server's certificate")] = False

    def ask(self, work: Callable[[ArgoServer], int]) -> NoReturn:
        """Ends the process with what `work` returns, or with the code of what the server said."""
        try:
            code = work(ArgoServer(self.server, self.token, self.namespace, verify=not self.insecure))
        except ArgoProblem as problem:
            print(f"workflow: {problem}", file=sys.stderr)
            raise typer.Exit(TRY_AGAIN if isinstance(problem, ArgoAway) else A_PERSON_MUST_ACT) from None
        raise typer.Exit(code)


@app.command()
def render(check: Annotated[bool, typer.Option("--check", help="only say what is stale; then 1")] = False) -> None:
    """Write what Argo runs into the chart's files."""
    if check:
        old = stale()
        for path in old:
            print(f"stale: {path.name}; `python -m pipelines.retrain workflow render` renders it", file=sys.stderr)
        raise typer.Exit(A_PERSON_MUST_ACT if old else DONE)
    for path in write():
        print(path)


def submit(run: RunOptions, asked: ServerOptions) -> None:
    """Start a retraining now; the same window twice registers one version."""

    def work(argo: ArgoServer) -> int:
        made = argo.submit(asked.template, run.parameters())
        print(made, flush=True)
        return _watch(argo, made) if run.watching else DONE

    asked.ask(work)


def watch(run: NameOptions, asked: ServerOptions) -> None:
    """A live table of its steps until it ends: 0 when it succeeded (a refusal too, with its reasons), else 1."""

    def work(argo: ArgoServer) -> int:
        runs = [] if run.name else argo.runs(asked.template)
        if not run.name and not runs:
            raise ArgoProblem(
                f"no workflow of {asked.template} in namespace {asked.namespace} yet: `submit` starts one"
            )
        return _watch(argo, run.name or runs[0].name)

    asked.ask(work)


def list_(asked: ServerOptions) -> None:
    """The newest runs and what they registered."""

    def work(argo: ArgoServer) -> int:
        console = Console(width=None if sys.stdout.isatty() else 220)
        console.print(runs_table(argo.runs(asked.template)[:SHOWN_RUNS], datetime.now(UTC)))
        return DONE

    asked.ask(work)


app.command("submit")(gathered(submit, (RunOptions, ServerOptions)))
app.command("watch")(gathered(watch, (NameOptions, ServerOptions)))
app.command("list")(gathered(list_, (ServerOptions,)))


def _watch(argo: ArgoServer, name: str) -> int:
    console = Console(stderr=True)
    run = _table(argo, name, console) if console.is_terminal else _lines(argo, name)
    print("\n".join(verdict_lines(run)))
    return DONE if run.phase == "Succeeded" else A_PERSON_MUST_ACT


def _table(argo: ArgoServer, name: str, console: Console) -> Run:
    with Live(console=console, refresh_per_second=2) as live:
        while True:
            run = _patiently(argo, name, lambda what: live.console.print(what, highlight=False))
            live.update(steps_table(run, datetime.now(UTC)))
            if run.ended:
                return run
            time.sleep(POLL_S)


def _lines(argo: ArgoServer, name: str) -> Run:
    before: Run | None = None
    while True:
        run = _patiently(argo, name, lambda what: print(what, file=sys.stderr))
        for line in changes(before, run):
            print(line, file=sys.stderr, flush=True)
        if run.ended:
            return run
        before = run
        time.sleep(POLL_S)


def _patiently(argo: ArgoServer, name: str, tell: Callable[[str], None]) -> Run:
    """A server that restarts while one watches is waited for."""
    deadline = time.monotonic() + AWAY_S
    while True:
        try:
            return argo.run(name)
        except ArgoAway as error:
            if time.monotonic() > deadline:
                raise
            tell(f"{str(error).split('. ')[0]}; trying again")
            time.sleep(POLL_S)


if __name__ == "__main__":
    app()
