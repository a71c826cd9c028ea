"""The registry: a judged bundle as a version of ProductionEnsemble, with its run, tags and the alias it may have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.retrain.adapters.run_folder import RunError

EXPERIMENT = "retrain"
ARTIFACTS = "bundle"
DIGEST_TAG = "bundle_digest"
NO_WAIT = 0  # seconds; a version made from files that are there already is ready at once


@dataclass(frozen=True, slots=True)
class Registered:
    version: int
    new: bool


class Registry:
    """One registered model on one MLflow server. Raises RunError that names the server when it does not answer."""

    def __init__(self, uri: str, model: str) -> None:
        self._uri, self._model = uri, model
        self._client, self._failure = _open(uri)

    def champion(self) -> int | None:
        """The version that is champion now; None without one."""
        try:
            return int(self._client.get_model_version_by_alias(self._model, "champion").version)
        except self._failure as error:
            if _code(error) in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise self._down(error) from error

    def register(
        self,
        bundle: Path,
        digest: str,
        run_name: str,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        extra: Mapping[str, Path],
    ) -> Registered:
        """Log the bundle's plain files and make a version of them; the same digest is registered once.

        `extra` are files of the report by artifact folder, beside the bundle.
        """
        try:
            self._make_model()
            if (known := self._version_of(digest)) is not None:
                return Registered(known, new=False)
            run = self._client.create_run(self._experiment(), run_name=run_name, tags=dict(tags))
            for name, text in parameters.items():
                self._client.log_param(run.info.run_id, name, text)
            for name, value in metrics.items():
                self._client.log_metric(run.info.run_id, name, value)
            self._client.log_artifacts(run.info.run_id, str(bundle), ARTIFACTS)
            for folder, file in extra.items():
                self._client.log_artifact(run.info.run_id, str(file), folder)
            self._client.set_terminated(run.info.run_id)
            made = self._client.create_model_version(
                self._model,
                f"runs:/{run.info.run_id}/{ARTIFACTS}",
                run.info.run_id,
                tags={**tags, DIGEST_TAG: digest},
                await_creation_for=NO_WAIT,
            )
            return Registered(int(made.version), new=True)
        except self._failure as error:
            raise self._down(error) from error

    def set_alias(self, alias: str, version: int) -> None:
        try:
            self._client.set_registered_model_alias(self._model, alias, str(version))
        except self._failure as error:
            raise self._down(error) from error

    def _make_model(self) -> None:
        try:
            self._client.create_registered_model(self._model)
        except self._failure as error:
            if _code(error) != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id) if found is not None else str(self._client.create_experiment(EXPERIMENT))

    def _version_of(self, digest: str) -> int | None:
        found = self._client.search_model_versions(f"name = '{self._model}' and tag.{DIGEST_TAG} = '{digest}'")
        return max((int(version.version) for version in found), default=None)

    def _down(self, error: Exception) -> RunError:
        return RunError(f"MLflow at {self._uri}: {str(error).splitlines()[0][:300]}")


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
