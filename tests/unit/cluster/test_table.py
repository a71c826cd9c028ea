"""The table says every case, and only all passed is success."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tests.cluster.run import names
from tests.cluster.table import Outcome, Result, as_json, exit_code, show


def a_result(outcome: Outcome = "passed", case: str = "kill", seen: str = "0 differences") -> Result:
    return Result(case, outcome, 12.4, (seen,))


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["passed", "passed"], 0),
        (["passed", "left out"], 0),
        (["passed", "FAILED"], 1),
        (["passed", "not tried"], 1),
        (["left out"], 1),
        ([], 1),
    ],
)
def test_success_is_that_all_that_was_tried_passed(outcomes: list[Outcome], code: int) -> None:
    assert exit_code([a_result(outcome) for outcome in outcomes]) == code


def test_the_table_shows_what_was_seen_brackets_included() -> None:
    out = io.StringIO()
    show([a_result(seen="missing [('predictions', 0)]")], Console(file=out, width=120))
    assert "missing [('predictions', 0)]" in out.getvalue()
    assert "1 of 1 cases passed in 0.2 minutes" in out.getvalue()


def test_the_json_has_the_same_rows() -> None:
    found = json.loads(as_json([a_result("FAILED")]))
    assert found["passed"] is False
    assert found["cases"] == [{"case": "kill", "outcome": "FAILED", "seconds": 12.4, "seen": ["0 differences"]}]


def test_chosen_cases_run_in_their_order_and_after_the_install() -> None:
    assert names("upgrade, kill") == ["install", "kill", "upgrade"]


def test_a_misspelt_case_is_named_with_those_there_are() -> None:
    with pytest.raises(Exception, match="no case kil; there are install, helm-test"):
        names("kil")
