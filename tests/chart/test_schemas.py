"""What the chart renders is what Kubernetes knows, by Kubernetes' own schemas."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from infra.prepare import kubeconform
from tests.chart.release import EVERY, case_file, helm_env, render_text, rendered
from tests.chart.tools import helm, needed

KUBERNETES = "v1.34.0"
OURS = Path(__file__).with_name("schemas")
REFERENCE = re.compile(r'"(?:/api/_definitions.json)?#/\$defs/([^"]+)"')
# Argo's objects are checked by hera's models, in the tests of the pipeline.
ELSEWHERE = "WorkflowTemplate,CronWorkflow"


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kubernetes' schemas as the package kubernetes-validate carries them, each with only the definitions it needs."""
    needed("kubeconform")
    folder = tmp_path_factory.mktemp("schemas")
    source = Path(str(resources.files("kubernetes_validate"))) / "kubernetes-json-schema" / f"{KUBERNETES}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    kinds = {(one["apiVersion"], one["kind"]) for case in EVERY for one in rendered(case)}
    for name in {schema_name(*kind) for kind in kinds}:
        if (source / name).exists():
            (folder / name).write_text(json.dumps(standing_alone(json.loads((source / name).read_text()), definitions)))
    return folder


def schema_name(version: str, kind: str) -> str:
    """The name under which kubeconform looks for a kind: `deployment-apps-v1.json`."""
    group, _, number = version.rpartition("/")
    return "-".join([kind.lower(), *([group.split(".")[0]] if group else []), number]) + ".json"


def standing_alone(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to inside of itself; its own address would lead to a server."""
    schema.pop("$id", None)
    reached: dict[str, Any] = {}
    todo = REFERENCE.findall(json.dumps(schema))
    while todo:
        name = todo.pop()
        if name not in reached:
            reached[name] = definitions[name]
            todo += REFERENCE.findall(json.dumps(definitions[name]))
    whole = json.dumps(schema | {"$defs": reached}).replace('"/api/_definitions.json#/', '"#/')
    alone: dict[str, Any] = json.loads(whole)
    return alone


def problems(text: str, schemas: Path) -> list[str]:
    """What kubeconform says about every object that is not valid; unknown fields and unknown kinds are problems."""
    places = [f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json" for folder in (schemas, OURS)]
    argv = [str(kubeconform()), "-strict", "-output", "json", "-skip", ELSEWHERE]
    argv += [word for place in places for word in ("-schema-location", place)]
    ran = subprocess.run([*argv, "-"], input=text, capture_output=True, text=True)
    assert ran.stdout, ran.stderr
    said: list[dict[str, Any]] = json.loads(ran.stdout)["resources"]
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in said]


@pytest.mark.parametrize("case", EVERY)
def test_everything_is_valid(case: str, schemas: Path) -> None:
    assert problems(render_text(case_file(case)), schemas) == []


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("runAsNonRoot:", "runAsNonRoof:", "runAsNonRoof"),
        ("apiVersion: policy/v1\n", "apiVersion: policy/v7\n", "PodDisruptionBudget"),
        ("targetLabel:", "targetLable:", "targetLable"),
        ("expr:", "expression:", "expression"),
        ("lagThreshold:", "lagTreshold:", "lagTreshold"),
        ("maxReplicaCount: 4", 'maxReplicaCount: "4"', "maxReplicaCount"),
    ],
)
def test_a_mistake_is_found(right: str, wrong: str, named: str, schemas: Path) -> None:
    text = render_text(case_file("everything"))
    assert right in text
    assert any(named in problem for problem in problems(text.replace(right, wrong), schemas))


@pytest.mark.parametrize("case", EVERY)
def test_helm_finds_nothing_to_say(case: str) -> None:
    argv = [str(helm()), "lint", "--strict", str(Path(case_file("dev")).parents[1]), "--values", str(case_file(case))]
    ran = subprocess.run(argv, capture_output=True, text=True, env=helm_env())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "WARNING" not in ran.stdout
