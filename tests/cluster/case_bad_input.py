"""What goes wrong at an install: each cause is named where a person looks first, and each heals when it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.platform import Platform
from tests.cluster.release import Release
from tests.cluster.waiting import NotYet, check, until

NAMED_S = 150.0  # a waiting init container speaks after a minute
HEALED_S = 300.0  # kubelet's pauses between tries grow to minutes
SECRET = "venue-key-of-mine"
KEY_FILE = '{"key": "cluster-test", "secret": "cluster-test-secret"}'
NO_TAG = "apache/kafka:not-there"
QUOTA = "no-pods"
# Kafka, its topics, the archive, the venue and features: enough to go wrong, little to run.
SMALL: Mapping[str, Any] = {
    "dev": {"postgres": {"enabled": False}, "mlflow": {"enabled": False}, "firstModel": {"enabled": False}},
    "mlflow": {"uri": "http://mlflow.invalid:5000"},
    "dataIngestion": {"enabled": False},
    "modelServing": {"enabled": False},
    "orderRouting": {"enabled": False},
    "venue": {"keySecret": SECRET},
}
WANTED = {"kafka": 1, "archive": 1, "exchange-simulator": 1, "feature-store": 1}


def bad_input(platform: Platform) -> list[str]:
    """A release of its own, beside the platform."""
    release = platform.spare("bad", SMALL)
    told = [_misspelt(release), _secret_refused(release)]
    told += _four_causes(release, platform.say)
    told += _job_deleted(release, platform.say)
    return told


def _misspelt(release: Release) -> str:
    said = release.tried("install", {"archive": {"rollSecond": 5}})
    check(said.code != 0, "a misspelt value was installed")
    check("rollSecond" in said.err, f"helm does not name the misspelt value: {said.err[-300:]}")
    return f"misspelt value: helm says {_line(said.err, 'rollSecond')}"


def _secret_refused(release: Release) -> str:
    said = release.tried("install", {})
    check(said.code != 0 and SECRET in said.err, f"helm does not name the missing secret: {said.said[-300:]}")
    return f"missing secret: helm says {_line(said.err, SECRET)}"


def _four_causes(release: Release, say: Callable[[str], None]) -> list[str]:
    """A missing secret, an image that is nowhere, a Kafka that therefore is not there, and a node without room."""
    cluster = release.cluster
    unlucky = {
        "checks": {"secrets": False},
        "dev": {"kafka": {"image": NO_TAG}},
        "featureStore": {"resources": {"requests": {"cpu": "1000"}}},
    }
    ended = release.tried("install", unlucky)
    check(ended.code == 0, f"helm install: {ended.said[-500:]}")
    seen = [
        _named(cluster, "feature-store", ("Insufficient cpu",), say),
        _named(cluster, "kafka", ("not-there",), say),
        _named(cluster, "exchange-simulator", (SECRET,), say),
        _named(cluster, "archive", ("no Kafka broker answers",), say),
    ]
    began = time.monotonic()
    cluster.kubectl("create", "secret", "generic", SECRET, f"--from-literal=key.json={KEY_FILE}")
    cluster.wait_for_pods({"exchange-simulator": 1}, HEALED_S)
    seen.append(f"secret made: its pod ready after {time.monotonic() - began:.0f} s")
    say(seen[-1])
    began = time.monotonic()
    release.upgrade({})
    cluster.wait_for_pods(WANTED, HEALED_S)
    seen.append(f"image and request put right by an upgrade: all ready after {time.monotonic() - began:.0f} s")
    say(seen[-1])
    return seen


def _job_deleted(release: Release, say: Callable[[str], None]) -> list[str]:
    """Topics that nobody made: the Job of a revision is deleted before its pod ran."""
    cluster = release.cluster
    cluster.kubectl("create", "quota", QUOTA, "--hard=pods=0")
    release.upgrade({"environment": {"topicPrefix": "other."}})
    cluster.kubectl("delete", "job", f"{release.name}-topics-r{release.revision}", "--wait=true")
    cluster.kubectl("delete", "quota", QUOTA)
    seen = [_named(cluster, "archive", ("topics are missing", "topics Job"), say)]
    began = time.monotonic()
    release.upgrade({"environment": {"topicPrefix": "other."}})
    cluster.wait_for_pods(WANTED, HEALED_S)
    seen.append(f"the next revision's Job made them: all ready after {time.monotonic() - began:.0f} s")
    say(seen[-1])
    return seen


def _named(cluster: Cluster, component: str, words: tuple[str, ...], say: Callable[[str], None]) -> str:
    """The line of a pod's status or of its events that names the cause."""
    began = time.monotonic()

    def look() -> str | NotYet:
        lines: list[str] = []
        for pod in cluster.pods(component):
            lines += [*pod.complaints, *cluster.events(pod.name)]
        found = [line for line in lines if all(word in line for word in words)]
        return found[-1] if found else NotYet(f"{component} says {lines[-3:]}")

    line = " ".join(until(f"{component} names {' and '.join(words)}", look, NAMED_S).split())
    line = line[max(0, line.rfind("gave up after")) :]  # the last line of a log that the status shows
    say(f"{component} named its cause after {time.monotonic() - began:.0f} s")
    return f"{component}: {line[:220]}"


def _line(text: str, word: str) -> str:
    found = [" ".join(line.split()) for line in text.splitlines() if word in line]
    return found[0][:220]
