"""Pods have no rights, say how they are, ask for what they need, and end well."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.chart.release import (
    CHART,
    EVERY,
    NAME,
    SERVICES,
    Manifest,
    case_file,
    containers,
    of_kind,
    pod_templates,
    render,
    rendered,
)

GIVES_A_VOLUME = "own-"  # the init container that is root: only where a provisioner's volumes belong to root
RESTRICTED = ("--set", "persistence.fixOwner=never")


def argo_steps(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Every step of retraining with its pod's and its container's own words."""
    for one in of_kind(manifests, "WorkflowTemplate"):
        for step in one["spec"]["templates"]:
            if "container" in step:
                yield step["name"], one["spec"] | step, step["container"]


@pytest.mark.parametrize("case", EVERY)
def test_pods_obey_the_restricted_standard(case: str) -> None:
    for name, pod in pod_templates(rendered(case, *RESTRICTED)):
        spec = pod["spec"]
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        assert {kind for volume in spec.get("volumes", []) for kind in volume} - {"name"} <= allowed, name
        for container in containers(spec):
            assert_no_rights(f"{name}: {container['name']}", container)


def assert_no_rights(name: str, container: Manifest) -> None:
    own = container["securityContext"]
    assert own["allowPrivilegeEscalation"] is False, name
    assert own["readOnlyRootFilesystem"] is True, name
    assert own["capabilities"] == {"drop": ["ALL"]}, name
    assert own.get("runAsNonRoot", True) is True, name
    assert own.get("runAsUser", 1) != 0, name
    assert own.get("privileged", False) is False, name


def test_the_steps_of_retraining_obey_it_too() -> None:
    steps = list(argo_steps(rendered("everything", *RESTRICTED)))
    assert steps
    for name, spec, container in steps:
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for before in spec.get("initContainers", []):
            assert_no_rights(name, before)
        assert_no_rights(name, container)
        assert container["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("case", EVERY)
def test_only_the_giver_of_a_volume_is_root_and_it_may_do_nothing_else(case: str) -> None:
    for name, pod in pod_templates(rendered(case, "--set", "persistence.fixOwner=always")):
        for container in containers(pod["spec"]):
            if container["name"].startswith(GIVES_A_VOLUME):
                own = container["securityContext"]
                assert own["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}, name
                assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/volume"], name
            else:
                assert_no_rights(f"{name}: {container['name']}", container)


@pytest.mark.parametrize("case", EVERY)
def test_every_container_asks_for_what_it_needs_and_leaves_its_last_words(case: str) -> None:
    for name, pod in pod_templates(rendered(case)):
        for container in containers(pod["spec"]):
            where = f"{name}: {container['name']}"
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), where
            assert "memory" in resources["limits"], where
            assert "cpu" not in resources["limits"], f"{where}: a limit of CPU delays orders"
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", where
            assert container["imagePullPolicy"] in ("IfNotPresent", "Always"), where


@pytest.mark.parametrize("case", EVERY)
def test_a_service_has_probes_and_time_to_end(case: str) -> None:
    for one in of_kind(rendered(case), "Deployment", "StatefulSet"):
        spec = one["spec"]["template"]["spec"]
        main = spec["containers"][0]
        name = one["metadata"]["name"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(main), name
        assert spec["terminationGracePeriodSeconds"] >= 30, name
        if main["name"] in SERVICES:
            assert main["startupProbe"]["grpc"] == main["livenessProbe"]["grpc"] == {"port": 50051, "service": "live"}
            assert main["readinessProbe"]["grpc"] == {"port": 50051}
            assert spec["topologySpreadConstraints"], name
            assert spec["shareProcessNamespace"] is True, f"{name}: process 1 is deaf to SIGTERM until it listens"


@pytest.mark.parametrize("case", EVERY)
def test_a_pod_has_a_token_only_where_it_speaks_to_the_cluster(case: str) -> None:
    for name, pod in pod_templates(rendered(case)):
        has_token = pod["spec"].get("automountServiceAccountToken", True)
        assert has_token == ("-secrets-r" in name), name


@pytest.mark.parametrize("case", EVERY)
def test_a_private_key_is_mounted_only_where_something_is_signed(case: str) -> None:
    for name, pod in pod_templates(rendered(case)):
        sources = [source for volume in pod["spec"].get("volumes", []) for source in secrets_of(volume)]
        private = [source for source in sources if re.search(r"training-key|gate-key", source)]
        assert not private or "first-model" in name, (name, private)


def test_retraining_mounts_one_private_key_a_step() -> None:
    for name, _, container in argo_steps(rendered("everything")):
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])} & {"training-key", "gate-key"}
        assert len(mounted) <= 1, (name, mounted)


def secrets_of(volume: Manifest) -> list[str]:
    own = [volume["secret"]["secretName"]] if "secret" in volume else []
    return own + [one["secret"]["name"] for one in volume.get("projected", {}).get("sources", []) if "secret" in one]


@pytest.mark.parametrize("case", EVERY)
def test_every_mount_has_its_volume_and_every_volume_its_mount(case: str) -> None:
    for one in of_kind(rendered(case), "Deployment", "StatefulSet", "Job"):
        spec = one["spec"]["template"]["spec"]
        claims = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        volumes = claims | {volume["name"] for volume in spec.get("volumes", [])}
        mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        assert mounted == volumes, one["metadata"]["name"]


def test_one_of_a_kind_is_never_two() -> None:
    manifests = rendered("everything")
    for component in ("order-routing", "data-ingestion"):
        one = next(one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"] == f"{NAME}-{component}")
        assert one["spec"]["replicas"] == 1
        assert one["spec"]["strategy"] == {"type": "Recreate"}


def test_images_come_from_values_alone() -> None:
    given = [
        *("image.registry=one.example", "image.tag=seven"),
        *("dev.kafka.image=two.example/kafka:4", "dev.postgres.image=three.example/postgres:5"),
    ]
    options = tuple(word for value in given for word in ("--set", value))
    manifests = render(case_file("dev"), options=options)
    images = {container["image"] for _, pod in pod_templates(manifests) for container in containers(pod["spec"])}
    known = {"two.example/kafka:4", "three.example/postgres:5"}
    assert {
        image for image in images if not re.fullmatch(r"one\.example/trading-platform/[a-z-]+:seven", image)
    } == known
    for template in sorted((CHART / "templates").iterdir()):
        for line in template.read_text().splitlines():
            assert not re.search(r"^\s*image:\s*[\w./-]+:[\w.]+\s*$", line), (template.name, line)
