"""A local MLflow server: SQLite for what it knows, a folder for artifacts, which it serves itself."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from infra.daemon import Daemon, port_is_taken

START_SECONDS = 90.0


class MlflowProblem(Exception):
    """Something that a person has to change before a server can run here; the message says what."""


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


class MlflowServer:
    """A server of this process's own: `start`, `stop`, `kill`, and again."""

    def __init__(self, place: MlflowPlace) -> None:
        self.place = place
        self._daemon = Daemon("mlflow", server_argv(place), server_env(), place.log)

    @property
    def address(self) -> str:
        return self.place.address

    def start(self, timeout_s: float = START_SECONDS) -> None:
        """Prepare the folder, start, return when it is healthy. Raises `MlflowProblem` or `DaemonFailed`."""
        prepare(self.place)
        self._daemon.start(lambda: answers(self.address), timeout_s)

    def check(self) -> None:
        """Raises `DaemonFailed` when the server has ended by itself."""
        self._daemon.check()

    def stop(self) -> None:
        self._daemon.stop()

    def kill(self) -> None:
        self._daemon.kill()


def prepare(place: MlflowPlace) -> None:
    """Make the folder, refuse one of another major version or a port in use. May be called again."""
    place.folder.mkdir(parents=True, exist_ok=True)
    marker = place.folder / "VERSION"
    wanted = f"mlflow {version('mlflow').split('.')[0]}"
    if not marker.exists():
        strangers = sorted(path.name for path in place.folder.iterdir())
        if strangers:
            raise MlflowProblem(
                f"{place.folder} holds {strangers[0]!r} but no VERSION: not a server's folder; move it away"
            )
        marker.write_text(f"{wanted}\n")
    found = marker.read_text().strip()
    if found != wanted:
        raise MlflowProblem(
            f"{place.folder} was written by {found!r}, this is {wanted!r}; move it away or `make clean`"
        )
    if port_is_taken(place.port):
        raise MlflowProblem(f"port {place.port} (mlflow) is in use; stop what uses it or choose another port")


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
    except (urllib.error.URLError, OSError):
        return False
