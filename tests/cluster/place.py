"""A namespace of this test's own, and how strictly it may be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cluster.cluster import ENFORCE, Cluster
from tests.cluster.commands import CommandFailed
from tests.cluster.pods import pod_of
from tests.cluster.waiting import NotYet, until

PROBE = "volume-probe"
USER = 10001


def open_namespace(cluster: Cluster, image: str, say: Callable[[str], None]) -> str:
    """Makes the namespace; returns the pod security it enforces.

    Restricted, unless this cluster's volumes belong to root whatever fsGroup says: then an init container gives them
    to their pods (value persistence.fixOwner), which is baseline. A pod that writes to a volume finds out.
    """
    cluster.create_like("restricted")
    level = "restricted" if _may_write(cluster, image) else "baseline"
    if level == "baseline":
        cluster.kubectl("label", "namespace", cluster.namespace, "--overwrite", f"{ENFORCE}={level}")
    say(f"namespace {cluster.namespace}, pod security {level}")
    return level


def _may_write(cluster: Cluster, image: str) -> bool:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": PROBE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    cluster.apply(claim, _probe_pod(image))

    def look() -> bool | NotYet:
        pod = pod_of(cluster.get("pod", PROBE))
        return pod.phase == "Succeeded" if pod.phase in ("Succeeded", "Failed") else NotYet(pod.described)

    try:
        return until("a pod that writes to a volume", look, 120.0)
    finally:
        try:
            cluster.kubectl("delete", "pod", PROBE, "--grace-period=0", "--force", "--ignore-not-found")
            cluster.kubectl("delete", "pvc", PROBE, "--wait=false", "--ignore-not-found")
        except CommandFailed:
            pass  # the namespace goes at the end anyhow


def _probe_pod(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PROBE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "command": ["touch", "/volume/probe"],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
                }
            ],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": PROBE}}],
        },
    }
