"""What this test needs before it begins, one line each: programs, a cluster, images, room, and Argo for its cases."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from tests.cluster.commands import Ended, end_of, output_of

PROGRAMS = {
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "helm": "https://helm.sh/docs/intro/install",
    "grpcurl": "https://github.com/fullstorydev/grpcurl",
}
LEAST_KUBERNETES = (1, 30)
SUFFIXES = {
    "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Need:
    """One need; `holds` None: it is not there, but only some cases are left out for it."""

    name: str
    holds: bool | None
    said: str

    @property
    def line(self) -> str:
        return f"{ {True: 'ok', False: 'MISSING', None: 'left out'}[self.holds]:9}{self.name}: {self.said}"


def programs() -> Iterator[Need]:
    for name, where in PROGRAMS.items():
        found = shutil.which(name)
        yield Need(name, found is not None, found or f"not on PATH; {where}")


def cluster() -> Need:
    """Whether a cluster answers, and which."""
    ended = end_of(["kubectl", "version", "-o", "json", "--request-timeout=10s"], seconds=20)
    if ended.code != 0:
        return Need("cluster", False, f"{last_line(ended)}; KUBECONFIG names the cluster's file")
    said = json.loads(ended.out)["serverVersion"]
    version = tuple(int(re.sub(r"\D", "", said[part])) for part in ("major", "minor"))
    where = output_of(["kubectl", "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])
    holds = version >= LEAST_KUBERNETES
    return Need("cluster", holds, f"Kubernetes {said['gitVersion']} at {where}" + ("" if holds else ", 1.30 is needed"))


def argo() -> Need:
    """Whether the cluster knows Argo's objects."""
    known = output_of(["kubectl", "api-versions"], seconds=30).split()
    if "argoproj.io/v1alpha1" in known:
        return Need("Argo Workflows", True, "argoproj.io/v1alpha1")
    return Need("Argo Workflows", None, "the cluster does not know argoproj.io/v1alpha1; the case argo is left out")


def images(rendered: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]) -> Need:
    """Whether the nodes have what the release runs; what they lack is pulled, and its pods say so if it cannot be."""
    listed = [one for node in nodes for one in node["status"].get("images", [])]
    there = {plain(name) for one in listed for name in one.get("names") or []}
    wanted = {plain(name) for pod in pod_specs(rendered) for name in images_of(pod)}
    absent = sorted(wanted - there)
    return Need("images", True, f"{len(wanted)} on the nodes" if not absent else f"to be pulled: {', '.join(absent)}")


def room(
    rendered: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> Need:
    """Whether the nodes have as much left as the release asks for. Bound pods count with what they ask for."""
    parts, holds = [], True
    running = [pod["spec"] for pod in pods if pod.get("status", {}).get("phase") not in ENDED]
    for what, unit, size in (("cpu", "", Decimal(1)), ("memory", "Gi", SUFFIXES["Gi"])):
        whole = sum((quantity(node["status"]["allocatable"][what]) for node in nodes), Decimal(0))
        left = whole - sum((asked_by(spec, what) for spec in running), Decimal(0))
        asked = sum((asked_by(spec, what) * copies for spec, copies in counted(rendered)), Decimal(0))
        holds = holds and asked <= left
        parts.append(f"{what} {asked / size:.2f}{unit} of {left / size:.2f}{unit} left")
    return Need("room", holds, ", ".join(parts))


def rendered_chart(argv: Sequence[str]) -> list[Mapping[str, Any]]:
    """The objects that `helm template` prints."""
    return [one for one in yaml.safe_load_all(output_of(argv, seconds=60)) if one]


def listed(*what: str) -> list[Any]:
    """The items of `kubectl get`."""
    found: list[Any] = json.loads(output_of(["kubectl", "get", *what, "-o", "json"], seconds=60))["items"]
    return found


def pod_specs(rendered: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield from (spec for spec, _ in counted(rendered))


def counted(rendered: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """The pods of workloads, and how many of each."""
    for one in rendered:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield one["spec"]["template"]["spec"], int(one["spec"].get("replicas", 1))


def images_of(spec: Mapping[str, Any]) -> Iterator[str]:
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        yield container["image"]


def asked_by(spec: Mapping[str, Any], what: str) -> Decimal:
    """What a pod asks for: its containers together, or its greediest init container."""

    def of(container: Mapping[str, Any]) -> Decimal:
        return quantity(container.get("resources", {}).get("requests", {}).get(what, "0"))

    together = sum((of(container) for container in spec["containers"]), Decimal(0))
    return max([together, *(of(container) for container in spec.get("initContainers", []))])


def quantity(text: str | int | float) -> Decimal:
    """A Kubernetes quantity as a number: 250m is 0.25, 1Ki is 1024."""
    found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([a-zA-Z]*)", str(text))
    if found is None or found[2] not in {"", *SUFFIXES}:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(found[1]) * SUFFIXES.get(found[2], Decimal(1))


def plain(image: str) -> str:
    """An image's name without the registry that is meant when none is named."""
    return image.removeprefix("docker.io/").removeprefix("library/")


def last_line(ended: Ended) -> str:
    lines = [line for line in ended.said.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {ended.code}"
