"""Pods' complaints are what Kubernetes wrote into their status."""

from __future__ import annotations

from typing import Any

from tests.cluster.pods import complaints, not_ready, pod_of


def an_item(component: str = "archive", ready: bool = True, **head: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{component}-0", "uid": "1", "labels": {"app.kubernetes.io/component": component}} | head,
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": component, "restartCount": 2, "state": {"running": {}}}],
        },
    }


def test_a_running_pod_has_nothing_to_complain_of() -> None:
    pod = pod_of(an_item())
    assert (pod.ready, pod.restarts, pod.complaints) == (True, 2, ())


def test_a_pod_that_is_being_deleted_is_not_ready() -> None:
    assert not pod_of(an_item(deletionTimestamp="2026-11-21T14:00:00Z")).ready


def test_the_scheduler_an_image_and_an_init_container_are_heard() -> None:
    status = {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu."}
        ],
        "initContainerStatuses": [
            {
                "name": "wait-topics",
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                "lastState": {"terminated": {"exitCode": 1, "message": "gave up after 60 s: topics are missing"}},
            }
        ],
        "containerStatuses": [
            {"name": "archive", "state": {"waiting": {"reason": "PodInitializing"}}},
            {"name": "kafka", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
        ],
    }
    assert list(complaints(status)) == [
        "Unschedulable: 1 Insufficient cpu.",
        "wait-topics: CrashLoopBackOff back-off 10s",
        "wait-topics: ended with 1 gave up after 60 s: topics are missing",
        "kafka: ErrImagePull not found",
    ]


def test_a_good_end_is_no_complaint() -> None:
    ended = {"name": "wait", "state": {"terminated": {"exitCode": 0, "message": "all is there"}}}
    assert list(complaints({"initContainerStatuses": [ended]})) == []


def test_too_many_pods_are_not_ready_either() -> None:
    pods = [pod_of(an_item()), pod_of(an_item(ready=False))]
    assert not_ready(pods, {"archive": 1, "kafka": 1}) == [
        "archive has 2 of 1 pods",
        "archive-0 Running",
        "kafka has 0 of 1 pods",
    ]
    assert not_ready(pods[:1], {"archive": 1}) == []
