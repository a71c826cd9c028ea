"""What the report says, as plain JSON values; the tables and plots read nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.trading.backtest import Run
from libs.trading.bootstrap import Interval, TooShort
from libs.trading.metrics import class_frequencies
from pipelines.retrain.gates.assess import Assessment, Bounded, Forecast
from pipelines.retrain.gates.evidence import Evidence
from pipelines.retrain.gates.lines import Line, refused
from pipelines.retrain.gates.policy import Policy

FORMAT_VERSION = 1
FORCED = "forced (top tenth)"
MAX_POINTS = 500  # of the equity curve; the page shows no more
Json = Mapping[str, Any]


def contents(
    bundle_digest: str, a: Assessment, integrity: Sequence[Line], found: Evidence, policy: Policy
) -> dict[str, Any]:
    """The whole report. Money in quote units, durations in seconds, times in ns; absent figures are null."""
    return {
        "format_version": FORMAT_VERSION,
        "bundle_digest": bundle_digest,
        "policy": {"name": policy.name, "digest": policy.digest, "purpose": policy.purpose},
        "data": _data(a),
        "terms": _terms(a, policy),
        "verdict": _verdict(integrity, found),
        "integrity": [asdict(line) for line in integrity],
        "evidence": [asdict(line) for line in found.lines],
        "not_asked": [asdict(line) for line in found.not_asked],
        "runs": _runs(a),
        "forecast": _forecast(a.forecast) | {"direction": _interval(a.direction)},
        "members": {
            name: _forecast(f) | {"net": a.member_runs[name].net, "trades": len(a.member_runs[name].trades)}
            for name, f in a.members.items()
        },
        "latency": None if a.case.latency is None else asdict(a.case.latency),
        "plots": _plots(a),
    }


def _data(a: Assessment) -> dict[str, Any]:
    case, labels = a.case, a.case.hold_out.labels
    return {
        "provenance": case.provenance.name,
        "needed_scope": case.needed_scope.name,
        "rows_before": int(case.earlier.labels.size),
        "rows_held_out": int(labels.size),
        "from_ns": int(a.model.times[0]),
        "to_ns": int(a.model.times[-1]),
        "instruments": a.instruments,
        "climatology": a.climatology.tolist(),
        "held_out_frequencies": class_frequencies(labels).tolist(),
    }


def _terms(a: Assessment, policy: Policy) -> dict[str, Any]:
    case = a.case
    return {
        "maker_fee_bps": case.costs.maker_fee_bps,
        "taker_fee_bps": case.costs.taker_fee_bps,
        "slippage_bps": case.costs.slippage_bps,
        "horizon_s": case.horizon_ns / 1e9,
        "block_s": a.block_ns / 1e9,
        "confidence": policy.sampling.confidence,
        "decision_threshold": case.threshold,
        "balance_quote": a.model.balance_quote,
        "trials": case.trials,
    }


def _verdict(integrity: Sequence[Line], found: Evidence) -> dict[str, Any]:
    return {
        "integrity": not refused(integrity),
        "evidence": found.scope > 0,
        "scope": found.scope.name,
        "refusals": [
            f"{line.name}: {line.value}, asked {line.threshold} ({line.reason})"
            for line in refused([*integrity, *found.lines])
        ],
    }


def to_bytes(report: Json) -> bytes:
    """Readable JSON with sorted keys; numbers that JSON cannot spell become null."""
    return (json.dumps(_plain(report), sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _runs(a: Assessment) -> list[dict[str, Any]]:
    """The model at one and at more times the costs, and each naive rule with the model's excess over it."""
    rows = [
        _run("model", a.model, a, a.net),
        _run(f"model at {a.cost_factor:g}x costs", a.costly, a, a.costly_net),
        *_forced(a),
        *(_run(x.name, x.rival, a, None) | {"model_excess": _interval(x.excess)} for x in a.naive),
    ]
    if a.champion is not None:
        rows.append(_run("champion, live", a.champion.rival, a, None) | {"model_excess": _interval(a.champion.excess)})
    return rows


def _forced(a: Assessment) -> list[dict[str, Any]]:
    if a.forced is None:
        return []
    name, forced = FORCED, a.forced
    return [
        _run(name, forced.model, a, forced.net),
        _run(f"{name}, {a.cost_factor:g}x costs", forced.costly, a, forced.costly_net),
    ]


def _run(name: str, run: Run, a: Assessment, net: Bounded | None) -> dict[str, Any]:
    figures = asdict(run.performance(a.period_ns))
    period_s = figures.pop("period_ns") / 1e9
    return {"name": name, **figures, "period_s": period_s, "net_interval": None if net is None else _interval(net)}


def _forecast(found: Forecast) -> dict[str, Any]:
    return asdict(found)


def _interval(found: Bounded) -> dict[str, Any]:
    if isinstance(found, TooShort):
        return {"note": str(found), "blocks": found.blocks}
    assert isinstance(found, Interval)
    return asdict(found)


def _plots(a: Assessment) -> dict[str, Any]:
    """Equity by time for the model and the naive rules, and said against happened for p_up and p_down."""
    keep = np.unique(np.linspace(0, a.model.times.size - 1, min(MAX_POINTS, a.model.times.size)).astype(np.int64))
    curves = {"model": a.model, f"model at {a.cost_factor:g}x costs": a.costly} | {x.name: x.rival for x in a.naive}
    if a.forced is not None:
        curves[FORCED] = a.forced.model
    rows = a.case.hold_out
    return {
        "times_ns": a.model.times[keep].tolist(),
        "equity": {name: run.equity[1:][keep].tolist() for name, run in curves.items()},
        "calibration": {
            name: _reliability(rows.probabilities[:, k], rows.labels == k) for k, name in ((0, "down"), (2, "up"))
        },
    }


def _reliability(
    said: NDArray[np.float64], happened: NDArray[np.bool_], bins: int = 10
) -> list[tuple[float, float, int]]:
    """(mean said, share that happened, rows) of equally filled bins."""
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    return [(float(said[p].mean()), float(happened[p].mean()), int(p.size)) for p in parts]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
