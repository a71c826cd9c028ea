"""From options to one request: names are checked, windows cut, fees asked for, and the run named by what it makes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from libs.trading.market import Provenance
from pipelines.retrain.adapters.archive_log import archive_at
from pipelines.retrain.adapters.archive_window import wait_for_instrument
from pipelines.retrain.adapters.code_version import code_version
from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.adapters.run_folder import RunError, RunFolder
from pipelines.retrain.adapters.venue_fees import announced_fees
from pipelines.retrain.adapters.waiting import when_there
from pipelines.retrain.command.options import ModelOptions, SourceOptions
from pipelines.retrain.command.spelling import did_you_mean
from pipelines.retrain.command.window import moment_s, stamp, window
from pipelines.retrain.settings import PRESETS, Request, RetrainSettings

SHORT = 8  # hex digits of what shapes a model, in the run's name


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the name that follows from it: None where the source is no window."""

    request: Request
    name: str | None


def asked(source: SourceOptions, model: ModelOptions, now_s: float, tell: Callable[[str], None]) -> Asked:
    """Waits for the archive where it must say which instrument there is, and for a venue whose fees are used.

    Raises RunError or NotYet, and pydantic's ValidationError for values out of range.
    """
    settings = settings_of(source, model)
    told = _source(source, now_s)
    instrument = source.instrument or None
    if source.window or model.venue:
        archive = _archive(source)
        instrument = wait_for_instrument(archive_at(archive), instrument, source.patience_s, tell)
        told |= {"instrument": instrument}
    if model.venue:
        settings = _with_fees(settings, model, str(instrument), source.patience_s, tell)
    request = Request.model_validate({"source": told, "settings": settings, "needed_scope": model.scope or None})
    return Asked(request, run_name(request) if source.window else None)


def run_name(request: Request) -> str:
    """As retrain-BTCUSDT-20261115T030000Z-60m-1a2b3c4d: instrument, end, window, and a digest of settings, policy and
    code. The same window with the same of them is the same run."""
    source, settings = request.source, request.settings
    shapes = {
        "source": source.model_dump(mode="json", include={"instrument", "from_ns", "to_ns", "provenance"}),
        "settings": settings.model_dump(mode="json"),
        "scope": request.needed_scope,
        "policy": read_policy(settings.policy).digest,
        "code": code_version(),
    }
    digest = hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:SHORT]
    symbol = str(source.instrument).rsplit(".", 1)[-1]
    return f"retrain-{symbol}-{stamp(source.to_ns or 0)}-{source.window}-{digest}"


def settings_of(source: SourceOptions, model: ModelOptions) -> RetrainSettings:
    """The policy's preset with what was given instead."""
    policy = model.policy or ("production" if source.data else "demo")
    one_of("policy", policy, PRESETS, "Policies")
    chosen = PRESETS[policy].model_dump()
    plain = {"bar_s": model.bar_seconds, "emission_ms": model.emission_ms, "seed": model.seed}
    costs = {name: getattr(model, name) for name in ("maker_fee_bps", "taker_fee_bps", "slippage_bps")}
    chosen |= {name: value for name, value in plain.items() if value is not None}
    chosen["costs"] |= {name: value for name, value in costs.items() if value is not None}
    if model.horizon:
        chosen["horizon_s"] = _horizon(model.horizon, chosen["bar_s"])
    if model.sigmas is not None:
        chosen["label"]["threshold_sigmas"] = model.sigmas
    return RetrainSettings.model_validate(chosen)


def one_of(what: str, name: str, known: Iterable[str], plural: str) -> None:
    """Raises RunError that names the nearest to a misspelt name."""
    if name not in known:
        raise RunError(f"unknown {what} {name!r}.{did_you_mean(name, known)} {plural}: {', '.join(known)}")


def stored(folder: RunFolder) -> Request:
    """What the run of this folder was asked for. Raises RunError that names the nearest run."""
    try:
        return Request.model_validate_json(folder.request.read_text())
    except FileNotFoundError as error:
        runs = sorted(path.name for path in folder.path.parent.glob("*"))
        hint = did_you_mean(folder.path.name, runs)
        raise RunError(f"no run {folder.path.name!r} in {folder.path.parent}: name one with --run.{hint}") from error


def _source(source: SourceOptions, now_s: float) -> dict[str, Any]:
    told = {name: getattr(source, name) or None for name in ("data", "archive", "instrument", "provenance")}
    told |= {"patience_s": source.patience_s}
    if source.provenance:
        one_of("provenance", source.provenance, [kind.name for kind in Provenance], "Provenances")
    if not source.window:
        return told | {"session": source.session or None, "from_ns": source.from_, "to_ns": source.to}
    if source.session or source.from_ or source.to is not None:
        raise RunError("--window takes every session's stretch up to --until: leave out --session, --from and --to")
    now = moment_s(source.now, "--now") if source.now else now_s
    cut = window(source.window, source.until, now)
    return told | {"window": cut.text, "from_ns": cut.from_ns, "to_ns": cut.to_ns}


def _archive(source: SourceOptions) -> str:
    if not source.archive:
        raise RunError("--window and --venue need --archive: the environment's archive")
    return source.archive


def _with_fees(
    settings: RetrainSettings, model: ModelOptions, instrument: str, patience_s: float, tell: Callable[[str], None]
) -> RetrainSettings:
    """The venue's announced fees where none was given."""
    maker, taker = when_there(lambda: announced_fees(model.venue, instrument), patience_s, tell)
    fees = {
        "maker_fee_bps": maker if model.maker_fee_bps is None else model.maker_fee_bps,
        "taker_fee_bps": taker if model.taker_fee_bps is None else model.taker_fee_bps,
    }
    return settings.model_copy(update={"costs": settings.costs.model_copy(update=fees)})


def _horizon(text: str, bar_s: float) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([sb]?)", text)
    if found is None:
        raise RunError(f"horizon {text!r}: expected seconds (8 or 8s) or bars (24b)")
    return float(found[1]) * (bar_s if found[2] == "b" else 1.0)
