"""Alerts and dashboards ask for what the services really measure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.prepare import ROOT
from libs.runtime.metrics import declared
from tests.chart.promql import grouped_by, selectors
from tests.chart.release import CHART, NAME, NAMESPACE, Manifest, of_kind, rendered

DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
PROCESS = {"process_start_time_seconds", "process_resident_memory_bytes"}  # prometheus-client's own
# Labels that Prometheus puts on whatever it reads in a cluster, and those of the chart's ServiceMonitor.
OF_THE_TARGET = {"namespace", "pod", "instance", "job", "release", "component"}


def rules(manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [
        rule
        for one in of_kind(manifests, "PrometheusRule")
        for group in one["spec"]["groups"]
        for rule in group["rules"]
    ]


def panels(path: Path) -> Iterator[dict[str, Any]]:
    for panel in json.loads(path.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def queries(path: Path) -> list[tuple[str, str]]:
    """(expression, legend) of every panel and note."""
    asked = [(one["expr"], one["legendFormat"]) for panel in panels(path) for one in panel["targets"]]
    return asked + [(one["expr"], one["titleFormat"]) for one in json.loads(path.read_text())["annotations"]["list"]]


def labels_of(metric: str) -> set[str]:
    """The labels of a series' name as Prometheus has it. Fails for a name that nobody declares."""
    if metric in PROCESS:
        return OF_THE_TARGET
    for name, row in declared().items():
        ours = OF_THE_TARGET | set(row.get("labels", ()))
        if row["kind"] != "histogram" and metric == name:
            return ours
        if row["kind"] == "histogram" and metric in (f"{name}_bucket", f"{name}_sum", f"{name}_count"):
            return ours | ({"le"} if metric.endswith("_bucket") else set())
    pytest.fail(f"{metric} is not in metrics.yaml")


def assert_measured(expression: str, said: str) -> None:
    """Every metric is declared, every label that is asked for or shown is one of its own."""
    known: set[str] = set()
    for selector in selectors(expression):
        ours = labels_of(selector.metric)
        known |= ours
        assert selector.labels <= ours, (expression, selector)
        assert {"namespace", "release"} <= selector.labels, f"of whose release? {expression}"
    assert grouped_by(expression) <= known, expression
    shown = set(re.findall(r"\$labels\.(\w+)", said)) | set(re.findall(r"\{\{\s*(\w+)\s*\}\}", said))
    assert shown <= known, (expression, said)


def test_alerts_ask_for_what_is_measured() -> None:
    found = rules(rendered("everything"))
    assert len(found) > 20
    for rule in found:
        assert_measured(rule["expr"], rule["annotations"]["summary"])


def test_alerts_name_their_release_their_weight_and_a_runbook_that_is_there() -> None:
    for rule in rules(rendered("everything")):
        assert "$namespace" not in rule["expr"]
        assert not re.search(r"\$(?!labels|value)", rule["expr"] + rule["annotations"]["summary"]), rule
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert (rule["labels"]["release"], rule["labels"]["namespace"]) == (NAME, NAMESPACE)
        assert (ROOT / rule["annotations"]["runbook"]).is_file(), rule["alert"]


def test_alerts_follow_the_values() -> None:
    def expression(alert: str, *options: str) -> str:
        return str(next(rule["expr"] for rule in rules(rendered("everything", *options)) if rule["alert"] == alert))

    assert expression("ModelTooOld").endswith("> 864000")
    assert expression("ModelTooOld", "--set-json", "monitoring.rules.modelMaxAgeDays=1.5").endswith("> 129600")
    assert expression("FeaturesStale").endswith("> 60 + 3 * 0.25")
    assert expression("FeaturesStale", "--set", "features.emissionMs=60000").endswith("> 60 + 3 * 60")
    assert expression("ServicesMissing").endswith("< 6")
    assert expression("ServicesMissing", "--set", "archive.enabled=false").endswith("< 5")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_ask_for_what_is_measured(path: Path) -> None:
    found = queries(path)
    assert len(found) > 10
    for expression, legend in found:
        assert_measured(expression, legend)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_a_title_a_place_of_their_own_and_a_source(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == f"trading-platform-{path.stem}"
    assert {one["name"] for one in board["templating"]["list"]} == {"datasource", "namespace", "release"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_every_metric_of_the_services_is_watched_or_shown() -> None:
    """A number that nobody looks at is not worth its place; add it to a dashboard, or do not measure it."""
    asked = [rule["expr"] for rule in rules(rendered("everything"))]
    asked += [expression for path in DASHBOARDS for expression, _ in queries(path)]
    seen = {selector.metric for expression in asked for selector in selectors(expression)}
    bare = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in seen} | seen
    assert set(declared()) - bare == {"archive_next_offset"}, "an offset says something only beside the broker's"


def test_a_dashboard_is_one_labelled_map_with_the_file_s_own_text() -> None:
    maps = [one for one in of_kind(rendered("everything"), "ConfigMap") if "dashboard" in one["metadata"]["name"]]
    assert len(maps) == len(DASHBOARDS) == 3
    for one, path in zip(sorted(maps, key=lambda one: str(one["metadata"]["name"])), DASHBOARDS, strict=True):
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "Trading"}
        (text,) = one["data"].values()
        assert json.loads(text) == json.loads(path.read_text())


def test_prometheus_reads_every_service_under_its_release_and_component() -> None:
    manifests = rendered("everything")
    (monitor,) = of_kind(manifests, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    read = [
        one["metadata"]["name"]
        for one in of_kind(manifests, "Service")
        if wanted <= one["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}
    ]
    assert len(read) == 6
    assert {one.get("targetLabel") for one in endpoint["relabelings"]} == {"release", "component", None}


@pytest.mark.parametrize("case", ["dev", "minimal", "live"])
def test_nothing_of_it_is_there_unless_asked_for(case: str) -> None:
    manifests = rendered(case)
    assert of_kind(manifests, "ServiceMonitor", "PrometheusRule", "ScaledObject", "WorkflowTemplate") == []
    assert not [one for one in of_kind(manifests, "ConfigMap") if "dashboard" in one["metadata"]["name"]]
