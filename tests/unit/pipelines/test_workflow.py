"""What Argo runs is what the pipeline renders: never stale, no Helm in it, every call one that the pipeline knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows import CronWorkflow, WorkflowTemplate
from typer.testing import CliRunner

from pipelines.retrain.__main__ import app as retrain
from pipelines.retrain.command.outputs import NAMES as OUTPUTS
from pipelines.retrain.workflow.__main__ import app as workflow
from pipelines.retrain.workflow.render import FOLDER, rendered, stale
from pipelines.retrain.workflow.template import PARAMETERS

TEXT = {path.name: path.read_text() for path in rendered() if path.exists()}
TEMPLATE: dict[str, Any] = yaml.safe_load(TEXT["retrain-template.yaml"])
CRON: dict[str, Any] = yaml.safe_load(TEXT["retrain-cron.yaml"])
STEPS = {one["name"]: one for one in TEMPLATE["spec"]["templates"] if "container" in one}


def test_the_charts_files_are_not_stale() -> None:
    assert stale() == [], "`python -m pipelines.retrain workflow render` renders them"
    assert CliRunner().invoke(workflow, ["render", "--check"]).exit_code == 0


def test_a_changed_file_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARAMETERS, "window", "27w")
    result = CliRunner().invoke(workflow, ["render", "--check"])
    assert result.exit_code == 1
    assert "stale: retrain-template.yaml" in result.stderr


@pytest.mark.parametrize("name", sorted(TEXT))
def test_the_rendered_files_hold_no_helm(name: str) -> None:
    assert FOLDER.name == "files"
    inside = [part.split("}}")[0] for part in TEXT[name].split("{{")[1:]]
    assert [part for part in inside if not part.startswith(("workflow.", "inputs.", "tasks.", "item."))] == []


def test_both_manifests_come_back_from_heras_models_as_they_were() -> None:
    template: Any = WorkflowTemplate.from_dict(TEMPLATE)
    cron: Any = CronWorkflow.from_dict(CRON)
    assert yaml.safe_load(template.to_yaml()) == TEMPLATE
    assert yaml.safe_load(cron.to_yaml()) == CRON


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["submit", "--set", "policy"], 1, "--set policy: expected name=value, as policy=demo"),
        (["submit", "--set", "policy=demo", "--set", "seed=7", "--window", "60m"], 75, "does not answer"),
        (["watch", "one-run"], 75, "does not answer"),
        (["list"], 75, "does not answer"),
    ],
)
def test_a_server_that_is_away_may_come_back_and_a_wrong_word_does_not(
    words: list[str], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.retrain.workflow.__main__.AWAY_S", 0.0)
    result = CliRunner().invoke(workflow, [*words, "-n", "there", "--server", "http://127.0.0.1:9", "--insecure"])
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_call_is_one_that_the_pipeline_knows(name: str, tmp_path: Path) -> None:
    """Parsed by the command line itself; the step then fails on what is not there, never on an option."""
    values = {f"workflow.parameters.{name}": text for name, text in PARAMETERS.items()}
    values |= {"inputs.parameters.member": "lightgbm", "inputs.parameters.fold": "2"}
    values |= {"workflow.creationTimestamp.RFC3339": "2025-11-21T12:00:00Z", "workflow.parameters.mlflow": ""}
    arguments = []
    for argument in STEPS[name]["container"]["args"]:
        for inside in [part.split("}}")[0] for part in argument.split("{{")[1:]]:
            argument = argument.replace("{{" + inside + "}}", values.get(inside, "nothing"))
        for place in ("/runs", "/archive", "/tmp/outputs", "/notifications", "/keys"):
            argument = argument.replace(f"={place}", f"={tmp_path}{place}")
        arguments.append(argument)
    result = CliRunner().invoke(retrain, arguments)
    assert result.exit_code == (0 if name == "announce" else 1), result.output
    assert "No such option" not in result.output
    assert "Traceback" not in result.output


def test_each_key_is_mounted_by_the_one_step_that_signs_with_it() -> None:
    holders = {
        key: [name for name, step in STEPS.items() if key in [m["name"] for m in step["container"]["volumeMounts"]]]
        for key in ("training-key", "gate-key")
    }
    assert holders == {"training-key": ["integrity"], "gate-key": ["evidence"]}


def test_the_archive_is_read_only_and_only_where_it_is_read() -> None:
    [volume] = [one for one in TEMPLATE["spec"]["volumes"] if one["name"] == "archive"]
    assert volume["persistentVolumeClaim"]["readOnly"] is True
    mounted = {n: m for n, s in STEPS.items() for m in s["container"]["volumeMounts"] if m["name"] == "archive"}
    assert set(mounted) == {"prepare", "data"}
    assert all(mount["readOnly"] for mount in mounted.values())


def test_only_the_clusters_faults_are_tried_again() -> None:
    for step in STEPS.values():
        retry = step["retryStrategy"]
        assert retry["retryPolicy"] == "Always"
        assert "['75', '137', '143']" in retry["expression"].replace("\n", " ").replace("  ", " ")
        assert "'1'" not in retry["expression"]


def test_every_output_that_is_shown_is_written() -> None:
    shown = {one["name"] for step in STEPS.values() for one in step.get("outputs", {}).get("parameters", [])}
    assert shown == set(OUTPUTS)


def test_pods_are_restricted() -> None:
    assert TEMPLATE["spec"]["securityContext"]["runAsNonRoot"] is True
    for step in STEPS.values():
        context = step["container"]["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)


def test_one_retraining_writes_at_a_time_and_a_missed_week_is_made_up_for() -> None:
    assert len(TEMPLATE["spec"]["synchronization"]["mutexes"]) == 1
    spec = CRON["spec"]
    assert (spec["timezone"], spec["concurrencyPolicy"]) == ("UTC", "Forbid")
    assert spec["startingDeadlineSeconds"] >= 86_400
    assert "cronworkflow.failed >= 3" in spec["stopStrategy"]["expression"]


def test_fields_that_newer_or_older_argos_do_not_know_are_absent() -> None:
    assert "schedule" not in CRON["spec"]
    assert {"mutex", "semaphore"} & set(TEMPLATE["spec"]["synchronization"]) == set()
    json.dumps(TEMPLATE)
