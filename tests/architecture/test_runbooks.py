"""Every alert has a runbook, and every runbook an alert."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.tree import ROOT, parsed, python_files


def raised_codes() -> set[str]:
    """First arguments of calls like `alerts.alert("CODE", ...)` and `self._alert("CODE", ...)`."""
    return {code for path in python_files("services") for code in codes_in(path)}


def codes_in(path: Path) -> list[str]:
    return [
        node.args[0].value
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"alert", "_alert"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    runbooks = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert raised_codes() == runbooks
