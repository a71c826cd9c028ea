"""Model serving as a real process, its settings, and a cable to MLflow that can be pulled."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from libs.bundle.keys import generate
from libs.runtime.kafka import KafkaConfig
from protos.predictions.v1 import predictions_pb2 as pb
from protos.predictions.v1 import predictions_pb2_grpc
from tests.builders.bundles import BAR_INTERVAL, EMISSION_INTERVAL, TestKeys, a_bundle, register, set_alias
from tests.builders.processes import ServiceProcess, wait_for


class Place(ServiceProcess):
    """One environment of serving: topics, registry, keys, cache."""

    def __init__(self, kafka: KafkaConfig, mlflow: str, folder: Path) -> None:
        self.mlflow, self.folder, self.scope = mlflow, folder, "SIMULATED"
        self.model = f"Ensemble-{uuid.uuid4().hex[:8]}"
        self.keys = TestKeys(
            generate(folder / "training.pem", folder / "training.pub.pem"),
            generate(folder / "gate.pem", folder / "gate.pub.pem"),
        )
        settings = {
            "MODEL_NAME": self.model,
            "POLL_SECONDS": "0.2",
            "INTEGRITY_KEYS": str(folder / "training.pub.pem"),
            "GATE_KEYS": str(folder / "gate.pub.pem"),
            "BAR_INTERVAL_NS": str(BAR_INTERVAL),
            "EMISSION_INTERVAL_NS": str(EMISSION_INTERVAL),
            "CACHE_FOLDER": str(folder / "models"),
        }
        super().__init__("model_serving", kafka, folder / "serving.log", settings)

    def start(self, module: str | None = None, *argv: str, wait: bool = True, **changes: str) -> None:
        now = {"MLFLOW_URI": self.mlflow, "REQUIRED_SCOPE": self.scope, **changes}  # a test may change both
        super().start(module, *argv, wait=wait, **now)
        assert self.channel is not None
        self.rpc = predictions_pb2_grpc.ModelServingServiceStub(self.channel)

    def describe(self) -> pb.DescribeModelsResponse:
        return self.rpc.DescribeModels(pb.DescribeModelsRequest(), timeout=5.0)

    def serves(self, role: int = pb.ROLE_CHAMPION) -> int | None:
        """The version that serves a role now."""
        return next((model.version for model in self.describe().models if model.role == role), None)

    def refusal(self, version: int) -> str | None:
        return next((entry.reason for entry in self.describe().refused if entry.version == version), None)

    def version(self, name: str, **changes: Any) -> int:
        """A registered version of a valid bundle, signed with this place's keys unless told otherwise."""
        folder = self.folder / name
        digest = a_bundle(folder, **{"keys": self.keys, **changes})
        return register(self.mlflow, folder, name=self.model, digest=digest)

    def wish(self, alias: str, version: int | None) -> None:
        set_alias(self.mlflow, alias, version, name=self.model)

    def champion(self, name: str, **changes: Any) -> int:
        """A version that serves as champion when this returns."""
        version = self.version(name, **changes)
        self.wish("champion", version)
        wait_for(lambda: self.serves() == version)
        return version


@contextmanager
def cable(target: str) -> Iterator[Cable]:
    """A TCP relay to an http address; `pull` cuts every connection and refuses new ones until `plug`."""
    relay = Cable(target)
    try:
        yield relay
    finally:
        relay.close()


class Cable:
    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._open: list[socket.socket] = []
        self._plugged = True
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        self._plugged = False
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def plug(self) -> None:
        self._plugged = True

    def close(self) -> None:
        self.pull()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if not self._plugged:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
