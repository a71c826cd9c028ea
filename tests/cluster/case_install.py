"""From `helm install` to the first filled order, with the time of every stage."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.platform import Platform
from tests.cluster.waiting import NotYet, check, until

MOST_S = 600.0


def install(platform: Platform) -> list[str]:
    """Installs and waits for one stage after the other; at most ten minutes with the images there."""
    release, began = platform.release, time.monotonic()
    seen: list[str] = []

    def stage(name: str, look: Callable[[], object]) -> None:
        until(name, look, MOST_S - (time.monotonic() - began), pause=2.0)
        seen.append(f"{name} {time.monotonic() - began:.0f} s")
        platform.say(seen[-1])

    release.install()
    seen.append(f"helm's answer {time.monotonic() - began:.0f} s")
    platform.say(seen[-1])
    job = f"{release.name}-topics-r{release.revision}"
    stage("topics", lambda: platform.cluster.wait_for_job(job, MOST_S))
    stage("pods ready", lambda: platform.ready(MOST_S))
    stage("first model accepted", lambda: _first_model(platform))
    stage("first order", lambda: _at_least_one(platform, "orders"))
    stage("first fill", lambda: _at_least_one(platform, "executions"))
    whole = time.monotonic() - began
    check(whole <= MOST_S, f"the first filled order took {whole:.0f} s, more than {MOST_S:.0f}")
    restarts = sum(pod.restarts for pod in platform.cluster.pods())
    return [", ".join(seen), f"model version {platform.champion()}; {restarts} restarts of containers"]


def _first_model(platform: Platform) -> bool | NotYet:
    """Serving has a champion; until then the Job that makes it tells how far it is."""
    if platform.champion() is not None:
        return True
    name = f"{platform.release.name}-first-model-r{platform.release.revision}"
    lines = platform.cluster.logs(f"job/{name}", "--tail=1", "--all-containers").strip().splitlines()
    return NotYet(f"{name}: {lines[-1] if lines else 'no line yet'}")


def _at_least_one(platform: Platform, table: str) -> bool | NotYet:
    count = platform.accounts.journal.count(table)
    if count:
        return True
    said = platform.accounts.journal.execute(
        "select kind, coalesce(denied_code, ''), count(*) from decisions group by 1, 2 order by 3 desc limit 4"
    )
    return NotYet(f"no row in {table}; decisions: {said}")
