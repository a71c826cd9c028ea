"""Argo's workflows of one release: what the API says of them, and the release's own command line for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.daemon import free_port
from tests.cluster.cluster import Cluster
from tests.cluster.commands import Ended, end_of, output_of
from tests.cluster.forward import Forward
from tests.cluster.pods import pod_of
from tests.cluster.waiting import NotYet, check, until

SERVER_PORT = 2746
CRON_LABEL = "workflows.argoproj.io/cron-workflow"
OF_WORKFLOW = "workflows.argoproj.io/workflow"
NODE = "workflows.argoproj.io/node-name"
MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10080}
ENDED = ("Succeeded", "Failed", "Error")


@dataclass(frozen=True, slots=True)
class Workflow:
    """One run: its phase, what it showed (run, verdict, version, alias, reasons), and its pods by name and phase."""

    name: str
    phase: str
    message: str
    shown: Mapping[str, str]
    pods: tuple[tuple[str, str, str], ...]  # display name, phase, message

    @property
    def retried(self) -> list[str]:
        """Steps of which a second try succeeded."""
        return [
            name for name, phase, _ in self.pods if phase == "Succeeded" and not name.endswith("(0)") and "(" in name
        ]

    @property
    def told(self) -> str:
        done = sum(phase == "Succeeded" for _, phase, _ in self.pods)
        return f"{self.name} {self.phase}: {done} of {len(self.pods)} pods done {self.message}".strip()


def workflow_of(item: Mapping[str, Any]) -> Workflow:
    status = item.get("status") or {}
    nodes = [node for node in (status.get("nodes") or {}).values() if node.get("type") == "Pod"]
    shown = (status.get("outputs") or {}).get("parameters") or []
    return Workflow(
        name=item["metadata"]["name"],
        phase=status.get("phase") or "Pending",
        message=status.get("message") or "",
        shown={one["name"]: str(one.get("value", "")) for one in shown},
        pods=tuple((one.get("displayName", ""), one.get("phase", ""), one.get("message", "")) for one in nodes),
    )


def window_of(run: str) -> tuple[int, str]:
    """Minutes and end, as ISO, of the window in a run's name: retrain-BTCUSDT-20261121T150400Z-12m-1a2b3c4d."""
    stamp, length = run.split("-")[2:4]
    end = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return int(length[:-1]) * MINUTES[length[-1]], end.strftime("%Y-%m-%dT%H:%M:%SZ")


def scheduled(cluster: Cluster, cron: str) -> list[Workflow]:
    return [workflow_of(item) for item in cluster.get("workflows", selector=f"{CRON_LABEL}={cron}")]


def wait_for_end(cluster: Cluster, name: str, seconds: float) -> Workflow:
    """The workflow when it has ended, however."""

    def look() -> Workflow | NotYet:
        found = workflow_of(cluster.get("workflow", name))
        return found if found.phase in ENDED else NotYet(found.told)

    return until(f"the end of {name}", look, seconds, pause=3.0)


def kill_step(cluster: Cluster, workflow: str, steps: Sequence[str], seconds: float) -> str:
    """SIGKILL for the running pod of a step, and of the next step where the first had just done its work.

    Returns the pod's name and Argo's word for its end."""
    killed: set[str] = set()

    def look() -> str | NotYet:
        now = workflow_of(cluster.get("workflow", workflow))
        for name, phase, message in now.pods:
            if phase in ("Error", "Failed"):
                return f"{name}: {message}"
        check(now.phase not in ENDED, f"{now.told} before a kill was noticed; killed: {sorted(killed)}")
        for item in cluster.get("pods", selector=f"{OF_WORKFLOW}={workflow}"):
            pod, node = pod_of(item), item["metadata"].get("annotations", {}).get(NODE, "")
            running = pod.phase == "Running" and pod.name not in killed
            if running and any(f".{step}" in node for step in steps):
                killed.add(pod.name)
                cluster.kill(pod)
                break
        return NotYet(now.told)

    return until(f"a killed step of {workflow}", look, seconds)


class CommandLine:
    """`python -m pipelines.retrain workflow …` against the cluster's Argo server."""

    def __init__(self, cluster: Cluster, address: str) -> None:
        template = f"{cluster.release}-retrain"
        self._options = ["-n", cluster.namespace, "--template", template, "--server", address, "--insecure"]

    def __call__(self, *words: str, seconds: float = 60.0) -> Ended:
        return end_of([sys.executable, "-m", "pipelines.retrain", "workflow", *words, *self._options], seconds=seconds)


@contextmanager
def command_line(cluster: Cluster, say: Callable[[str], None]) -> Iterator[CommandLine | None]:
    """The command line with its way to the Argo server; None where only Argo's controller runs."""
    found = json.loads(output_of(["kubectl", "get", "services", "-A", "-o", "json"]))["items"]
    servers = [one["metadata"]["namespace"] for one in found if one["metadata"]["name"] == "argo-server"]
    if not servers:
        say("no service argo-server in the cluster: submit, watch and list are left out")
        yield None
        return
    with Forward(servers[0], "svc/argo-server", free_port(), SERVER_PORT) as way:
        yield CommandLine(cluster, until("the Argo server", lambda: _answering(cluster, way.address), 60.0))


def _answering(cluster: Cluster, address: str) -> str | NotYet:
    """The scheme under which it answers."""
    said = []
    for scheme in ("http", "https"):
        ended = CommandLine(cluster, f"{scheme}://{address}")("list")
        if ended.code == 0:
            return f"{scheme}://{address}"
        said.append(ended.err.strip().splitlines()[-1] if ended.err.strip() else "")
    return NotYet("; ".join(said))
