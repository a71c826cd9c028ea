"""The release's MLflow over REST, as its pages use it: versions, tags, and the alias that a person moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version; `scope` is its evidence's: NONE where the gate refused it."""

    number: int
    tags: Mapping[str, str]

    @property
    def scope(self) -> str:
        return self.tags.get("evidence_scope", "NONE")

    @property
    def integrity(self) -> bool:
        return self.tags.get("integrity") == "passed"

    @property
    def run(self) -> str:
        return self.tags.get("retrain_run", "")


class RegistryPages:
    """`address` gives host:port of this machine. Raises httpx errors."""

    def __init__(self, address: Callable[[], str], model: str = "ProductionEnsemble") -> None:
        self._address, self._model = address, model

    def versions(self) -> list[Version]:
        """All of them, the oldest first."""
        said = self._get("model-versions/search", filter=f"name='{self._model}'", max_results="200")
        return sorted((version_of(one) for one in said.get("model_versions", [])), key=lambda one: one.number)

    def version(self, number: int) -> Version:
        return version_of(self._get("model-versions/get", name=self._model, version=str(number))["model_version"])

    def move(self, alias: str, number: int) -> None:
        """What a person does on the model's page."""
        body = {"name": self._model, "alias": alias, "version": str(number)}
        httpx.post(self._path("registered-models/alias"), json=body, timeout=TIMEOUT_S).raise_for_status()

    def _get(self, what: str, **query: str) -> Any:
        answer = httpx.get(self._path(what), params=query, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def _path(self, what: str) -> str:
        return f"http://{self._address()}/api/2.0/mlflow/{what}"


def version_of(item: Mapping[str, Any]) -> Version:
    return Version(int(item["version"]), {tag["key"]: tag["value"] for tag in item.get("tags", [])})
