"""Every alert, of a service or of Prometheus, has a runbook, and every runbook an alert."""

from __future__ import annotations

import ast
from pathlib import Path

import yaml

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


def rules() -> list[dict[str, object]]:
    """The rules that the chart gives to Prometheus."""
    text = (ROOT / "charts" / "trading-platform" / "files" / "alerts.yaml").read_text()
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    runbooks = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert raised_codes() | {str(rule["alert"]) for rule in rules()} == runbooks


def test_an_alert_of_prometheus_in_capitals_is_one_that_a_service_raises() -> None:
    capitals = {name for rule in rules() if (name := str(rule["alert"])).isupper()}
    assert capitals <= raised_codes()


def test_a_runbook_fits_on_a_screen_and_says_what_it_means_where_to_look_and_what_to_do() -> None:
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        text = path.read_text()
        assert len(text.splitlines()) <= 15, path.name
        assert text.startswith(f"# {path.stem}: "), path.name
        assert [f"**{word}.**" in text for word in ("Means", "Look", "Do")] == [True] * 3, path.name
