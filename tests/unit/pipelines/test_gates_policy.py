"""Policies name every line, with a reason; anything else is refused by name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.trading.scoring import Scope
from pipelines.retrain.adapters.policy_files import FOLDER, read_policy
from pipelines.retrain.gates.policy import LIMITS, PolicyError, parse

RAW = yaml.safe_load((FOLDER / "production.yaml").read_text())


@pytest.mark.parametrize("name", ["demo", "production"])
def test_shipped_policies_name_every_line_with_a_reason(name: str) -> None:
    policy = read_policy(name)
    left_out = {line.name for line in policy.not_asked}
    assert set(policy.asked) | left_out == set(LIMITS)
    assert all(limits.because for limits in policy.asked.values())
    assert len(policy.digest) == 64


def test_production_asks_everything_that_the_specification_asks() -> None:
    policy = read_policy("production")
    assert policy.not_asked == ()
    assert policy.scope_cap is Scope.LIVE
    assert policy.asked["span"]["at_least_s"] == 120 * 86400
    assert policy.asked["trades"]["at_least"] == 200
    assert policy.asked["suspicion"]["at_most"] == 0.65
    assert policy.asked["higher_costs"]["factor"] == 2.0
    assert policy.asked["drawdown"]["at_most"] == 0.2
    assert policy.asked["deflated_sharpe"]["at_least"] == 0.95
    assert policy.asked["overfitting"]["at_most"] == 0.2
    assert policy.sampling.block_at_least_s == 86400


def test_the_demo_never_gives_evidence_for_real_money() -> None:
    assert read_policy("demo").scope_cap < Scope.LIVE


def changed(path: str, value: Any) -> Any:
    raw = copy.deepcopy(RAW)
    *parents, last = path.split(".")
    at = raw
    for name in parents:
        at = at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("lines.direction", None, "missing direction"),
        ("lines.sharpness", {"because": "x"}, "unknown sharpness"),
        ("lines.direction.above", None, "missing above"),
        ("lines.direction.abvoe", 0.4, "unknown abvoe"),
        ("lines.direction.above", "high", "no number"),
        ("lines.direction.above", True, "no number"),
        ("lines.direction.above", float("nan"), "no number"),
        ("lines.direction.because", " ", "a sentence"),
        ("lines.direction", {"not_asked": ""}, "a sentence"),
        ("lines.direction", 0.5, "not a mapping"),
        ("scope_cap", "GALAXY", "no scope"),
        ("sampling.draws", 10, "200 draws"),
        ("sampling.confidence", 0.1, "confidence"),
        ("sampling.horizons_per_block", 0.5, "one horizon"),
        ("account.invested_share", 2.0, "share"),
        ("colour", "red", "unknown colour"),
    ],
)
def test_a_policy_with_a_flaw_is_refused_by_name(path: str, value: Any, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse(changed(path, value), "0" * 64)


def test_files_that_are_no_policy(tmp_path: Path) -> None:
    for name, text, words in (
        ("a.yaml", ": : :", "not YAML"),
        ("b.yaml", "[1]", "not a mapping"),
        ("c.yaml", (FOLDER / "demo.yaml").read_text(), "calls itself 'demo'"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(PolicyError, match=words):
            read_policy(str(tmp_path / name))
    with pytest.raises(PolicyError, match="No such file"):
        read_policy("wishful")


def test_a_changed_byte_is_another_policy(tmp_path: Path) -> None:
    copied = tmp_path / "demo.yaml"
    copied.write_bytes((FOLDER / "demo.yaml").read_bytes() + b"\n")
    assert read_policy(str(copied)).digest != read_policy("demo").digest
