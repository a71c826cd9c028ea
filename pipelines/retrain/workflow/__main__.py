"""`python -m pipelines.retrain workflow`: renders the chart's files, and submits, watches and lists runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from pipelines.retrain.workflow.live import changes, runs_table, steps_table, verdict_lines
from pipelines.retrain.workflow.render import stale, write
from pipelines.retrain.workflow.server import ArgoAway, ArgoProblem, ArgoServer, Run

DONE, A_PERSON_MUST_ACT, TRY_AGAIN = 0, 1, 75
POLL_S, AWAY_S = 2.0, 120.0
SHOWN_RUNS = 20

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="ARGO_NAMESPACE", help="of the release")]
Server = Annotated[str, typer.Option(envvar="ARGO_SERVER", help="address of the Argo server")]
Token = Annotated[str, typer.Option(envvar="ARGO_TOKEN", help="of a user whom the server lets in")]
Insecure = Annotated[bool, typer.Option("--insecure", help="do not check the server's certificate")]
Template = Annotated[str, typer.Option(help="<release>-retrain")]
HERE, LOCAL, USUAL = "default", "http://localhost:2746", "trading-platform-retrain"


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


@app.command()
def submit(
    window: Annotated[str, typer.Option(help="as 60m or 26w; else the release's")] = "",
    until: Annotated[str, typer.Option(help="end of the window: now, or 2026-11-22T00:00:00Z")] = "",
    set_: Annotated[list[str], typer.Option("--set", help="another parameter, as policy=demo; may be repeated")] = [],  # noqa: B006
    watching: Annotated[bool, typer.Option("--watch", help="watch it until it ends")] = False,
    template: Template = USUAL,
    namespace: Namespace = HERE,
    server: Server = LOCAL,
    token: Token = "",
    insecure: Insecure = False,
) -> None:
    """Start a retraining now; the same window twice registers one version."""

    def work(argo: ArgoServer) -> int:
        chosen = {name: text for name, text in (("window", window), ("until", until)) if text}
        for one in set_:
            name, equals, text = one.partition("=")
            if not equals:
                raise ArgoProblem(f"--set {one}: expected name=value, as policy=demo")
            chosen[name] = text
        made = argo.submit(template, chosen)
        print(made, flush=True)
        return _watch(argo, made) if watching else DONE

    _asking(ArgoServer(server, token, namespace, verify=not insecure), work)


@app.command()
def watch(
    name: Annotated[str, typer.Argument(help="of the workflow; the newest without it")] = "",
    template: Template = USUAL,
    namespace: Namespace = HERE,
    server: Server = LOCAL,
    token: Token = "",
    insecure: Insecure = False,
) -> None:
    """A live table of its steps until it ends: 0 when it succeeded (a refusal too, with its reasons), else 1."""

    def work(argo: ArgoServer) -> int:
        runs = [] if name else argo.runs(template)
        if not name and not runs:
            raise ArgoProblem(f"no workflow of {template} in namespace {namespace} yet: `submit` starts one")
        return _watch(argo, name or runs[0].name)

    _asking(ArgoServer(server, token, namespace, verify=not insecure), work)


@app.command(name="list")
def list_(
    template: Template = USUAL,
    namespace: Namespace = HERE,
    server: Server = LOCAL,
    token: Token = "",
    insecure: Insecure = False,
) -> None:
    """The newest runs and what they registered."""

    def work(argo: ArgoServer) -> int:
        console = Console(width=None if sys.stdout.isatty() else 220)
        console.print(runs_table(argo.runs(template)[:SHOWN_RUNS], datetime.now(UTC)))
        return DONE

    _asking(ArgoServer(server, token, namespace, verify=not insecure), work)


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


def _asking(argo: ArgoServer, work: Callable[[ArgoServer], int]) -> None:
    try:
        code = work(argo)
    except ArgoProblem as problem:
        print(f"workflow: {problem}", file=sys.stderr)
        raise typer.Exit(TRY_AGAIN if isinstance(problem, ArgoAway) else A_PERSON_MUST_ACT) from None
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
