"""The report: honest figures as JSON, every line and refusal on the terminal, a page of plots."""

from __future__ import annotations

import io
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from libs.trading.metrics import class_frequencies
from pipelines.retrain.adapters.policy_files import read_policy
from pipelines.retrain.gates import integrity
from pipelines.retrain.gates.evidence import evidence
from pipelines.retrain.gates.integrity import Canary, Parity
from pipelines.retrain.report.contents import FORCED, contents, to_bytes
from pipelines.retrain.report.plots import write_page
from pipelines.retrain.report.tables import show
from pipelines.retrain.steps.evaluate import evaluate
from tests.builders.candidates import Market, a_case, a_world


@cache
def a_report(policy_name: str = "demo", edge: float = 0.6, threshold: float | None = 0.4) -> dict[str, Any]:
    policy, world = read_policy(policy_name), a_world(Market(edge=edge, seed=5))
    case = a_case(world, world.true_probabilities, threshold=threshold)
    a = evaluate(case, policy)
    p = case.hold_out.probabilities
    lines = [
        integrity.view_servable(None),
        integrity.parity(Parity(12_000, 1e-7, 1e-6, 0)),
        integrity.both_classes(p, class_frequencies(case.earlier.labels)),
        integrity.leakage(Canary(900, 0, 8)),
    ]
    report = contents("ab" * 32, a, lines, evidence(a, policy), policy)
    read: dict[str, Any] = json.loads(to_bytes(report))
    return read


def shown(report: dict[str, Any]) -> str:
    console = Console(width=250, record=True, file=io.StringIO())
    show(report, console)
    return console.export_text()


def test_the_model_stands_beside_every_naive_rule_with_intervals() -> None:
    runs = {run["name"]: run for run in a_report()["runs"]}
    assert list(runs)[:2] == ["model", "model at 1.25x costs"]
    assert {"stay out", "buy and hold", "momentum", "reversal", "majority class"} <= set(runs)
    assert runs["model"]["net_interval"]["low"] < runs["model"]["net"] < runs["model"]["net_interval"]["high"]
    assert runs["model at 1.25x costs"]["net"] < runs["model"]["net"]
    assert all("model_excess" in runs[name] for name in ("stay out", "momentum"))


def test_a_report_is_plain_json_that_repeats() -> None:
    report = a_report()
    assert to_bytes(report) == to_bytes(json.loads(to_bytes(report)))
    assert json.loads(to_bytes({"a": float("nan"), "b": [float("inf"), 1.5]})) == {"a": None, "b": [None, 1.5]}


def test_a_model_that_says_never_still_shows_what_it_would_have_done() -> None:
    report = a_report(edge=0.0, threshold=None)
    names = [run["name"] for run in report["runs"]]
    assert FORCED in names
    assert f"{FORCED}, 1.25x costs" in names
    assert "no line reads it" in shown(report)
    assert FORCED not in [run["name"] for run in a_report()["runs"]]


@pytest.mark.parametrize(
    ("policy", "edge", "threshold"), [("demo", 0.6, 0.4), ("demo", 0.0, None), ("production", 0.6, 0.4)]
)
def test_every_line_and_every_refusal_is_shown(policy: str, edge: float, threshold: float | None) -> None:
    report = a_report(policy, edge, threshold)
    text = shown(report)
    for line in (*report["integrity"], *report["evidence"], *report["not_asked"]):
        assert line["name"] in text
    refused = [line["name"] for line in (*report["integrity"], *report["evidence"]) if not line["passed"]]
    assert len(report["verdict"]["refusals"]) == len(refused)
    assert all(f"- {name}: " in text for name in refused)
    assert ("EVIDENCE REFUSED" in text) == bool(refused)
    assert policy in text


def test_calibration_points_hold_all_rows() -> None:
    report = a_report()
    for points in report["plots"]["calibration"].values():
        assert sum(rows for _, _, rows in points) == report["data"]["rows_held_out"]
        assert np.all(np.diff([said for said, _, _ in points]) >= 0)


@pytest.mark.parametrize(
    ("policy", "edge", "threshold"), [("demo", 0.6, 0.4), ("demo", 0.0, None), ("production", 0.6, 0.4)]
)
def test_the_page_is_a_picture(tmp_path: Path, policy: str, edge: float, threshold: float | None) -> None:
    page = tmp_path / "gate" / "report.png"
    write_page(a_report(policy, edge, threshold), page)
    head = page.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (1500, 1050)
