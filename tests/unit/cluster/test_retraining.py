"""Jobs, workflows and orders of the cluster test are made and read by plain functions."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console

from pipelines.retrain.workflow.live import runs_table
from pipelines.retrain.workflow.server import Run
from tests.chart.release import merged
from tests.cluster.accounts import behind
from tests.cluster.case_upgrade import far_order
from tests.cluster.registry import version_of
from tests.cluster.retraining import like
from tests.cluster.workflows import window_of, workflow_of


def a_job() -> dict[str, Any]:
    return {
        "metadata": {"name": "first-model-r1", "uid": "x"},
        "spec": {
            "backoffLimit": 3,
            "selector": {"matchLabels": {"controller-uid": "x"}},
            "template": {
                "metadata": {"labels": {"app": "trading", "controller-uid": "x", "job-name": "first-model-r1"}},
                "spec": {"containers": [{"command": ["python", "--when-no-champion", "--window=60m", "--until=now"]}]},
            },
        },
    }


def test_a_job_like_another_has_its_own_name_and_options_and_nothing_of_the_first_ones_identity() -> None:
    first = a_job()
    made = like(first, "short", {"--window": "12m", "--fee": "5"}, {"--when-no-champion"})
    assert made["metadata"] == {"name": "short"}
    assert "selector" not in made["spec"]
    template = made["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "trading"}
    assert template["spec"]["containers"][0]["command"] == ["python", "--until=now", "--window=12m", "--fee=5"]
    assert first == a_job()


def test_a_runs_name_says_its_window() -> None:
    assert window_of("retrain-BTCUSDT-20261121T150400Z-12m-1a2b3c4d") == (12, "2026-11-21T15:04:00Z")
    assert window_of("retrain-BTCUSDT-20261121T150400Z-3h-1a2b3c4d")[0] == 180


def test_values_are_laid_over_others_table_by_table() -> None:
    values = {"dev": {"kafka": {"heap": "400m"}, "enabled": True}}
    found = merged(values, {"dev": {"kafka": {"image": "x"}}, "archive": {"size": "1Gi"}})
    assert found == {"dev": {"kafka": {"heap": "400m", "image": "x"}, "enabled": True}, "archive": {"size": "1Gi"}}
    assert values == {"dev": {"kafka": {"heap": "400m"}, "enabled": True}}


def test_a_workflow_tells_its_pods_its_outputs_and_which_step_was_tried_again() -> None:
    def node(name: str, phase: str) -> dict[str, str]:
        return {"type": "Pod", "displayName": name, "phase": phase}

    nodes = {"1": node("fit(0:a)(0)", "Error"), "2": node("fit(0:a)(1)", "Succeeded"), "3": {"type": "DAG"}}
    status = {"phase": "Running", "nodes": nodes, "outputs": {"parameters": [{"name": "verdict", "value": "refused"}]}}
    found = workflow_of({"metadata": {"name": "w"}, "status": status})
    assert found.retried == ["fit(0:a)(1)"]
    assert found.shown == {"verdict": "refused"}
    assert found.told == "w Running: 1 of 2 pods done"


def test_a_workflow_that_has_not_begun_is_pending() -> None:
    assert workflow_of({"metadata": {"name": "w"}}).phase == "Pending"


def test_a_list_of_workflows_that_is_no_terminal_s_shows_whole_names() -> None:
    shown = {"run": "retrain-BTCUSDT-20261121T150400Z-40m-1a2b3c4d", "verdict": "refused", "version": "12"}
    names = ["trading-platform-retrain-1732201200", "trading-platform-retrain-abcde"]
    told = [Run(name, "Failed", "evidence: " * 50, None, datetime.now(UTC), None, shown=shown) for name in names]
    out = io.StringIO()
    Console(file=out, width=220).print(runs_table(told, datetime.now(UTC)))
    assert all(name in out.getvalue() for name in names)


def test_a_version_without_evidence_has_the_scope_none() -> None:
    item = {"version": "3", "tags": [{"key": "integrity", "value": "passed"}]}
    assert (version_of(item).number, version_of(item).scope, version_of(item).integrity) == (3, "NONE", True)


def test_an_order_that_rests_lies_on_the_grid_and_is_worth_something() -> None:
    rules = {"priceFilter": {"tickSize": "0.10"}, "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001"}}
    price, quantity = far_order(rules, Decimal("60000.30"), 1)
    assert (price, quantity) == (Decimal("54000.1"), Decimal("0.002"))
    assert far_order(rules, Decimal("60000.30"), 0)[0] == Decimal("54000.2")


def test_who_has_still_to_read_is_told_by_partition() -> None:
    ends = {("predictions", 0): 5, ("predictions", 1): 0, ("orders.events", 0): 2}
    assert behind({("predictions", 0): 3, ("orders.events", 0): 2}, ends) == ["predictions-0 is at 3 of 5"]
