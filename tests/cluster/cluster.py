"""One namespace of the cluster that KUBECONFIG names, through kubectl."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.commands import CommandFailed, output_of
from tests.cluster.pods import Pod, not_ready, pod_of
from tests.cluster.waiting import NotYet, until

LABEL = "trading-platform/made-by"
MAKER = "cluster-test"
ENFORCE = "pod-security.kubernetes.io/enforce"


class Cluster:
    """`namespace` is this test's own; `release` is whose pods are meant."""

    def __init__(self, namespace: str, release: str) -> None:
        self.namespace, self.release = namespace, release

    # --- asking

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60.0) -> str:
        return output_of(["kubectl", "-n", self.namespace, *arguments], stdin=stdin, seconds=seconds)

    def get(self, kind: str, name: str = "", selector: str = "") -> Any:
        """An object, or the items of a list."""
        words = [*([name] if name else []), *(["-l", selector] if selector else [])]
        found = json.loads(self.kubectl("get", kind, *words, "-o", "json"))
        return found if name else found["items"]

    def find(self, kind: str, name: str) -> Any | None:
        """An object, or None where it is not there."""
        said = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(said) if said.strip() else None

    def pods(self, component: str = "") -> list[Pod]:
        """The release's pods of one component, or of all, without those of Jobs that ended."""
        chosen = f"app.kubernetes.io/instance={self.release}"
        chosen += f",app.kubernetes.io/component={component}" if component else ""
        found = [pod_of(item) for item in self.get("pods", selector=chosen)]
        return [pod for pod in found if pod.phase not in ("Succeeded", "Failed")]

    def pod(self, component: str) -> Pod:
        """The newest ready pod of a component. Raises CommandFailed where none is ready."""
        ready = [pod for pod in self.pods(component) if pod.ready]
        if not ready:
            raise CommandFailed(["kubectl", "get", "pods"], f"no pod of {component} is ready")
        return ready[-1]

    def secret(self, name: str) -> dict[str, bytes]:
        return {key: base64.b64decode(text) for key, text in self.get("secret", name)["data"].items()}

    def events(self, name: str) -> list[str]:
        """The messages of an object's warnings, the newest last."""
        chosen = f"involvedObject.name={name},type=Warning"
        found = json.loads(self.kubectl("get", "events", "--field-selector", chosen, "-o", "json"))["items"]
        return [f"{one.get('reason')}: {one.get('message', '')}" for one in found]

    def logs(self, what: str, *more: str) -> str:
        return self.kubectl("logs", what, *more)

    # --- waiting

    def wait_for_pods(self, wanted: Mapping[str, int], seconds: float) -> None:
        """Until every named component has exactly so many pods and all are ready."""

        def look() -> bool | NotYet:
            mine = [pod for pod in self.pods() if pod.component in wanted]
            missing = not_ready(mine, wanted)
            return NotYet("; ".join(missing)) if missing else True

        until("pods ready", look, seconds)

    def wait_for_job(self, name: str, seconds: float) -> Any:
        """The Job once it is complete."""

        def look() -> Any | NotYet:
            job = self.find("job", name)
            if job is None:
                return NotYet(f"there is no job {name}")
            if job.get("status", {}).get("succeeded"):
                return job
            pods = [pod_of(item) for item in self.get("pods", selector=f"job-name={name}")]
            return NotYet(", ".join(pod.described for pod in pods) or f"job {name} has no pod")

        return until(f"job {name}", look, seconds)

    # --- acting

    def create_like(self, level: str) -> None:
        """The namespace itself, with this level of pod security enforced."""
        labels = {LABEL: MAKER, ENFORCE: level}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}
        output_of(["kubectl", "create", "-f", "-"], stdin=json.dumps(body))

    def enforced(self) -> str:
        """The level of pod security of the namespace."""
        said = output_of(["kubectl", "get", "namespace", self.namespace, "-o", "json"])
        return str(json.loads(said)["metadata"]["labels"][ENFORCE])

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def kill(self, pod: Pod) -> None:
        """Without any grace: SIGKILL, and the successor does not wait for the end of the dead."""
        self.kubectl("delete", "pod", pod.name, "--grace-period=0", "--force", "--wait=false")

    def scale(self, what: str, replicas: int) -> None:
        self.kubectl("scale", what, f"--replicas={replicas}")

    def begin_to_remove(self) -> None:
        output_of(["kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"])

    def remove(self, seconds: float = 180.0) -> None:
        """The namespace with everything in it; waited for."""
        output_of(
            ["kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", f"--timeout={seconds:.0f}s"],
            seconds=seconds + 10,
        )

    def leftovers(self) -> list[str]:
        """What this namespace left in the cluster: volumes still claimed from it."""
        volumes: Sequence[Any] = json.loads(output_of(["kubectl", "get", "pv", "-o", "json"]))["items"]
        mine = [one for one in volumes if one["spec"].get("claimRef", {}).get("namespace") == self.namespace]
        return [f"persistentvolume/{one['metadata']['name']}" for one in mine]
