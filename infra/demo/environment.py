"""One environment: a source of data with everything made from it, in a folder and on ports of its own."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.daemon import port_is_taken
from infra.place import mark

STATE_FORMAT = 1
SERVICES = ("data_ingestion", "feature_store", "model_serving", "order_routing", "archive", "exchange_simulator")
PORT_OFFSETS = {
    "kafka": 0,
    "kafka_controller": 1,
    "mlflow": 2,
    "exchange_simulator_http": 3,
    **{f"{name}_grpc": 10 + i for i, name in enumerate(SERVICES)},
    **{f"{name}_metrics": 30 + i for i, name in enumerate(SERVICES)},
}


class EnvironmentProblem(Exception):
    """Something about the folder, the ports or the files that a person has to change; the message says what."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where one source of data lives: its name, folder, topic prefix and ports."""

    name: str
    folder: Path
    port_base: int
    recordings: tuple[Path, ...]
    signal_strength: float

    @property
    def topic_prefix(self) -> str:
        return f"{self.name}."

    @property
    def is_recording(self) -> bool:
        return bool(self.recordings)

    def port(self, use: str) -> int:
        return self.port_base + PORT_OFFSETS[use]

    @property
    def key_file(self) -> Path:
        return self.folder / "keys" / "venue.json"


def open_environment(
    state: Path, port_base: int, recordings: Sequence[Path], seed: int, signal_strength: float
) -> Environment:
    """Open or make the environment of a source. Raises `EnvironmentProblem`: a missing file, another state format."""
    missing = [str(path) for path in recordings if not path.is_file()]
    if missing:
        raise EnvironmentProblem(f"no such recording: {', '.join(missing)}")
    if recordings:
        name = f"recording-{digest_of(recordings)[:10]}"
    else:
        name = f"generator-{seed}-{signal_strength:g}".replace(".", "_")
    folder = state / name
    check_format(folder)
    environment = Environment(
        name, folder.resolve(), port_base, tuple(path.resolve() for path in recordings), signal_strength
    )
    make_venue_key(environment.key_file)
    return environment


def check_format(folder: Path) -> None:
    """Write the format of a new folder; refuse one of another format."""
    found = mark(folder, "FORMAT", str(STATE_FORMAT))
    if found is None:
        raise EnvironmentProblem(
            f"{folder} is not a state folder of this platform (no FORMAT in it); move it away or `make clean`"
        )
    if found != str(STATE_FORMAT):
        raise EnvironmentProblem(
            f"{folder} was written in state format {found!r}, this version reads {STATE_FORMAT}; "
            "use the version that wrote it, or `make clean` to forget it"
        )


def make_venue_key(path: Path) -> None:
    """The API key of the environment's paper account, made once, readable by its owner alone."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"key": secrets.token_hex(9), "secret": secrets.token_hex(18)}) + "\n")


def digest_of(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_ports(environment: Environment, external_broker: bool) -> None:
    """Raises `EnvironmentProblem` that names every port in use and the setting that moves them all."""
    wanted = {use: environment.port(use) for use in PORT_OFFSETS if not (external_broker and use.startswith("kafka"))}
    taken = [f"{port} ({use.replace('_', ' ')})" for use, port in wanted.items() if port_is_taken(port)]
    if taken:
        raise EnvironmentProblem(
            f"in use: port {', '.join(taken)}; stop what uses them or choose others with PORT_BASE=NUMBER"
        )
