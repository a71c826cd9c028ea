"""`python -m pipelines.retrain`: the whole pipeline, or one of its steps on a run's folder."""

from __future__ import annotations

import difflib
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from libs.bundle.canonical import BundleError
from libs.runtime.kafka import KafkaConfig
from libs.trading.folds import TooFewRows
from libs.trading.labels import LabelRefused
from libs.wire.archive import ArchiveDamaged
from libs.wire.malformed import MalformedMessage
from libs.wire.progress import ProgressUnreadable
from pipelines.retrain.adapters.key_folder import make_keys
from pipelines.retrain.adapters.run_folder import RunError, RunFolder
from pipelines.retrain.adapters.scored_table import TableError
from pipelines.retrain.gates.policy import PolicyError
from pipelines.retrain.local import STEPS, LocalRun, Places
from pipelines.retrain.report.progress import StepProgress
from pipelines.retrain.settings import PRESETS, Request, RetrainSettings, Source

EXPECTED = (
    RunError, LabelRefused, TooFewRows, PolicyError, TableError, BundleError, ArchiveDamaged, MalformedMessage,
    ProgressUnreadable, ValidationError,
)  # fmt: skip
WHOLE, KEYS = "all", "keys"
PLAIN_WIDTH = 150  # of tables that go to a file
NAMES = (WHOLE, *STEPS, KEYS)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    step: Annotated[str, typer.Argument(help=f"one of {', '.join(NAMES)}")] = WHOLE,
    run: Annotated[str | None, typer.Option(help="name of the run; a step goes on with the run of this name")] = None,
    state: Annotated[Path, typer.Option(help="folder that keeps the runs")] = Path(".state/retrain"),
    policy: Annotated[str | None, typer.Option(help="demo or production")] = None,
    data: Annotated[Path | None, typer.Option(help="folder of real 5-minute bars")] = None,
    archive: Annotated[Path | None, typer.Option(help="archive folder of an environment")] = None,
    instrument: Annotated[str | None, typer.Option(help="as bybit.linear.BTCUSDT")] = None,
    session: Annotated[str | None, typer.Option(help="session id; may be left out where there is one")] = None,
    from_: Annotated[int, typer.Option("--from", help="first as-of, ns since 1970 in session time")] = 0,
    to: Annotated[int | None, typer.Option(help="end of the stretch (exclusive), ns; waited for")] = None,
    mlflow: Annotated[str | None, typer.Option(help="http://host:port; without it nothing is registered")] = None,
    kafka: Annotated[str | None, typer.Option(help="host:port that is told of the registration")] = None,
    topic_prefix: Annotated[str, typer.Option(help="the environment's")] = "",
    keys: Annotated[Path | None, typer.Option(help="folder of the signing keys; made when absent")] = None,
    scope: Annotated[str | None, typer.Option(help="SIMULATED, PAPER or LIVE: of the accounts it is for")] = None,
    bar_seconds: Annotated[float | None, typer.Option(help="length of a bar")] = None,
    emission_ms: Annotated[float | None, typer.Option(help="time between vectors")] = None,
    horizon: Annotated[str | None, typer.Option(help="of the label: 8 (seconds) or 24b (bars)")] = None,
    sigmas: Annotated[float | None, typer.Option(help="label threshold in sigmas of the horizon")] = None,
    maker_fee_bps: Annotated[float | None, typer.Option(help="of the account")] = None,
    taker_fee_bps: Annotated[float | None, typer.Option(help="of the account")] = None,
    slippage_bps: Annotated[float | None, typer.Option(help="of a taker, per side")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    patience_s: Annotated[float, typer.Option(help="how long the archive is waited for")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="only the summary on stdout, one line of JSON")] = False,
) -> None:
    """Train, judge and register a model. Ends with 0 also when the gate refuses: a refusal is a result."""
    errors = Console(stderr=True)
    try:
        _check_step(step)
        if step == KEYS:
            made = make_keys(keys or state / "keys")
            typer.echo(json.dumps({"public": [str(path) for path in made]}))
            return
        source = Source(data=data, archive=archive, instrument=instrument, session=session, from_ns=from_, to_ns=to,
                        patience_s=patience_s)  # fmt: skip
        fees = {"maker_fee_bps": maker_fee_bps, "taker_fee_bps": taker_fee_bps, "slippage_bps": slippage_bps}
        plain = {"bar_s": bar_seconds, "emission_ms": emission_ms, "seed": seed}
        settings = _settings(policy or ("production" if data else "demo"), plain, fees, horizon, sigmas)
        asked = Request.model_validate({"source": source, "settings": settings, "needed_scope": scope})
        folder = RunFolder(state / "runs" / (run or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")))
        config = KafkaConfig(kafka, "confluent", topic_prefix) if kafka else None
        places = Places(mlflow, config, keys or state / "keys")
        _run(step, folder, _request(folder, step, asked), places, errors, as_json)
    except EXPECTED as error:
        errors.print(f"retrain: {error}", markup=False, highlight=False, style="red", soft_wrap=True)
        sys.exit(1)


def _run(step: str, folder: RunFolder, request: Request, places: Places, errors: Console, as_json: bool) -> None:
    began = time.monotonic()
    console = Console(quiet=as_json, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with StepProgress(errors, time.monotonic) as progress:
        local = LocalRun(folder, request, places, progress, console, time.time_ns)
        for name in STEPS if step == WHOLE else (step,):
            local.run(name)
    typer.echo(json.dumps(local.summary() | {"seconds": round(time.monotonic() - began, 1)}))


def _check_step(step: str) -> None:
    if step not in NAMES:
        near = difflib.get_close_matches(step, NAMES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RunError(f"unknown step {step!r}.{hint} Steps: {', '.join(NAMES)}")


def _settings(
    policy: str, plain: dict[str, Any], costs: dict[str, Any], horizon: str | None, sigmas: float | None
) -> RetrainSettings:
    if policy not in PRESETS:
        near = difflib.get_close_matches(policy, PRESETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RunError(f"unknown policy {policy!r}.{hint} Policies: {', '.join(PRESETS)}")
    chosen = PRESETS[policy].model_dump()
    chosen |= {name: value for name, value in plain.items() if value is not None}
    chosen["costs"] |= {name: value for name, value in costs.items() if value is not None}
    if horizon is not None:
        chosen["horizon_s"] = _horizon(horizon, chosen["bar_s"])
    if sigmas is not None:
        chosen["label"]["threshold_sigmas"] = sigmas
    return RetrainSettings.model_validate(chosen)


def _horizon(text: str, bar_s: float) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([sb]?)", text)
    if found is None:
        raise RunError(f"horizon {text!r}: expected seconds (8 or 8s) or bars (24b)")
    return float(found[1]) * (bar_s if found[2] == "b" else 1.0)


def _request(folder: RunFolder, step: str, asked: Request) -> Request:
    """The whole pipeline and its first step keep what was asked; later steps go on with that."""
    if step in (WHOLE, next(iter(STEPS))):
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.request.write_text(asked.model_dump_json(indent=1))
        return asked
    try:
        return Request.model_validate_json(folder.request.read_text())
    except FileNotFoundError as error:
        runs = sorted(path.name for path in folder.path.parent.glob("*"))
        near = difflib.get_close_matches(folder.path.name, runs, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RunError(f"no run {folder.path.name!r} in {folder.path.parent}: name one with --run.{hint}") from error


if __name__ == "__main__":
    app()
