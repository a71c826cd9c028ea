"""The options of `python -m pipelines.retrain`, in groups that travel as values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

ALL = "all"


def number(text: str) -> float | None:
    """A number, or nothing where the text is empty, as a workflow's unset parameter is."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number") from error


def whole_number(text: str) -> int | None:
    """The same for a whole number."""
    value = number(text)
    if value is not None and not value.is_integer():
        raise typer.BadParameter(f"{text!r} is no whole number")
    return None if value is None else int(value)


def _number(what: str) -> Any:
    return typer.Option(help=what, parser=number, metavar="NUMBER")


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What is learnt from."""

    data: Annotated[Path | None, typer.Option(help="folder of real 5-minute bars")] = None
    archive: Annotated[str, typer.Option(help="archive of an environment: a folder, or s3://bucket/prefix")] = ""
    instrument: Annotated[str, typer.Option(help="as bybit.linear.BTCUSDT")] = ""
    window: Annotated[str, typer.Option(help="60m, 24h, 7d or 26w: every session's stretch up to --until")] = ""
    until: Annotated[str, typer.Option(help="end of the window: now, or 2026-11-22T00:00:00Z")] = "now"
    now: Annotated[str, typer.Option(help="what now means, as 2026-11-22T00:00:00Z; else the clock")] = ""
    provenance: Annotated[str, typer.Option(help="SIMULATED, RECORDED or LIVE, where a window holds several")] = ""
    session: Annotated[str, typer.Option(help="one session's stretch, by --from and --to, instead of a window")] = ""
    from_: Annotated[int, typer.Option("--from", help="first as-of, ns since 1970 in session time")] = 0
    to: Annotated[int | None, typer.Option(help="end of the stretch (exclusive), ns; waited for")] = None
    patience_s: Annotated[float, typer.Option(help="how long what is not there yet is waited for")] = 600.0


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What is made, and under which policy it is judged."""

    policy: Annotated[str, typer.Option(help="demo or production")] = ""
    scope: Annotated[str, typer.Option(help="SIMULATED, PAPER or LIVE: of the accounts it is for")] = ""
    bar_seconds: Annotated[float | None, _number("length of a bar")] = None
    emission_ms: Annotated[float | None, _number("time between vectors")] = None
    horizon: Annotated[str, typer.Option(help="of the label: 8 (seconds) or 24b (bars)")] = ""
    sigmas: Annotated[float | None, _number("label threshold in sigmas of the horizon")] = None
    venue: Annotated[str, typer.Option(help="http://host:port of a simulator whose announced fees are used")] = ""
    maker_fee_bps: Annotated[float | None, _number("of the account")] = None
    taker_fee_bps: Annotated[float | None, _number("of the account")] = None
    slippage_bps: Annotated[float | None, _number("of a taker, per side")] = None
    seed: Annotated[int | None, typer.Option(help="of every draw", parser=whole_number, metavar="NUMBER")] = None


@dataclass(frozen=True, slots=True)
class PlaceOptions:
    """Where results go, and who signs and is told."""

    state: Annotated[Path, typer.Option(help="folder that keeps the runs")] = Path(".state/retrain")
    run: Annotated[str, typer.Option(help="name of the run; a step goes on with the run of this name")] = ""
    mlflow: Annotated[str, typer.Option(help="http://host:port; without it nothing is registered")] = ""
    kafka: Annotated[str, typer.Option(help="host:port that is told of the registration")] = ""
    topic_prefix: Annotated[str, typer.Option(help="the environment's")] = ""
    keys: Annotated[
        Path | None, typer.Option(help="folder of the signing keys; without it <state>/keys, made when absent")
    ] = None


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How this call runs."""

    step: Annotated[list[str], typer.Argument(help="all, or steps in order")] = field(default_factory=lambda: [ALL])
    member: Annotated[str, typer.Option(help="of the step fit: lightgbm, xgboost, catboost or random_forest")] = ""
    fold: Annotated[str, typer.Option(help="of the step fit: 1, 2, … or final")] = ""
    when_no_champion: Annotated[bool, typer.Option("--when-no-champion", help="end at once when there is one")] = False
    again: Annotated[bool, typer.Option("--again", help="do finished steps again")] = False
    workflow: Annotated[str, typer.Option(help="name of the workflow that runs this step")] = ""
    status: Annotated[str, typer.Option(help="of the step announce: how the workflow ended")] = ""
    failures: Annotated[str, typer.Option(help="of the step announce: failed steps, as Argo's JSON")] = ""
    notify: Annotated[Path | None, typer.Option(help="of the step announce: file of apprise addresses")] = None
    outputs: Annotated[Path | None, typer.Option(help="folder for the values that a workflow shows")] = None
    as_json: Annotated[bool, typer.Option("--json", help="only the summary on stdout, one line of JSON")] = False


def gathered(call: Callable[..., None], groups: Sequence[type[Any]]) -> Callable[..., None]:
    """`call`, which takes one value of each group, as a function with all their fields as named parameters."""
    hints = {group: get_type_hints(group, include_extras=True) for group in groups}
    parameters = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=_default(f), annotation=hints[group][f.name])
        for group in groups
        for f in fields(group)
    ]

    def command(**given: Any) -> None:
        call(*(group(**{f.name: given[f.name] for f in fields(group)}) for group in groups))

    command.__doc__ = call.__doc__
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__dict__["__signature__"] = inspect.Signature(parameters)
    return command


def _default(one: Any) -> Any:
    return one.default if one.default is not MISSING else one.default_factory()
