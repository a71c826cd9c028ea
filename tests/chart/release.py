"""A release of the chart as helm renders it, without a cluster."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.prepare import ROOT
from tests.chart.tools import helm

CHART = ROOT / "charts" / "trading-platform"
NAME = "trading-platform"
NAMESPACE = "trading"
SERVICES = ("data-ingestion", "feature-store", "model-serving", "order-routing", "archive", "exchange-simulator")
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
PROFILES = {"profile dev": CHART / "values-dev.yaml"}
EVERY = (*CASES, *PROFILES)

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm did not render; the message is what it said."""


def case_file(case: str) -> Path:
    return (CASES | PROFILES)[case]


def render_text(*files: Path, options: tuple[str, ...] = (), chart: Path = CHART) -> str:
    """What `helm template` prints. Raises Refused."""
    argv = [str(helm()), "template", NAME, str(chart), "--namespace", NAMESPACE]
    argv += [word for file in files for word in ("--values", str(file))]
    ran = subprocess.run([*argv, *options], capture_output=True, text=True, env=helm_env())
    if ran.returncode != 0:
        raise Refused(ran.stderr)
    return ran.stdout


def helm_env() -> dict[str, str]:
    """No cluster and nobody's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"KUBECONFIG": os.devnull}


def render(*files: Path, options: tuple[str, ...] = ()) -> list[Manifest]:
    """Every object, those of `helm test` included. Raises Refused."""
    documents = yaml.load_all(render_text(*files, options=options), Loader=yaml.CSafeLoader)
    return [document for document in documents if document]


@cache
def rendered(case: str, *options: str) -> list[Manifest]:
    """The objects of one case; they are shared by tests, which do not change them."""
    return render(case_file(case), options=options)


def merged(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others laid over them, table by table, as helm does."""
    found = dict(values)
    for name, value in changed.items():
        below = found.get(name)
        found[name] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, component: str) -> Manifest:
    """The object of that kind whose name is the release's and the component's."""
    return next(one for one in of_kind(manifests, kind) if one["metadata"]["name"] == f"{NAME}-{component}")


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """What every workload makes pods of, by kind and name; a Pod is its own template. Argo's pods are not there."""
    for manifest in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        yield f"{manifest['kind']} {manifest['metadata']['name']}", manifest["spec"]["template"]
    for manifest in of_kind(manifests, "Pod"):
        yield f"Pod {manifest['metadata']['name']}", manifest


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]
