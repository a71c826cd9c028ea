"""What the cluster test needs is read from charts, nodes and pods as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.cluster.needs import Need, asked_by, images, quantity, room


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", "0.25"), ("2", "2"), ("1Ki", "1024"), ("1.5Gi", "1610612736"), ("16384256Ki", "16777478144"), (3, "3")],
)
def test_a_quantity_is_a_number(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


def test_what_is_no_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="'two' is no quantity"):
        quantity("two")


def a_pod(*cpus: str, init: str = "0", image: str = "app:1") -> dict[str, Any]:
    def container(cpu: str) -> dict[str, Any]:
        return {"image": image, "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}

    return {"initContainers": [container(init)], "containers": [container(cpu) for cpu in cpus]}


def test_a_pod_asks_for_its_containers_together_or_for_its_greediest_init_container() -> None:
    assert asked_by(a_pod("100m", "50m", init="120m"), "cpu") == Decimal("0.15")
    assert asked_by(a_pod("100m", "50m", init="1"), "cpu") == Decimal(1)


def a_node(cpu: str = "2", memory: str = "8Gi", names: list[str] | None = None) -> dict[str, Any]:
    return {"status": {"allocatable": {"cpu": cpu, "memory": memory}, "images": [{"names": names}]}}


def workloads(spec: dict[str, Any], replicas: int = 1) -> list[dict[str, Any]]:
    return [
        {"kind": "StatefulSet", "spec": {"replicas": replicas, "template": {"spec": spec}}},
        {"kind": "ConfigMap", "data": {}},
    ]


def test_room_is_what_the_nodes_have_without_what_bound_pods_ask_for() -> None:
    running = [{"status": {"phase": "Running"}, "spec": a_pod("1")}]
    ended = [{"status": {"phase": "Succeeded"}, "spec": a_pod("2")}]
    found = room(workloads(a_pod("400m"), replicas=2), [a_node()], running + ended)
    assert found == Need("room", True, "cpu 0.80 of 1.00 left, memory 2.00Gi of 7.00Gi left")


def test_a_node_that_is_too_small_is_named_with_both_numbers() -> None:
    found = room(workloads(a_pod("3")), [a_node()], [])
    assert found.holds is False
    assert "cpu 3.00 of 2.00 left" in found.said


def test_images_are_found_under_the_registry_that_is_meant_when_none_is_named() -> None:
    there = [a_node(names=["docker.io/library/app:1"]), a_node(names=None)]
    assert images(workloads(a_pod("1", image="app:1")), there).said == "1 on the nodes"
    assert images(workloads(a_pod("1", image="app:2")), there).said == "to be pulled: app:2"
