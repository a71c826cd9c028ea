"""Pods that die and services that grow and shrink, under load: nothing is lost, nothing is doubled."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from libs.trading.features.catalogue import full_spec
from libs.trading.scoring import Role
from tests.cluster.platform import FEATURES, Platform, audited
from tests.cluster.scores import joined, since
from tests.cluster.waiting import NotYet, check, until

# The venue last: its successor plays an hour of past before it trades again.
VICTIMS = (
    "feature-store",
    "model-serving",
    "order-routing",
    "archive",
    "kafka",
    "postgres",
    "mlflow",
    "data-ingestion",
    "exchange-simulator",
)
AGAIN_S = 120.0  # from SIGKILL until the successor and everything beside it is ready
FLOW_S = 240.0
SCALED = ("feature-store", "model-serving")
PAST_S = 120
SHARED_S = 120.0  # until a member more or less has its partitions


def kill(platform: Platform) -> list[str]:
    """SIGKILL for every pod, one after the other, while it trades; then the audit."""
    seen = _shorten_past(platform)
    platform.wait_for_flow(FLOW_S)
    orders, fills = len(platform.orders()), platform.fills()
    took: dict[str, float] = {}
    for component in VICTIMS:
        took[component] = _killed(platform, component)
        platform.say(f"killed {component}: ready again after {took[component]:.0f} s")
    until("the venue trades again", lambda: _trades(platform), FLOW_S)
    platform.wait_for_flow(FLOW_S)
    platform.wait_for_fills(1, FLOW_S)
    report, _ = platform.audit()
    more = f"{len(platform.orders()) - orders} orders and {platform.fills() - fills} fills since the first kill"
    slowest = max(took, key=lambda name: took[name])
    return [
        seen,
        "ready again after: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items()),
        f"slowest {slowest}, allowed {AGAIN_S:.0f} s; {more}",
        audited(report),
    ]


def _shorten_past(platform: Platform) -> str:
    """The venue's past has served its purpose, the first model: each of its starts would play all of it again."""
    began = time.monotonic()
    platform.release.keep({"exchangeSimulator": {"trainingSeconds": PAST_S}})
    platform.ready()
    until("the venue trades", lambda: _trades(platform), FLOW_S)
    return (
        f"the venue's past shortened to {PAST_S} s by an upgrade: trading again after {time.monotonic() - began:.0f} s"
    )


def _killed(platform: Platform, component: str) -> float:
    victim = platform.cluster.pod(component)
    began = time.monotonic()
    platform.cluster.kill(victim)

    def look() -> bool | NotYet:
        here = platform.cluster.pods(component)
        alive = [pod for pod in here if pod.uid != victim.uid and pod.ready]
        return True if alive else NotYet(", ".join(pod.described for pod in here) or "no pod yet")

    until(f"{component} ready after SIGKILL", look, AGAIN_S)
    platform.ready(AGAIN_S)
    return time.monotonic() - began


def _trades(platform: Platform) -> bool | NotYet:
    state = platform.accounts.session().state
    return True if state == "TRADING" else NotYet(f"the session is {state}")


def scale(platform: Platform) -> list[str]:
    """feature-store and model-serving to two and back; every vector has one answer of each role."""
    platform.wait_for_flow(FLOW_S)
    served = platform.models()["models"]
    began = dict(platform.accounts.ends())
    seen = []
    for count in (2, 1):
        for component in SCALED:
            platform.cluster.scale(f"statefulset/{platform.release.name}-{component}", count)
            platform.wanted[component] = count
        took = platform.ready(SHARED_S)
        platform.wait_for_flow(SHARED_S)
        seen.append(f"{count} of each ready after {took:.0f} s, the log goes on")
        platform.say(seen[-1])
    report, topics = platform.audit()
    check(platform.models()["models"] == served, "another model serves than before: the count by role means nothing")
    first = {part: end for (topic, part), end in began.items() if topic == "features.vectors"}
    scores = joined(
        since(topics["features.vectors"], first),
        topics["predictions"],
        positions(platform, served[0]["feature_names"]),
        roles_of(served),
    )
    check(not scores.differences, "; ".join(scores.differences[:5]))
    return [", ".join(seen), scores.told, audited(report)]


def roles_of(served: list[dict[str, Any]]) -> list[Role]:
    """Who answers: a challenger that is the champion's bundle says nothing of its own."""
    digests = {one["role"]: one["bundle_digest"] for one in served}
    if digests.get("ROLE_CHALLENGER") == digests.get("ROLE_CHAMPION"):
        digests.pop("ROLE_CHALLENGER", None)
    return [Role[role.removeprefix("ROLE_")] for role in digests]


def positions(platform: Platform, names: list[str]) -> np.typing.NDArray[np.intp]:
    """Where features lie in the vectors of this release."""
    said = platform.rpc("feature-store", f"{FEATURES}/DescribeFeatures", {})
    spec = full_spec(int(said["bar_interval_ns"]), int(said["emission_interval_ns"]))
    check(spec.hash == said["spec_hash"], "this tree and the release compute other features: their specs differ")
    order = {feature.name: place for place, feature in enumerate(spec.features)}
    return np.array([order[name] for name in names], dtype=np.intp)
