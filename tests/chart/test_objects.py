"""Which objects a release has, that they find each other, and that Jobs are made anew with each revision."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.chart.release import (
    CASES,
    CHART,
    EVERY,
    NAME,
    NAMESPACE,
    Manifest,
    case_file,
    containers,
    named,
    of_kind,
    pod_templates,
    render,
    rendered,
)

SELECTING = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}


def claims(manifest: Manifest) -> list[str]:
    return [claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])]


@pytest.mark.parametrize("case", CASES)
def test_the_objects_of_a_release(case: str, snapshot: SnapshotAssertion) -> None:
    assert sorted(f"{one['kind']}/{one['metadata']['name']}" for one in rendered(case)) == snapshot


@pytest.mark.parametrize("case", EVERY)
def test_no_two_objects_have_one_name(case: str) -> None:
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in rendered(case)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", EVERY)
def test_every_object_says_whose_it_is(case: str) -> None:
    for one in rendered(case):
        labels = one["metadata"]["labels"]
        where = f"{one['kind']} {one['metadata']['name']}"
        assert labels["app.kubernetes.io/name"] == "trading-platform", where
        assert labels["app.kubernetes.io/instance"] == NAME, where
        assert labels["app.kubernetes.io/managed-by"] == "Helm", where
        assert {"app.kubernetes.io/component", "app.kubernetes.io/version"} <= set(labels), where
        assert one["metadata"]["name"].startswith(NAME), where


@pytest.mark.parametrize("case", EVERY)
def test_selectors_find_the_pods_of_one_workload_and_no_others(case: str) -> None:
    manifests = rendered(case)
    labels = {name: pod["metadata"]["labels"] for name, pod in pod_templates(manifests)}
    for one in of_kind(manifests, "Deployment", "StatefulSet", "PodDisruptionBudget", "Service"):
        selector: dict[str, Any] = one["spec"]["selector"].get("matchLabels", one["spec"]["selector"])
        where = f"{one['kind']} {one['metadata']['name']}"
        assert set(selector) == SELECTING, f"{where}: a selector never changes, so it has no version"
        found = [name for name, own in labels.items() if selector.items() <= own.items()]
        assert [name.partition(" ")[2] for name in found] == [one["metadata"]["name"]], where


@pytest.mark.parametrize("case", EVERY)
def test_services_lead_to_ports_that_their_pods_have(case: str) -> None:
    manifests = rendered(case)
    pods = dict(pod_templates(manifests))
    for one in of_kind(manifests, "Service"):
        name = one["metadata"]["name"]
        pod = next(pods[f"{kind} {name}"] for kind in ("StatefulSet", "Deployment") if f"{kind} {name}" in pods)
        there = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        for port in one["spec"]["ports"]:
            assert there[port["targetPort"]] == port["port"], (name, port)


@pytest.mark.parametrize("case", EVERY)
def test_a_caller_of_a_service_sees_each_of_its_pods(case: str) -> None:
    for one in of_kind(rendered(case), "Service"):
        if any(port["name"] == "grpc" for port in one["spec"]["ports"]):
            assert one["spec"]["clusterIP"] == "None", one["metadata"]["name"]


@pytest.mark.parametrize("case", EVERY)
def test_jobs_are_named_by_revision_and_are_no_hooks(case: str) -> None:
    for one in of_kind(rendered(case), "Job"):
        assert one["metadata"]["name"].endswith("-r1")
        assert not any(name.startswith("helm.sh/hook") for name in one["metadata"].get("annotations", {}))


def test_a_job_s_name_has_the_revision_s_number_wherever_it_is_made() -> None:
    """Helm renders revision 1 without a cluster, so that the template itself is read."""
    text = (CHART / "templates" / "_job.tpl").read_text()
    assert "-r{{ $root.Release.Revision }}" in text
    jobs = [file.name for file in (CHART / "templates").iterdir() if "\nkind: Job\n" in file.read_text()]
    assert jobs == ["_job.tpl"]


def test_nothing_but_jobs_knows_the_revision() -> None:
    """A pod that named it would begin anew with every upgrade."""
    knows = {file.name for file in (CHART / "templates").iterdir() if ".Release.Revision" in file.read_text()}
    assert knows == {"_job.tpl", "NOTES.txt"}


@pytest.mark.parametrize("case", EVERY)
def test_a_pod_that_waits_for_topics_leads_to_the_log_of_the_job_that_makes_them(case: str) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pod_templates(rendered(case))}
    waits = [
        one
        for _, pod in pod_templates(rendered(case))
        for one in containers(pod["spec"])
        if one["name"] == "wait-topics"
    ]
    assert len(waits) >= 5
    for one in waits:
        command, chosen = one["command"][one["command"].index("--log") + 1].split(" -l ")
        assert command == f"kubectl logs -n {NAMESPACE}"
        selector = dict(label.split("=") for label in chosen.split(","))
        assert [name for name, own in labels.items() if selector.items() <= own.items()] == [f"Job {NAME}-topics-r1"]


@pytest.mark.parametrize("case", EVERY)
def test_volumes_of_data_outlive_the_release(case: str) -> None:
    for one in of_kind(rendered(case), "PersistentVolumeClaim"):
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", one["metadata"]["name"]


@pytest.mark.parametrize("case", EVERY)
def test_accounts_are_there_and_rights_are_few(case: str) -> None:
    manifests = rendered(case)
    accounts = {one["metadata"]["name"] for one in of_kind(manifests, "ServiceAccount")}
    for name, pod in pod_templates(manifests):
        assert pod["spec"].get("serviceAccountName", "default") in accounts | {"default"}, name
    rights = {
        (resource, verb)
        for one in of_kind(manifests, "Role")
        for rule in one["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights <= {
        ("secrets", "create"),
        ("secrets", "get"),
        ("workflowtaskresults", "create"),
        ("workflowtaskresults", "patch"),
    }
    assert of_kind(manifests, "ClusterRole", "ClusterRoleBinding") == []


def test_what_is_switched_off_is_not_there() -> None:
    switches = ("dataIngestion", "featureStore", "modelServing", "orderRouting", "archive")
    options = tuple(word for switch in switches for word in ("--set", f"{switch}.enabled=false"))
    manifests = render(case_file("minimal"), options=options)
    left = {one["metadata"]["name"].removeprefix(f"{NAME}-") for one in manifests}
    assert not {"data-ingestion", "feature-store", "model-serving", "order-routing", "archive", "migrate-r1"} & left


def test_stateful_services_keep_their_volumes() -> None:
    manifests = rendered("dev")
    assert claims(named(manifests, "StatefulSet", "model-serving")) == ["models"]
    assert claims(named(manifests, "StatefulSet", "exchange-simulator")) == ["state"]
    for component in ("kafka", "postgres", "mlflow"):
        assert claims(named(manifests, "StatefulSet", component)) == ["data"]
