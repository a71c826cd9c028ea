"""The registry: a judged bundle as a version of ProductionEnsemble, with its run, tags and the alias it may have."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.retrain.adapters.run_folder import NotYet, RunError

EXPERIMENT = "retrain"
ARTIFACTS = "bundle"
DIGEST_TAG = "bundle_digest"
RUN_TAG = "retrain_run"
SETTLED_TAG = "registration"
SETTLED = "complete"
ALIAS_TAG, NO_ALIAS = "alias_at_registration", "none"
NO_WAIT = 0  # seconds; a version made from files that are there already is ready at once
# What it answers where there is no such model, and where the model has no such alias.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
# What a server says that is away, behind a proxy without it, or whose database is away; everything else is an answer.
AWAY = ("", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED", "ABORTED")


@dataclass(frozen=True, slots=True)
class Entry:
    """A judged bundle as it is to be registered, with the alias that it may have.

    `window`: the run's name stands for a window and its settings. `extra`: files by artifact folder, beside the bundle.
    """

    bundle: Path
    digest: str
    run_name: str
    window: bool = False
    alias: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Path] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, str]:
        """Tags by which a version is known to be this one."""
        return {DIGEST_TAG: self.digest} | ({RUN_TAG: self.run_name} if self.window else {})

    @property
    def all_tags(self) -> dict[str, str]:
        own = {DIGEST_TAG: self.digest, RUN_TAG: self.run_name, ALIAS_TAG: self.alias or NO_ALIAS}
        return {**self.tags, **own}


@dataclass(frozen=True, slots=True)
class Registered:
    """`settled`: its registration was completed before, with `alias`; nothing is left to do. `new`: made just now."""

    version: int
    new: bool
    digest: str
    settled: bool = False
    alias: str | None = None


class Registry:
    """One registered model on one MLflow server. Raises NotYet that names the server when it does not answer, RunError
    when it refuses."""

    def __init__(self, uri: str, model: str) -> None:
        self._uri, self._model = uri, model
        self._client, self._failure = _open(uri)

    def champion(self) -> int | None:
        """The version that is champion now; None without one."""
        try:
            return int(self._client.get_model_version_by_alias(self._model, "champion").version)
        except self._failure as error:
            if _code(error) in ABSENT:
                return None
            raise self._problem(error) from error

    def register(self, entry: Entry) -> Registered:
        """Log the bundle's plain files and make a version of them; the same digest is registered once, and for a
        window the same run name too."""
        try:
            self._make_model()
            if (known := self._oldest(entry.keys)) is not None:
                return _known(known)
            run_id = self._log_run(entry)
            source = f"runs:/{run_id}/{ARTIFACTS}"
            made = self._client.create_model_version(
                self._model, source, run_id, tags=entry.all_tags, await_creation_for=NO_WAIT
            )
            # Whoever registers the same at the same time looks now as well: both keep the older one.
            oldest = self._oldest(entry.keys)
            if oldest is not None and int(oldest.version) < int(made.version):
                self._client.delete_model_version(self._model, str(made.version))
                return _known(oldest)
            return Registered(int(made.version), True, entry.digest)
        except self._failure as error:
            raise self._problem(error) from error

    def set_alias(self, alias: str, version: int) -> None:
        try:
            self._client.set_registered_model_alias(self._model, alias, str(version))
        except self._failure as error:
            raise self._problem(error) from error

    def settle(self, version: int) -> None:
        """Say that nothing of this registration is left to do: from now on only people and later versions move its
        aliases."""
        try:
            self._client.set_model_version_tag(self._model, str(version), SETTLED_TAG, SETTLED)
        except self._failure as error:
            raise self._problem(error) from error

    def tag_model(self, tags: Mapping[str, str]) -> None:
        """Tags of the registered model itself, which is made where it is absent."""
        try:
            self._make_model()
            for name, text in tags.items():
                self._client.set_registered_model_tag(self._model, name, text)
        except self._failure as error:
            raise self._problem(error) from error

    def _log_run(self, entry: Entry) -> str:
        run = self._client.create_run(self._experiment(), run_name=entry.run_name, tags=entry.all_tags)
        for name, text in entry.parameters.items():
            self._client.log_param(run.info.run_id, name, text)
        for name, value in entry.metrics.items():
            self._client.log_metric(run.info.run_id, name, value)
        self._client.log_artifacts(run.info.run_id, str(entry.bundle), ARTIFACTS)
        for folder, file in entry.extra.items():
            self._client.log_artifact(run.info.run_id, str(file), folder)
        self._client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _make_model(self) -> None:
        try:
            self._client.create_registered_model(self._model)
        except self._failure as error:
            if _code(error) != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id) if found is not None else str(self._client.create_experiment(EXPERIMENT))

    def _oldest(self, keys: Mapping[str, str]) -> Any:
        """The oldest version that has one of these tags."""
        found = [
            version
            for name, text in keys.items()
            for version in self._client.search_model_versions(f"name = '{self._model}' and tag.{name} = '{text}'")
        ]
        return min(found, key=lambda version: int(version.version), default=None)

    def _problem(self, error: Exception) -> RunError:
        text = str(error).splitlines()[0]
        if (cause := re.search(r"Caused by (\w+)", text)) is not None:
            return NotYet(f"MLflow at {self._uri} does not answer ({cause[1]})")
        kind = NotYet if _code(error) in AWAY else RunError
        return kind(f"MLflow at {self._uri}: {text[:300]}")


def _known(version: Any) -> Registered:
    alias = version.tags.get(ALIAS_TAG, NO_ALIAS)
    return Registered(
        int(version.version),
        False,
        version.tags.get(DIGEST_TAG, ""),
        version.tags.get(SETTLED_TAG) == SETTLED,
        None if alias == NO_ALIAS else alias,
    )


def _open(uri: str) -> tuple[Any, type[Exception]]:
    """The client and what it raises. MLflow reads these names when it is imported, so that happens here."""
    told = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the last line of stdout is the summary
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }
    for name, value in told.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    return MlflowClient(tracking_uri=uri, registry_uri=uri), MlflowException


def _code(error: Exception) -> str:
    return str(getattr(error, "error_code", ""))
