"""What a person asks first: `helm test`, and every service by grpcurl."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

from tests.cluster.platform import FEATURES, GRPC, ROUTING, SERVING, Platform
from tests.cluster.release import SERVICES, grpc_json, grpc_services
from tests.cluster.waiting import check, insisted

HELM_TEST_S = 240.0
WHOLE_S = 120.0  # until every feature's window is full after a gap
HEALTH = "grpc.health.v1.Health"
OWN = {
    "data-ingestion": "ingestion.v1.DataIngestionService",
    "feature-store": FEATURES,
    "model-serving": SERVING,
    "order-routing": ROUTING,
}


def helm_test(platform: Platform) -> list[str]:
    """`helm test` ends well; its own lines are the report."""
    began = time.monotonic()
    said = platform.release.test(HELM_TEST_S)
    lines = [line.strip() for line in said.splitlines()]
    phases = [line for line in lines if line.startswith("Phase:")]
    suites = [line for line in lines if line.startswith("TEST SUITE:") and not line.endswith("None")]
    check(bool(suites), "the chart has no test: helm test had nothing to do")
    check(all("Succeeded" in phase for phase in phases), f"helm test: {'; '.join(phases)}")
    told = [line for line in lines[lines.index(next(x for x in lines if x.startswith("POD LOGS"))) + 1 :] if line]
    return [f"green after {time.monotonic() - began:.0f} s; it said: {' | '.join(told[-6:])}"]


def grpcurl(platform: Platform) -> list[str]:
    """Every service lists itself by reflection, is SERVING, and answers one real call."""
    seen = []
    for component in SERVICES:
        address = platform.accounts.reach(component, GRPC)
        listed = insisted(f"{component} lists its services", partial(grpc_services, address))
        wanted = OWN.get(component, HEALTH)
        check(wanted in listed, f"{component} lists {', '.join(listed)}, not {wanted}")
        health = platform.rpc(component, f"{HEALTH}/Check", {}).get("status")
        check(health == "SERVING", f"{component} says {health}")
        seen.append(f"{component} SERVING, {_real_call(platform, component)}")
    return seen


def _real_call(platform: Platform, component: str) -> str:
    """One call that means something, and what came back."""
    if component == "data-ingestion":
        feed = platform.rpc(component, "ingestion.v1.DataIngestionService/ListFeeds", {})["feeds"][0]
        return f"feed {feed['instrument']} {feed['state'].removeprefix('FEED_STATE_').lower()}, {feed['events']} events"
    if component == "feature-store":
        vector = newest_vector(platform)
        return f"GetFeatures: vector {vector['id'][:8]}… of {vector['instrument']}"
    if component == "model-serving":
        said = insisted("a prediction", lambda: _prediction(platform), WHOLE_S)
        shown = dict(zip(said["classes"], (round(p, 3) for p in said["probabilities"]), strict=True))
        return f"Predict: {json.dumps(shown)} by version {said['model_version']}"
    if component == "order-routing":
        orders = platform.rpc(component, f"{ROUTING}/ListOrders", {"page_size": 5}).get("orders", [])
        check(bool(orders), "ListOrders is empty after the first fill")
        return f"ListOrders: {len(orders)} orders, the first is {orders[0]['state']}"
    if component == "archive":
        files = platform.accounts.archived()
        return f"{sum(files.values()):,} records archived in {len(files)} partitions"
    return f"session {platform.accounts.session().state}"


def _prediction(platform: Platform) -> Any:
    """Of the newest vector; one that is not whole yet is refused, and the next one asked for."""
    address = platform.accounts.reach("model-serving", GRPC)
    return grpc_json(address, f"{SERVING}/Predict", {"vector": newest_vector(platform)})["prediction"]


def newest_vector(platform: Platform) -> Any:
    """The newest vector of the instrument that the venue plays, as GetFeatures gives it."""
    instrument = platform.accounts.session().instrument
    return platform.rpc("feature-store", f"{FEATURES}/GetFeatures", {"instruments": [instrument]})["vectors"][0]
