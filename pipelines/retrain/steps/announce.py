"""Announce: what a retraining ended with, for the registry's tags and for people, whether it registered or broke."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts

TAG_CHARACTERS = 4500
SUCCEEDED = "Succeeded"
OF_A_FAILED_CHILD = ("retryStrategy.expression evaluated to false", "No more retries left")  # its own line says why


@dataclass(frozen=True, slots=True)
class Ending:
    """`outcome`: registered, refused or failed. `reasons`: of the gate's refusal or of the failure; may be empty."""

    outcome: str
    run: str
    version: str
    alias: str
    reasons: str

    def tags(self, at: str) -> dict[str, str]:
        """Tags of the registered model. `at` is an ISO time."""
        return {
            "last_retrain": at,
            "last_retrain_status": self.outcome,
            "last_retrain_run": self.run,
            "last_retrain_version": self.version,
            "last_retrain_alias": self.alias,
            "last_retrain_reasons": self.reasons[:TAG_CHARACTERS] or "none",
        }

    def title(self) -> str:
        return f"retraining {self.outcome}: {self.run}"

    def body(self, at: str) -> str:
        lines = [f"{at}: run {self.run} {self.outcome}", f"version {self.version}, alias {self.alias}"]
        return "\n".join(lines + ([f"reasons: {self.reasons}"] if self.reasons else []))


def ending(run: RunFolder | None, name: str, status: str, failures: str) -> Ending:
    """What became of the run. `run` None: it ended before its window was known; `name` is then the workflow's.

    `status` is the workflow's phase, `failures` Argo's JSON of the steps that failed.
    """
    if status != SUCCEEDED:
        return Ending("failed", name if run is None else run.path.name, "none", "none", broken(status, failures))
    if run is None:
        raise RunError(f"workflow {name} succeeded, but no run of it is kept")
    registered = read_facts(run.registration, "register")
    judged = read_facts(run.verdicts, "gate")
    reasons = "; ".join(judged["reasons"])
    outcome = "refused" if judged["evidence"] == "NONE" or not judged["integrity"] else "registered"
    return Ending(outcome, run.path.name, str(registered["version"]), registered["alias"] or "none", reasons)


def broken(status: str, failures: str) -> str:
    """One line of the steps that failed, each with Argo's message; the first failure, the cause, comes first."""
    try:
        listed = json.loads(failures or "[]")
        if isinstance(listed, str):  # Argo quotes the list once more where it replaces a whole argument
            listed = json.loads(listed)
    except ValueError:
        listed = None
    if not listed:
        return f"the workflow ended {status}"
    found: list[dict[str, Any]] = sorted(listed, key=lambda one: str(one.get("finishedAt")))
    causes = [one for one in found if one.get("message") and one["message"] not in OF_A_FAILED_CHILD] or found
    return "; ".join(f"{one.get('displayName')}: {one.get('message') or one.get('phase')}" for one in causes)
