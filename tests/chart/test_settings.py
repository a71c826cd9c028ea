"""Every service accepts what the chart tells it, and is told everything that it needs."""

from __future__ import annotations

import os
import re
from importlib import import_module

import pytest

from libs.runtime.settings import ServiceSettings
from tests.chart.release import EVERY, NAME, SERVICES, Manifest, containers, named, of_kind, pod_templates, rendered

SECRETS = {"ORDER_ROUTING_JOURNAL_URL": "postgresql+psycopg://user:password@postgres:5432/journal"}


def environment(manifests: list[Manifest], component: str) -> dict[str, str]:
    """What the service's container is told: its ConfigMap, plain values, and something in the place of references."""
    pods = dict(pod_templates(manifests))
    kind = next(kind for kind in ("StatefulSet", "Deployment") if f"{kind} {NAME}-{component}" in pods)
    container = pods[f"{kind} {NAME}-{component}"]["spec"]["containers"][0]
    told: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            assert source["configMapRef"]["name"] == f"{NAME}-{component}"
            told |= named(manifests, "ConfigMap", component)["data"]
    for entry in container["env"]:
        told[entry["name"]] = entry.get("value", SECRETS.get(entry["name"], f"{NAME}-{component}-0"))
    return told


def loaded(component: str, told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    for name in list(os.environ):
        if any(name.startswith(service.upper().replace("-", "_")) for service in SERVICES):
            monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings: type[ServiceSettings] = import_module(f"services.{component.replace('-', '_')}.settings").Settings
    return settings.load()


@pytest.mark.parametrize("component", SERVICES)
@pytest.mark.parametrize("case", EVERY)
def test_a_service_starts_with_what_the_chart_tells_it(
    case: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered(case)
    if not any(one["metadata"]["name"] == f"{NAME}-{component}" for one in of_kind(manifests, "ConfigMap")):
        assert case != "dev"
        return
    settings = loaded(component, environment(manifests, component), monkeypatch)
    assert (settings.host, settings.grpc_port, settings.metrics_port) == ("0.0.0.0", 50051, 9464)


def test_what_serving_expects_is_what_features_are_made_of() -> None:
    manifests = rendered("dev")
    features = environment(manifests, "feature-store")
    serving = environment(manifests, "model-serving")
    assert int(serving["MODEL_SERVING_BAR_INTERVAL_NS"]) == int(features["FEATURE_STORE_BAR_SECONDS"]) * 10**9
    assert int(serving["MODEL_SERVING_EMISSION_INTERVAL_NS"]) == int(features["FEATURE_STORE_EMISSION_MS"]) * 10**6


@pytest.mark.parametrize("case", EVERY)
def test_all_services_read_one_environment_s_topics_and_believe_one_scope(case: str) -> None:
    data = [one["data"] for one in of_kind(rendered(case), "ConfigMap")]
    for ending in ("KAFKA__BOOTSTRAP", "KAFKA__TOPIC_PREFIX", "POLICIES", "GATE_KEYS", "INTEGRITY_KEYS"):
        assert len({value for one in data for name, value in one.items() if name.endswith(ending)}) == 1, ending
    scopes = {value for one in data for name, value in one.items() if name.endswith(("_SCOPE", "REQUIRED_SCOPE"))}
    assert len(scopes) == 1


def test_lag_is_asked_of_the_groups_that_the_services_read_in(monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = rendered("everything")
    asked = {one["metadata"]["name"]: one["spec"] for one in of_kind(manifests, "ScaledObject")}
    for component, topic in (("feature-store", "market.events"), ("model-serving", "features.vectors")):
        settings = loaded(component, environment(manifests, component), monkeypatch)
        kafka = settings.kafka.config()
        spec = asked[f"{NAME}-{component}"]
        trigger = spec["triggers"][0]["metadata"]
        assert trigger["consumerGroup"] == kafka.own(getattr(settings, "group", component.replace("-", "_")))
        assert trigger["topic"] == kafka.own(topic)
        assert trigger["bootstrapServers"] == kafka.bootstrap
        pods = next(one for one in of_kind(manifests, "StatefulSet") if one["metadata"]["name"].endswith(component))
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": f"{NAME}-{component}"}
        assert "replicas" not in pods["spec"], "an upgrade would undo what KEDA did"


@pytest.mark.parametrize("case", EVERY)
def test_a_changed_setting_makes_new_pods(case: str) -> None:
    options = ("--set", "environment.logLevel=WARNING")
    before, after = dict(pod_templates(rendered(case))), dict(pod_templates(rendered(case, *options)))
    for component in SERVICES:
        for kind in ("Deployment", "StatefulSet"):
            name = f"{kind} {NAME}-{component}"
            if name in before:
                sums = [pods[name]["metadata"]["annotations"]["checksum/settings"] for pods in (before, after)]
                assert sums[0] != sums[1], name


@pytest.mark.parametrize("case", EVERY)
def test_no_secret_is_written_into_anything(case: str) -> None:
    manifests = rendered(case)
    assert of_kind(manifests, "Secret") == []
    for one in of_kind(manifests, "ConfigMap"):
        if "dashboard" in one["metadata"]["name"]:
            continue
        for name, value in one["data"].items():
            assert not re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|JOURNAL_URL", name), name
            assert not re.search(r"://[^/\s]*:[^/\s]*@|PRIVATE KEY", value), name
    for name, pod in pod_templates(manifests):
        for container in containers(pod["spec"]):
            for entry in container.get("env", []):
                secret = re.search(r"PASSWORD$|SECRET|TOKEN$|_URL$|STORE_URI$", entry["name"])
                if secret and "value" in entry:
                    assert not re.search(r"://[^/\s]*:[^/\s]*@", entry["value"]), (name, entry["name"])
                    assert not entry["name"].endswith(("PASSWORD", "SECRET", "TOKEN")), (name, entry["name"])
