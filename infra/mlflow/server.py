"""A local MLflow server: SQLite for what it knows, a folder for artifacts, which it serves itself."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from infra.daemon import Daemon
from infra.place import check_port, check_version

START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class MlflowPlace:
    """Where a server keeps its data, and its port."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "mlflow.log"


class MlflowServer(Daemon):
    """A server of this process's own. Its `start` raises `ServerProblem` or `DaemonFailed`."""

    def __init__(self, place: MlflowPlace) -> None:
        self.place = place
        super().__init__(
            "mlflow", server_argv(place), server_env(), place.log, lambda: answers(place.address), START_SECONDS
        )

    @property
    def address(self) -> str:
        return self.place.address

    def start(self) -> None:
        prepare(self.place)
        super().start()


def prepare(place: MlflowPlace) -> None:
    """Make the folder, refuse one of another major version or a port in use. May be called again."""
    check_version(place.folder, "mlflow", version("mlflow").split(".")[0])
    check_port(place.port, "mlflow")


def server_argv(place: MlflowPlace) -> list[str]:
    """The command line of a prepared server."""
    folder = place.folder.resolve()
    return [
        sys.executable, "-m", "mlflow", "server",
        "--host", "127.0.0.1", "--port", str(place.port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"),
        "--serve-artifacts",
    ]  # fmt: skip


def server_env() -> dict[str, str]:
    """This environment without MLflow settings of the user's, which could point elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**own, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def answers(address: str) -> bool:
    """Whether a server there says that it is healthy."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False
