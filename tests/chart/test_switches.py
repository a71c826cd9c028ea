"""Real money needs two switches, and what is missing is refused by name, with what to do."""

from __future__ import annotations

import pytest

from tests.chart.release import CHART, Refused, case_file, named, render, rendered

ENABLED = "account.live.enabled"
UNDERSTOOD = "account.live.iUnderstandThatThisTradesRealMoney"


def refusal(case: str, *options: str) -> str:
    with pytest.raises(Refused) as refused:
        render(case_file(case), options=tuple(word for option in options for word in ("--set", option)))
    return str(refused.value)


@pytest.mark.parametrize("missing", [ENABLED, UNDERSTOOD])
def test_one_switch_alone_does_not_trade_real_money(missing: str) -> None:
    said = refusal("live", f"{missing}=false")
    other = ({ENABLED, UNDERSTOOD} - {missing}).pop()
    assert f"{missing} is false" in said
    assert other in said


def test_without_both_switches_both_are_named() -> None:
    said = refusal("live", f"{ENABLED}=false", f"{UNDERSTOOD}=false")
    assert f"{ENABLED} is false" in said
    assert f"{UNDERSTOOD} is false" in said


@pytest.mark.parametrize("switch", [ENABLED, UNDERSTOOD])
def test_a_switch_without_scope_live_is_refused(switch: str) -> None:
    assert "account.scope is SIMULATED" in refusal("dev", f"{switch}=true")


@pytest.mark.parametrize("scope", ["SIMULATED", "PAPER"])
def test_the_real_venue_needs_scope_live(scope: str) -> None:
    said = refusal("live", f"account.scope={scope}", f"{ENABLED}=false", f"{UNDERSTOOD}=false")
    assert f"account.scope is {scope}" in said
    assert f"{ENABLED} is false" in said


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("account.policies=null", "account.policies is empty"),
        ("dev.enabled=true", "dev.enabled is true"),
        ("keys.publicSecret=trading-platform-public-keys", "keys.publicSecret trading-platform-public-keys"),
    ],
)
def test_real_money_does_not_stand_on_development_keys_or_any_policy(option: str, named: str) -> None:
    assert named in refusal("live", option)


def test_real_money_needs_its_policies_in_both_places_that_believe_evidence() -> None:
    manifests = rendered("live")
    digests = {
        named(manifests, "ConfigMap", component)["data"][f"{component.upper().replace('-', '_')}_POLICIES"]
        for component in ("model-serving", "order-routing")
    }
    assert len(digests) == 1
    assert digests.pop()


def test_the_production_profile_alone_names_everything_that_is_missing() -> None:
    with pytest.raises(Refused) as refused:
        render(CHART / "values-production.yaml")
    for name in ("kafka.bootstrap", "mlflow.uri", "journal.existingSecret", "keys.publicSecret", "venue.keySecret"):
        assert f"{name} is empty" in str(refused.value)


def test_a_venue_of_ones_own_needs_its_own_key() -> None:
    own = ("venue.httpUrl=https://api-testnet.bybit.com", "venue.streamUrl=wss://stream-testnet.bybit.com")
    assert "venue.keySecret is empty: the key that this release makes is for its simulator" in refusal("dev", *own)
    told = tuple(word for one in (*own, "venue.keySecret=bybit-key") for word in ("--set", one))
    mounts = named(render(case_file("dev"), options=told), "Deployment", "order-routing")["spec"]["template"]["spec"]
    assert "bybit-key" in str(mounts["volumes"])


@pytest.mark.parametrize(("case", "learns"), [("dev", "dev.firstModel"), ("production", "argo.enabled")])
def test_what_learns_from_the_archive_is_refused_without_one(case: str, learns: str) -> None:
    assert f"{learns} " in refusal(case, "archive.enabled=false", "archive.place=")


def test_no_values_at_all_are_answered_with_the_profiles() -> None:
    with pytest.raises(Refused, match=r"values-dev\.yaml"):
        render()


@pytest.mark.parametrize(
    ("switch", "api"),
    [
        ("monitoring.serviceMonitor.enabled", "monitoring.coreos.com/v1"),
        ("monitoring.rules.enabled", "monitoring.coreos.com/v1"),
        ("autoscaling.keda.enabled", "keda.sh/v1alpha1"),
        ("argo.enabled", "argoproj.io/v1alpha1"),
    ],
)
def test_a_custom_resource_that_the_cluster_does_not_know_is_refused_by_name(switch: str, api: str) -> None:
    said = refusal("dev", f"{switch}=true")
    assert switch in said
    assert api in said
    known = render(case_file("dev"), options=("--set", f"{switch}=true", "--api-versions", api))
    assert any(one["apiVersion"] == api for one in known)
