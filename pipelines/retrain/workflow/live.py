"""Workflows on a terminal: a live table of one's steps, and a list of many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipelines.retrain.workflow.server import Run, Step

COLOURS = {"Succeeded": "green", "Running": "cyan", "Failed": "red", "Error": "red", "Pending": "yellow"}


def steps_table(run: Run, now: datetime) -> Group:
    """Every pod with its phase, duration and message, and the workflow's own line below."""
    table = Table("step", "phase", "took", "message")
    for step in run.steps:
        table.add_row(step.name, _coloured(step.phase), took(step, now), step.message)
    line = Text.assemble(f"{run.name}: ", _coloured(run.phase), f"  {took(run, now)}  {run.cause}")
    return Group(table, line)


def runs_table(runs: Sequence[Run], now: datetime) -> Table:
    """One line for each workflow, with what it registered."""
    table = Table("workflow", "phase", "started (UTC)", "took", "run", "verdict", "version", "alias", "message")
    for run in runs:
        began = run.started.strftime("%Y-%m-%d %H:%M") if run.started else "not yet"
        shown = [run.shown.get(name, "") for name in ("run", "verdict", "version", "alias")]
        table.add_row(run.name, _coloured(run.phase), began, took(run, now), *shown, run.cause)
    return table


def changes(before: Run | None, after: Run) -> list[str]:
    """One line for each step that changed its phase, for output that is no terminal."""
    known = {step.name: (step.phase, step.message) for step in before.steps} if before else {}
    return [
        f"{step.name}: {step.phase}{': ' + step.message if step.message else ''}"
        for step in after.steps
        if known.get(step.name) != (step.phase, step.message)
    ]


def verdict_lines(run: Run) -> list[str]:
    """How it ended, in words: what the gate said, or what broke."""
    lines = [f"{run.name}: {run.phase}{': ' + run.message if run.message else ''}"]
    shown = run.shown
    if "verdict" in shown:
        lines.append(
            f"run {shown.get('run')}: {shown['verdict']}; version {shown.get('version')}, alias {shown.get('alias')}"
        )
        if shown.get("reasons", "none") != "none":
            lines += [f"  - {reason}" for reason in shown["reasons"].split("; ")]
    for step in run.steps:
        if run.phase != "Succeeded" and step.phase in ("Failed", "Error"):
            lines.append(f"  {step.name}: {step.message or step.phase}")
    return lines


def took(one: Run | Step, now: datetime) -> str:
    if one.started is None:
        return ""
    seconds = int(((one.finished or now) - one.started).total_seconds())
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{max(seconds, 0)}s"


def _coloured(phase: str) -> Text:
    return Text(phase, style=COLOURS.get(phase, ""))
