"""One more run of the pipeline in the release, by a Job like the one that made the first model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.platform import Platform
from tests.cluster.pods import COMPONENT

MADE_BY_CLUSTER = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
RUN_S = 420.0


def retrain(platform: Platform, name: str, chosen: Mapping[str, str]) -> None:
    """Trains with these options, all else as the release has it; waits for the end."""
    cluster = platform.cluster
    job = f"{platform.release.name}-{name}"
    first = cluster.get("jobs", selector=f"{COMPONENT}=first-model")[-1]
    cluster.kubectl("delete", "job", job, "--ignore-not-found")
    cluster.apply(like(first, job, {f"--{option}": value for option, value in chosen.items()}, {"--when-no-champion"}))
    platform.say(f"job {job}: a run with {chosen}")
    cluster.wait_for_job(job, RUN_S)


def like(job: Mapping[str, Any], name: str, changed: Mapping[str, str], without: set[str]) -> dict[str, Any]:
    """A Job that does what another does, under another name and with other values of its options (`--a=b`)."""
    spec = copy.deepcopy(job["spec"])
    for field in ("selector", "manualSelector"):
        spec.pop(field, None)
    labels = spec["template"]["metadata"].get("labels", {})
    spec["template"]["metadata"]["labels"] = {k: v for k, v in labels.items() if k not in MADE_BY_CLUSTER}
    container = spec["template"]["spec"]["containers"][0]
    words = "args" if "args" in container else "command"
    container[words] = replaced(container[words], changed, without)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def replaced(words: Sequence[str], changed: Mapping[str, str], without: set[str]) -> list[str]:
    """A command line with other values of some options; those that are not there come last."""
    kept = [word for word in words if word not in without and word.partition("=")[0] not in changed]
    return [*kept, *(f"{option}={value}" for option, value in changed.items())]
