"""A person moves `champion` in MLflow: an accepted version serves within seconds, a refused one never does."""

from __future__ import annotations

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from protos.alerts.v1 import alerts_pb2
from tests.cluster.case_faults import FLOW_S
from tests.cluster.platform import Platform
from tests.cluster.registry import RegistryPages, Version
from tests.cluster.retraining import retrain
from tests.cluster.waiting import Failed, NotYet, check, until
from tests.cluster.workflows import window_of

METRICS = 9464
SWAP_S = 30.0  # the reconciler looks every few seconds, then downloads and checks
# What no model survives: every trade costs half a per cent a side, so the best threshold is never to trade.
REFUSED = {"window": "40m", "taker-fee-bps": "50"}
OTHERS = (0.95, 0.9, 0.85)  # of the first window, and its end: other windows, so other versions


def promotion(platform: Platform) -> list[str]:
    """Accepted: served within seconds, both ways. Refused: seen in four places, and what served goes on serving."""
    pages = pages_of(platform)
    good = with_evidence(platform, pages)
    refused = refused_version(platform, pages)
    back = until("a champion", lambda: platform.champion() or NotYet("none"), SWAP_S)
    there = next(number for number in reversed(good) if number != back)
    told = [f"version {there} (evidence SIMULATED) serves {_moved(platform, pages, there):.0f} s after champion moved"]
    told.append(f"version {back} again after {_moved(platform, pages, back):.0f} s")
    try:
        told += _refusal(platform, pages, refused, back)
    finally:
        pages.move("champion", back)
    return told


def pages_of(platform: Platform) -> RegistryPages:
    """The release's MLflow."""
    return RegistryPages(lambda: platform.accounts.reach("mlflow", 5000))


def with_evidence(platform: Platform, pages: RegistryPages) -> list[int]:
    """At least two versions with evidence; made by runs of the pipeline where there are fewer."""
    good: list[int] = []
    for number, share in enumerate((None, *OTHERS)):
        if share is not None:
            minutes, end = window_of(pages.version(good[0]).run)
            retrain(platform, f"retrain-{number}", {"window": f"{int(minutes * share)}m", "until": end})
        good = [version.number for version in pages.versions() if version.scope == "SIMULATED"]
        if len(good) > 1:
            return good
    raise Failed(f"{len(OTHERS)} runs of the pipeline gave no second version with evidence SIMULATED, only {good}")


def refused_version(platform: Platform, pages: RegistryPages) -> Version:
    """A version that the gate refused its evidence; made at fees that nothing earns where there is none."""
    for made in (False, True):
        if made:
            retrain(platform, "retrain-dear", REFUSED)
        found = [v for v in pages.versions() if v.scope == "NONE" and v.integrity]
        if found:
            return found[-1]
    raise Failed(f"a run with {REFUSED} was not refused its evidence, or not its evidence alone")


def _moved(platform: Platform, pages: RegistryPages, number: int) -> float:
    """Seconds from moving the alias until that version serves; the log then goes on with it."""
    pages.move("champion", number)
    began = time.monotonic()

    def look() -> bool | NotYet:
        now = platform.champion()
        return True if now == number else NotYet(f"version {now} serves: {platform.models().get('refused')}")

    until(f"version {number} as champion", look, SWAP_S, pause=0.5)
    took = time.monotonic() - began
    platform.say(f"champion is version {number}, after {took:.0f} s")
    return took


def _refusal(platform: Platform, pages: RegistryPages, refused: Version, serving: int) -> list[str]:
    alerts = len(platform.accounts.topic("alerts"))
    pages.move("champion", refused.number)
    began = time.monotonic()
    tag = until("the refusal as a tag", lambda: _tag(pages, refused.number), SWAP_S, pause=0.5)
    took = time.monotonic() - began
    line = until("the refusal in the log", lambda: _log_line(platform, refused.number), SWAP_S)
    metric = until("the refusal as a metric", lambda: _metric(platform, refused.number), SWAP_S)
    alert = until("the alert", lambda: _alert(platform, alerts, refused.number), SWAP_S)
    check(platform.champion() == serving, f"version {platform.champion()} serves instead of {serving}")
    platform.cluster.kill(platform.cluster.pod("model-serving"))
    platform.cluster.wait_for_pods(platform.wanted | {"model-serving": 1}, 120.0)
    kept = until("the last accepted version after the kill", lambda: platform.champion() or NotYet("none yet"), 60.0)
    check(kept == serving, f"after the pod was killed version {kept} serves instead of {serving}")
    platform.wait_for_flow(FLOW_S)
    check(platform.champion() == serving, "what the alias names was accepted after all")
    return [
        f"version {refused.number} (evidence NONE) refused after {took:.0f} s; tag refused_reason: {tag}",
        f"log: {line[:160]}; metric {metric}; alert {alert}",
        f"version {serving} goes on serving, also after its pod was killed",
        f"the gate's reasons: {refused.tags.get('reasons', '')[:200]}",
    ]


def _tag(pages: RegistryPages, number: int) -> str | NotYet:
    return pages.version(number).tags.get("refused_reason") or NotYet("no tag refused_reason")


def _log_line(platform: Platform, number: int) -> str | NotYet:
    pod = platform.cluster.pod("model-serving")
    lines = platform.cluster.logs(pod.name, "-c", "model-serving", "--tail=500").splitlines()
    found = [line for line in lines if '"refused"' in line and f'"version": {number}' in line]
    return found[-1] if found else NotYet("no line with refused")


def _metric(platform: Platform, number: int) -> str | NotYet:
    page = httpx.get(f"http://{platform.accounts.reach('model-serving', METRICS)}/metrics", timeout=10).text
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "model_serving_refused_info" and sample.labels.get("version") == str(number):
                return f'{sample.name}{{role="{sample.labels["role"]}",version="{number}"}}'
    return NotYet("no model_serving_refused_info of this version")


def _alert(platform: Platform, before: int, number: int) -> str | NotYet:
    for record in platform.accounts.topic("alerts")[before:]:
        alert = alerts_pb2.Alert.FromString(record.value or b"")
        if alert.code == "MODEL_REFUSED" and alert.labels["version"] == str(number):
            return f"{alert.code} {alert.labels['code']}"
    return NotYet("no alert MODEL_REFUSED of this version")
