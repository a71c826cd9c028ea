"""One release of the chart: install, upgrade, roll back, uninstall, and what each service answers to grpcurl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.chart.release import CHART, merged
from tests.cluster.cluster import Cluster
from tests.cluster.commands import CommandFailed, Ended, end_of, output_of

HELM_SECONDS = 300.0

# component -> pods, of the whole profile dev
SERVICES = {
    "data-ingestion": 1,
    "feature-store": 1,
    "model-serving": 1,
    "order-routing": 1,
    "archive": 1,
    "exchange-simulator": 1,
}
FOUNDATION = {"kafka": 1, "postgres": 1, "mlflow": 1}
EVERYTHING = SERVICES | FOUNDATION


class Release:
    """`profile` are files of values; `values` are what this test wants otherwise, kept over upgrades."""

    def __init__(self, cluster: Cluster, profile: Sequence[Path], values: Mapping[str, Any], folder: Path) -> None:
        self.cluster, self.name = cluster, cluster.release
        self._profile, self._values = list(profile), dict(values)
        self._folder = folder

    def install(self) -> None:
        self._done("install", self._told({}))

    def keep(self, changed: Mapping[str, Any]) -> None:
        """The same release with these values from now on."""
        self._values = merged(self._values, changed)
        self._done("upgrade", self._told({}))

    def values(self) -> dict[str, Any]:
        """What the release was told beside the chart's own values."""
        found: dict[str, Any] = json.loads(output_of([*self._helm("get"), "-o", "json"]))
        return found

    def upgrade(self, changed: Mapping[str, Any]) -> None:
        """The same release with these values besides."""
        self._done("upgrade", self._told(changed))

    def tried(self, verb: str, changed: Mapping[str, Any], *more: str) -> Ended:
        """What helm says to an install or upgrade that may be refused."""
        return end_of([*self._helm(verb), *self._told(changed), *more], seconds=HELM_SECONDS)

    def roll_back(self, revision: int) -> None:
        output_of([*self._helm("rollback"), str(revision)], seconds=HELM_SECONDS)

    def test(self, seconds: float) -> str:
        """`helm test`: what it said, logs included."""
        argv = [*self._helm("test"), "--logs", "--timeout", f"{seconds:.0f}s"]
        return output_of(argv, seconds=seconds + 30)

    @property
    def revision(self) -> int:
        listed = json.loads(output_of([*self._helm("history"), "-o", "json"]))
        return int(listed[-1]["revision"])

    def uninstall(self) -> None:
        ended = end_of([*self._helm("uninstall"), "--ignore-not-found", "--wait", "--timeout", "120s"], seconds=150)
        if ended.code != 0:
            raise CommandFailed(["helm", "uninstall", self.name], ended.said)

    def _done(self, verb: str, told: list[str]) -> None:
        output_of([*self._helm(verb), *told], seconds=HELM_SECONDS)

    def _helm(self, verb: str) -> list[str]:
        words = ["get", "values"] if verb == "get" else [verb]
        return ["helm", "-n", self.cluster.namespace, *words, self.name]

    def _told(self, changed: Mapping[str, Any]) -> list[str]:
        files = [*self._profile]
        for number, values in enumerate((self._values, changed)):
            if values:
                files.append(self._folder / f"{self.name}-{number}.yaml")
                files[-1].write_text(yaml.safe_dump(dict(values)))
        return [str(CHART), *(word for file in files for word in ("-f", str(file)))]


def grpc_json(address: str, method: str, body: Mapping[str, Any] | None = None) -> Any:
    """The answer to one rpc, asked for with grpcurl. Raises CommandFailed with the status."""
    argv = ["grpcurl", "-plaintext", "-max-time", "15"]
    told = [] if body is None else ["-d", "@"]
    said = output_of([*argv, *told, address, method], stdin=None if body is None else json.dumps(body), seconds=25)
    return json.loads(said) if said.strip() else {}


def grpc_services(address: str) -> list[str]:
    """The services that a server lists by reflection."""
    return output_of(["grpcurl", "-plaintext", "-max-time", "15", address, "list"], seconds=25).split()
