"""Retraining by Argo: by its schedule, with a step killed on the way, refused by the gate, once for each window."""

from __future__ import annotations

import time

from tests.cluster.case_promotion import REFUSED, pages_of
from tests.cluster.platform import Platform
from tests.cluster.waiting import NotYet, check, until
from tests.cluster.workflows import (
    Workflow,
    command_line,
    kill_step,
    scheduled,
    wait_for_end,
    window_of,
)

EVERY_MINUTE = "* * * * *"
TRIGGER_S = 150.0
RUN_S = 600.0


def argo(platform: Platform) -> list[str]:
    """The schedule, a killed step, a refusal with its reasons, the same window twice, and the command line."""
    cron = f"{platform.release.name}-retrain"
    first, told = _by_schedule(platform, cron)
    with command_line(platform.cluster, platform.say) as command:
        if command is None:
            return [*told, "submit, watch and list left out: the cluster has no Argo server"]
        versions = [version.number for version in pages_of(platform).versions()]
        _, end = window_of(first.shown["run"])
        began = time.monotonic()
        again = command("submit", "--window", REFUSED["window"], "--until", end, "--watch", seconds=RUN_S)
        check(again.code == 0, f"workflow submit --watch ended with {again.code}: {again.said[-500:]}")
        name = again.out.split()[0]
        second = wait_for_end(platform.cluster, name, 60.0)
        check(second.shown["run"] == first.shown["run"], f"{second.shown['run']} is another run")
        check(second.shown["version"] == first.shown["version"], f"it is version {second.shown['version']} now")
        now = [version.number for version in pages_of(platform).versions()]
        check(now == versions, f"versions {now} instead of {versions}")
        told.append(
            f"the same window again ({name}, {time.monotonic() - began:.0f} s): version {second.shown['version']}, "
            f"{len(now)} versions as before"
        )
        told.append(_commands(command("list").out, command("watch", name).out, first, name))
    return told


def _by_schedule(platform: Platform, cron: str) -> tuple[Workflow, list[str]]:
    """A run that only the clock started; it is killed once, and refused because at its fees nothing pays."""
    cluster = platform.cluster
    known = {one.name for one in scheduled(cluster, cron)}
    settings = {name: value for name, value in REFUSED.items() if name != "window"}
    often = {"schedule": EVERY_MINUTE, "suspend": False, "window": REFUSED["window"], "settings": settings}
    platform.release.upgrade({"argo": often})
    began = time.monotonic()

    def look() -> str | NotYet:
        fresh = [one.name for one in scheduled(cluster, cron) if one.name not in known]
        return fresh[0] if fresh else NotYet(f"no workflow of {cron} yet")

    name = until("a workflow by schedule", look, TRIGGER_S)
    platform.release.upgrade({"argo": often | {"suspend": True}})
    told = [f"{name} started by the schedule after {time.monotonic() - began:.0f} s"]
    platform.say(told[0])
    killed = kill_step(cluster, name, ("data", "fit", "model"), RUN_S)
    platform.say(f"killed {killed}")
    ended = wait_for_end(cluster, name, RUN_S)
    check(ended.phase == "Succeeded", f"{ended.told}; pods: {[pod for pod in ended.pods if pod[1] != 'Succeeded']}")
    check(bool(ended.retried), f"no step was tried again after a kill: {ended.pods}")
    told.append(f"SIGKILL: {killed}; tried again as {', '.join(ended.retried)}; {ended.told}")
    shown = ended.shown
    check(shown.get("verdict") == "refused", f"a run with {REFUSED} is {shown}, not refused")
    check(shown.get("reasons", "none") != "none", "refused without a reason")
    there = [version for version in pages_of(platform).versions() if str(version.number) == shown["version"]]
    check(bool(there), f"version {shown['version']} is not in the registry")
    told.append(
        f"refused and Succeeded after {time.monotonic() - began:.0f} s: version {shown['version']}, alias "
        f"{shown['alias']}, reasons: {shown['reasons'][:160]}"
    )
    return ended, told


def _commands(listed: str, watched: str, first: Workflow, second: str) -> str:
    for name in (first.name, second):
        check(name in listed, f"workflow list does not show {name}: {listed[-300:]}")
    check("refused" in watched, f"workflow watch does not tell the verdict: {watched[-300:]}")
    return f"workflow submit, watch and list: {len(listed.splitlines())} lines listed, the refusal's reasons watched"
