"""Reads pods as a person would who asks what is wrong: states, reasons and last words, from the API's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod; `complaints` are the reasons and messages of its status, the newest words of its containers included."""

    name: str
    uid: str
    component: str
    phase: str
    ready: bool
    restarts: int
    complaints: tuple[str, ...]

    @property
    def described(self) -> str:
        state = "ready" if self.ready else self.phase
        return f"{self.name} {state}" + (f" ({'; '.join(self.complaints)})" if self.complaints else "")


def pod_of(item: Mapping[str, Any]) -> Pod:
    """A pod of the API's answer. One that is being deleted is not ready."""
    head, status = item["metadata"], item.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    ready = conditions.get("Ready", {}).get("status") == "True" and "deletionTimestamp" not in head
    containers = status.get("containerStatuses", [])
    return Pod(
        name=head["name"],
        uid=head["uid"],
        component=head.get("labels", {}).get(COMPONENT, ""),
        phase=status.get("phase", "Unknown"),
        ready=ready,
        restarts=sum(one.get("restartCount", 0) for one in containers),
        complaints=tuple(complaints(status)),
    )


def complaints(status: Mapping[str, Any]) -> Iterator[str]:
    """Why a pod is not scheduled, and why its containers wait or ended."""
    for one in status.get("conditions", []):
        if one["type"] == "PodScheduled" and one["status"] == "False":
            yield f"{one.get('reason', '')}: {one.get('message', '')}"
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        for state in (container.get("state", {}), container.get("lastState", {})):
            yield from _of_state(container["name"], state)


def _of_state(name: str, state: Mapping[str, Any]) -> Iterator[str]:
    waiting, ended = state.get("waiting", {}), state.get("terminated", {})
    if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
        yield f"{name}: {waiting['reason']} {waiting.get('message', '')}".strip()
    if ended and ended.get("exitCode") != 0:
        yield f"{name}: ended with {ended.get('exitCode')} {ended.get('message', '')}".strip()


def by_component(pods: Sequence[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(pod.component, []).append(pod)
    return found


def not_ready(pods: Sequence[Pod], wanted: Mapping[str, int]) -> list[str]:
    """What is missing until each component has exactly so many pods, all of them ready."""
    there = by_component(pods)
    missing = []
    for component, count in wanted.items():
        mine = there.get(component, [])
        if len(mine) != count:
            missing.append(f"{component} has {len(mine)} of {count} pods")
        missing += [pod.described for pod in mine if not pod.ready]
    return missing
