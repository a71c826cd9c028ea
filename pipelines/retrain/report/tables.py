"""The report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]


def show(report: Json, console: Console) -> None:
    """Print the whole report: verdicts, the money beside the naive rules, the forecast, every line, every refusal."""
    console.print(render(report))


def render(report: Json) -> RenderableType:
    return Group(
        _head(report),
        _runs(report),
        _forecast(report),
        _lines("Integrity: is the bundle what it says it is", report["integrity"]),
        _lines(f"Evidence under the policy '{report['policy']['name']}'", report["evidence"]),
        *([_not_asked(report["not_asked"])] if report["not_asked"] else []),
        _verdict(report),
    )


def _head(report: Json) -> RenderableType:
    data, terms = report["data"], report["terms"]
    seconds = (data["to_ns"] - data["from_ns"]) / 1e9
    span = f"{seconds / 86400:.1f} days" if seconds >= 86400 else f"{seconds / 60:.1f} minutes"
    threshold = terms["decision_threshold"]
    return Text(
        f"Bundle {report['bundle_digest'][:16]}, made from {data['provenance']} data. Judged on "
        f"{data['rows_held_out']} held-out rows of {data['instruments']} instrument(s) over {span}, "
        f"after {data['rows_before']} rows before.\n"
        f"Costs per side: taker {terms['taker_fee_bps']:g} bps and slippage {terms['slippage_bps']:g} bps, the spread "
        f"is paid as quoted. Horizon {terms['horizon_s']:g} s, trades from |score| >= "
        f"{'never' if threshold is None else f'{threshold:.3f}'}. Trials: {terms['trials'] or 'not recorded'}.\n"
        f"Down, flat, up: {_shares(data['climatology'])} before, {_shares(data['held_out_frequencies'])} held out."
    )


def _runs(report: Json) -> Table:
    balance = report["terms"]["balance_quote"]
    table = Table(title=f"Outer hold-out: profit in quote units on a balance of {balance:g}")
    for name in ("rule", "net", "interval", "model's excess (interval)", "trades", "win", "profit factor"):
        table.add_column(name, justify="left" if name == "rule" else "right")
    for name in ("Sharpe", "Sortino", "drawdown", "turnover", "exposure"):
        table.add_column(name, justify="right")
    for run in report["runs"]:
        table.add_row(
            run["name"],
            _number(run["net"], 2),
            _interval(run.get("net_interval")),
            _interval(run.get("model_excess"), with_point=True),
            str(run["trades"]),
            _share(run["win_rate"]),
            _number(run["profit_factor"], 2),
            _number(run["sharpe"], 3),
            _number(run["sortino"], 3),
            "everything" if run["max_drawdown"] >= 1.0 else _share(run["max_drawdown"]),
            _number(run["turnover"], 1),
            _share(run["exposure"]),
            style="bold" if run["name"].startswith("model") else "",
        )
    first, terms = report["runs"][0], report["terms"]
    period = (
        f"Intervals hold {terms['confidence']:.0%}, block bootstrap with blocks of {terms['block_s']:g} s. "
        f"Sharpe and Sortino per period of {first['period_s']:g} s, not annualised. Sizes are fixed."
    )
    if terms["decision_threshold"] is None:
        period = f"'forced' trades what a model that says 'never' is surest of; no line reads it. {period}"
    table.caption = f"{first['note']}. {period}" if first["note"] else period
    return table


def _forecast(report: Json) -> Table:
    table = Table(title="Forecast: direction on moved rows (a coin has .5), skill against climatology (0)")
    for name in ("model", "AUC", "Brier skill", "calibration error", "net", "trades"):
        table.add_column(name, justify="left" if name == "model" else "right")
    whole, direction = report["forecast"], report["forecast"]["direction"]
    auc = _number(whole["auc"], 3) + (f" {_interval(direction, 3)}" if "low" in direction else "")
    table.add_row(
        "ensemble", auc, _number(whole["brier_skill"], 4), _number(whole["calibration_error"], 4), "", "", style="bold"
    )
    for name, member in report["members"].items():
        table.add_row(
            name,
            _number(member["auc"], 3),
            _number(member["brier_skill"], 4),
            _number(member["calibration_error"], 4),
            _number(member["net"], 2),
            str(member["trades"]),
        )
    return table


def _lines(title: str, lines: Sequence[Json]) -> Table:
    table = Table(title=title)
    for name in ("", "line", "found", "asked", "why"):
        table.add_column(name)
    for line in lines:
        mark = Text("yes", "green") if line["passed"] else Text("NO", "bold red")
        table.add_row(mark, line["name"], line["value"], line["threshold"], line["reason"])
    return table


def _not_asked(lines: Sequence[Json]) -> Table:
    table = Table(title="Not asked by this policy")
    table.add_column("line")
    table.add_column("because")
    for line in lines:
        table.add_row(line["name"], line["because"])
    return table


def _verdict(report: Json) -> Panel:
    verdict = report["verdict"]
    integrity = "integrity holds" if verdict["integrity"] else "INTEGRITY REFUSED"
    evidence = f"evidence for scope {verdict['scope']}" if verdict["evidence"] else "EVIDENCE REFUSED"
    text = Text(f"{integrity}, {evidence}", "bold")
    for reason in verdict["refusals"]:
        text.append(f"\n- {reason}", "not bold")
    good = verdict["integrity"] and verdict["evidence"]
    return Panel(text, title="Verdict", border_style="green" if good else "red")


def _shares(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.0%}" for value in values)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _interval(found: Json | None, digits: int = 2, *, with_point: bool = False) -> str:
    if found is None:
        return ""
    if "low" not in found:
        return "run too short"
    bounds = f"[{found['low']:,.{digits}f}, {found['high']:,.{digits}f}]"
    return f"{found['point']:,.{digits}f} {bounds}" if with_point else bounds
