"""Network policies allow exactly the declared paths, and nothing else."""

from __future__ import annotations

import pytest
import yaml

from tests.chart.network import DNS, inside, outside, pods_of, policies
from tests.chart.release import CHART, EVERY, Manifest, case_file, of_kind, render, rendered

GRPC, METRICS, VENUE, KAFKA, POSTGRES, MLFLOW = 50051, 9464, 8080, 9092, 5432, 5000
SERVICES = ("data-ingestion", "feature-store", "model-serving", "order-routing", "archive")

# Who talks to whom inside of a release of the profile `dev`, and at which port.
DEV = {
    ("data-ingestion", "kafka", KAFKA),
    ("data-ingestion", "exchange-simulator", VENUE),
    ("feature-store", "kafka", KAFKA),
    ("model-serving", "kafka", KAFKA),
    ("model-serving", "mlflow", MLFLOW),
    ("order-routing", "kafka", KAFKA),
    ("order-routing", "postgres", POSTGRES),
    ("order-routing", "exchange-simulator", VENUE),
    ("archive", "kafka", KAFKA),
    ("mlflow", "postgres", POSTGRES),
    ("topics", "kafka", KAFKA),
    ("migrate", "postgres", POSTGRES),
    ("first-model", "kafka", KAFKA),
    ("first-model", "mlflow", MLFLOW),
    ("first-model", "archive", GRPC),
    ("first-model", "exchange-simulator", VENUE),
    *(("test", service, GRPC) for service in (*SERVICES, "exchange-simulator")),
}
RETRAINING = {("retrain", "kafka", KAFKA), ("retrain", "mlflow", MLFLOW), ("retrain", "exchange-simulator", VENUE)}
# Who leaves a release of the profile `production`, and at which port.
PRODUCTION = {
    *((service, KAFKA) for service in SERVICES),
    *((service, 4318) for service in SERVICES),
    ("data-ingestion", 443),
    ("order-routing", 443),
    ("order-routing", POSTGRES),
    ("model-serving", MLFLOW),
    ("archive", 443),
    ("topics", KAFKA),
    ("migrate", POSTGRES),
    ("retrain", KAFKA),
    ("retrain", MLFLOW),
    ("retrain", 443),
}


def all_ports(manifests: list[Manifest]) -> set[int]:
    """Every port that a policy or a container names, and one that nobody does."""
    named = {
        one["port"]
        for policy in of_kind(manifests, "NetworkPolicy")
        for direction in ("ingress", "egress")
        for rule in (policy["spec"].get(direction) or [])
        for one in rule["ports"]
    }
    return named | {GRPC, METRICS, VENUE, KAFKA, POSTGRES, MLFLOW, 9093, 19092, 12345}


@pytest.mark.parametrize("case", ["dev", "profile dev"])
def test_the_paths_inside_of_a_development_release(case: str) -> None:
    manifests = rendered(case)
    assert inside(manifests, all_ports(manifests)) == DEV


def test_a_development_release_leaves_itself_only_to_make_its_secrets() -> None:
    assert {component for component, _ in outside(rendered("dev"))} == {"secrets"}


def test_the_paths_inside_of_everything() -> None:
    manifests = rendered("everything")
    assert inside(manifests, all_ports(manifests)) - DEV == RETRAINING


def test_whoever_reads_the_archive_in_a_bucket_may_go_there() -> None:
    leaves = outside(rendered("everything"))
    assert {component for component, port in leaves if port == 9000} == {"archive", "first-model", "retrain"}


def test_a_path_is_declared_once() -> None:
    rows = yaml.safe_load((CHART / "files" / "paths.yaml").read_text())
    assert [row for row in rows if rows.count(row) > 1] == []


def test_the_paths_of_a_production_release() -> None:
    manifests = rendered("production")
    between = inside(manifests, all_ports(manifests))
    assert {path for path in between if path[0] != "test"} == set()
    leaves = outside(manifests)
    assert leaves >= PRODUCTION
    of_clusters = {("retrain", 6443), ("retrain", 587)}
    assert leaves - PRODUCTION <= of_clusters


@pytest.mark.parametrize("case", EVERY)
def test_every_pod_is_restricted_in_both_directions(case: str) -> None:
    manifests = rendered(case)
    for pods in pods_of(manifests):
        for direction in ("Ingress", "Egress"):
            assert len(policies(manifests, pods, direction)) >= 2, f"{pods.component}: the default and its own"
    default = next(one for one in of_kind(manifests, "NetworkPolicy") if "default" in one["metadata"]["name"])
    assert not {"ingress", "egress"} & set(default["spec"]), "the default allows nothing"


@pytest.mark.parametrize("case", EVERY)
def test_strangers_may_call_rpcs_and_read_metrics_where_the_values_say_so(case: str) -> None:
    strangers = [
        (policy["metadata"]["labels"]["app.kubernetes.io/component"], one["port"])
        for policy in of_kind(rendered(case), "NetworkPolicy")
        for rule in (policy["spec"].get("ingress") or [])
        for peer in rule["from"]
        if "app.kubernetes.io/instance" not in peer.get("podSelector", {}).get("matchLabels", {})
        for one in rule["ports"]
    ]
    assert {port for _, port in strangers} == {GRPC, METRICS}
    assert {component for component, _ in strangers} <= {*SERVICES, "exchange-simulator"}


def test_nobody_from_outside_when_nobody_is_named() -> None:
    options = ("--set", "networkPolicy.clients=null", "--set", "networkPolicy.monitoring=null")
    for policy in of_kind(render(case_file("dev"), options=options), "NetworkPolicy"):
        for rule in policy["spec"].get("ingress") or []:
            for peer in rule["from"]:
                assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "trading-platform"


@pytest.mark.parametrize("case", EVERY)
def test_everybody_may_resolve_names(case: str) -> None:
    for policy in of_kind(rendered(case), "NetworkPolicy"):
        if "default" not in policy["metadata"]["name"]:
            ports = {
                (one["port"], one.get("protocol", "TCP")) for rule in policy["spec"]["egress"] for one in rule["ports"]
            }
            assert {(DNS, "UDP"), (DNS, "TCP")} <= ports, policy["metadata"]["name"]


def test_policies_can_be_left_to_somebody_else() -> None:
    assert of_kind(rendered("dev", "--set", "networkPolicy.enabled=false"), "NetworkPolicy") == []
