"""What helm says after an install names only what this release has, and commands that there are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from infra.prepare import ROOT
from pipelines.retrain.workflow.__main__ import app
from tests.chart.release import CHART, EVERY, NAME, NAMESPACE, case_file, of_kind, render, render_text

OFF = ("dataIngestion", "featureStore", "modelServing", "orderRouting")
CASES = dict.fromkeys(EVERY, ()) | {
    "no services": tuple(word for name in OFF for word in ("--set", f"{name}.enabled=false"))
}


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object: `helm template` does not print them."""
    chart = tmp_path_factory.mktemp("noted") / "chart"
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(
        '{{ define "notes" }}' + text + '{{ end }}\nkind: Notes\nsaid: {{ include "notes" . | toJson }}\n'
    )
    return chart


def notes(noted: Path, case: str) -> str:
    file = case_file(case if case in EVERY else "dev")
    text = render_text(file, options=(*CASES[case], "--show-only", "templates/notes.yaml"), chart=noted)
    return str(yaml.safe_load(text)["said"])


@pytest.mark.parametrize("case", CASES)
def test_services_ports_and_jobs_of_the_notes_are_there(case: str, noted: Path) -> None:
    said = notes(noted, case)
    manifests = render(case_file(case if case in EVERY else "dev"), options=CASES[case])
    ports = {
        (one["metadata"]["name"], port["port"])
        for one in of_kind(manifests, "Service")
        for port in one["spec"]["ports"]
    }
    forwards = re.findall(rf"port-forward -n {NAMESPACE} svc/(\S+) (?:\d+:)?(\d+)", said)
    assert {(name, int(port)) for name, port in forwards} <= ports
    jobs = {one["metadata"]["name"] for one in of_kind(manifests, "Job")}
    assert set(re.findall(r"job/(\S+)", said)) <= jobs
    assert ("order-routing" in said) == (case != "no services")


def test_rpcs_of_the_notes_are_declared(noted: Path) -> None:
    declared = set()
    for file in (ROOT / "protos").rglob("*.proto"):
        text = file.read_text()
        package = re.findall(r"^package (\S+);", text, re.MULTILINE)[0]
        for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            declared |= {f"{package}.{service}/{rpc}" for rpc in re.findall(r"\brpc (\w+)", body)}
    asked = set(re.findall(r"localhost:\d+ (\S+/\S+)", notes(noted, "everything")))
    assert len(asked) > 5
    assert asked <= declared


def test_with_argo_the_notes_say_how_to_retrain_now_and_how_it_goes(noted: Path) -> None:
    commands = re.findall(r"python -m pipelines\.retrain workflow (.*)", notes(noted, "everything"))
    assert [command.split()[0] for command in commands] == ["submit", "watch", "list"]
    for command in commands:
        assert f"-n {NAMESPACE} --template {NAME}-retrain" in command
        known = CliRunner().invoke(app, [command.split()[0], "--help"], env={"COLUMNS": "200"}).output
        assert [word for word in command.split() if word.startswith("-") and word not in known] == []
    assert "pipelines.retrain" not in notes(noted, "dev")
