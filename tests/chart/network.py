"""Who may talk to whom by a release's network policies, judged as a cluster would judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.chart.release import Manifest, of_kind, pod_templates

DNS = 53


@dataclass(frozen=True)
class Pods:
    """Pods that are alike, by the component that their labels name."""

    component: str
    labels: frozenset[tuple[str, str]]


def pods_of(manifests: list[Manifest]) -> set[Pods]:
    """The pods of every workload, those of Argo's steps included."""
    labels = [pod["metadata"]["labels"] for _, pod in pod_templates(manifests)]
    labels += [one["spec"]["podMetadata"]["labels"] for one in of_kind(manifests, "WorkflowTemplate")]
    return {Pods(own["app.kubernetes.io/component"], frozenset(own.items())) for own in labels}


def selects(selector: dict[str, Any], labels: frozenset[tuple[str, str]]) -> bool:
    assert set(selector) <= {"matchLabels"}, "expressions are not read here"
    return frozenset(selector.get("matchLabels", {}).items()) <= labels


def policies(manifests: list[Manifest], pods: Pods, direction: str) -> list[dict[str, Any]]:
    """The specs that restrict these pods in that direction (Ingress, Egress)."""
    specs = [one["spec"] for one in of_kind(manifests, "NetworkPolicy")]
    return [spec for spec in specs if direction in spec["policyTypes"] and selects(spec["podSelector"], pods.labels)]


def names(rule: dict[str, Any], key: str, other: Pods) -> bool:
    """Whether a rule's peers hold these pods of the same namespace; without peers it holds everybody."""
    peers = rule.get(key)
    return not peers or any(
        selects(peer["podSelector"], other.labels)
        for peer in peers
        if "podSelector" in peer and "namespaceSelector" not in peer
    )


def allows(rule: dict[str, Any], port: int) -> bool:
    return "ports" not in rule or any(one["port"] == port for one in rule["ports"])


def inside(manifests: list[Manifest], ports: set[int]) -> set[tuple[str, str, int]]:
    """(from, to, port) that both sides' policies allow, among the release's own pods; DNS is left aside."""
    pods = pods_of(manifests)
    return {
        (source.component, target.component, port)
        for source in pods
        for target in pods
        for port in ports - {DNS}
        if _out(manifests, source, target, port) and _in(manifests, source, target, port)
    }


def _out(manifests: list[Manifest], source: Pods, target: Pods, port: int) -> bool:
    specs = policies(manifests, source, "Egress")
    rules = [rule for spec in specs for rule in spec.get("egress") or []]
    return not specs or any(names(rule, "to", target) and allows(rule, port) for rule in rules)


def _in(manifests: list[Manifest], source: Pods, target: Pods, port: int) -> bool:
    specs = policies(manifests, target, "Ingress")
    rules = [rule for spec in specs for rule in spec.get("ingress") or []]
    return not specs or any(names(rule, "from", source) and allows(rule, port) for rule in rules)


def outside(manifests: list[Manifest]) -> set[tuple[str, int]]:
    """(from, port) at which a component may leave the release, to anybody or to named addresses; without DNS."""
    found = set()
    for pods in pods_of(manifests):
        for spec in policies(manifests, pods, "Egress"):
            for rule in spec.get("egress") or []:
                if all("podSelector" not in peer or "namespaceSelector" in peer for peer in rule.get("to", [])):
                    found |= {(pods.component, one["port"]) for one in rule["ports"]}
    return {(component, port) for component, port in found if port != DNS}
