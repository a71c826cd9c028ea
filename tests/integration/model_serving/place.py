"""Model serving as a real process, its settings, and a cable to MLflow that can be pulled."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from infra.daemon import free_port
from libs.bundle.keys import generate
from libs.runtime.kafka import KafkaConfig, Record, open_consumer
from protos.predictions.v1 import predictions_pb2 as pb
from protos.predictions.v1 import predictions_pb2_grpc
from tests.builders.bundles import BAR_INTERVAL, EMISSION_INTERVAL, TestKeys, a_bundle, register, set_alias

ROOT = Path(__file__).parents[3]
START_S = 40.0
T = TypeVar("T")


def wait_for(what: Callable[[], T | None], seconds: float = 15.0, why: str = "") -> T:
    """The first answer that is neither None nor False."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        answer = what()
        if answer is not None and answer is not False:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s: {why or what}")


@dataclass
class Place:
    """One environment of serving: topics, registry, keys, cache. `start` may be called again after `kill`."""

    kafka: KafkaConfig
    mlflow: str
    folder: Path
    scope: str = "SIMULATED"
    model: str = field(default_factory=lambda: f"Ensemble-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.keys = TestKeys(
            generate(self.folder / "training.pem", self.folder / "training.pub.pem"),
            generate(self.folder / "gate.pem", self.folder / "gate.pub.pem"),
        )
        self.log = self.folder / "serving.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: grpc.Channel | None = None

    def start(self, *, wait: bool = True, **changes: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.model_serving"],
                cwd=ROOT,
                env={**os.environ, **self.environment(), **{f"MODEL_SERVING_{k}": v for k, v in changes.items()}},
                stderr=log,
                stdout=log,
            )
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.rpc = predictions_pb2_grpc.ModelServingServiceStub(self.channel)
        if wait:
            wait_for(self.is_ready, START_S, "ready")

    def environment(self) -> dict[str, str]:
        named = {
            "GRPC_PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "MLFLOW_URI": self.mlflow,
            "MODEL_NAME": self.model,
            "POLL_SECONDS": "0.2",
            "REQUIRED_SCOPE": self.scope,
            "INTEGRITY_KEYS": str(self.folder / "training.pub.pem"),
            "GATE_KEYS": str(self.folder / "gate.pub.pem"),
            "BAR_INTERVAL_NS": str(BAR_INTERVAL),
            "EMISSION_INTERVAL_NS": str(EMISSION_INTERVAL),
            "CACHE_FOLDER": str(self.folder / "models"),
        }
        return {f"MODEL_SERVING_{name}": value for name, value in named.items()}

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.channel is not None
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.log.read_text()[-3000:]}")
        with suppress(grpc.RpcError):
            health = health_pb2_grpc.HealthStub(self.channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    def describe(self) -> pb.DescribeModelsResponse:
        return self.rpc.DescribeModels(pb.DescribeModelsRequest(), timeout=5.0)

    def serves(self, role: int = pb.ROLE_CHAMPION) -> int | None:
        """The version that serves a role now."""
        return next((model.version for model in self.describe().models if model.role == role), None)

    def refusal(self, version: int) -> str | None:
        return next((entry.reason for entry in self.describe().refused if entry.version == version), None)

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 while there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5.0) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

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

    def records(self, topic: str) -> list[Record]:
        """Everything on a topic now."""
        consumer = open_consumer(self.kafka, "test-reader")
        parts = consumer.partitions_for(topic)
        ends = consumer.end_offsets(parts)
        consumer.assign(dict.fromkeys(parts, "earliest"))
        found: list[Record] = []
        while len(found) < sum(ends.values()):
            found += consumer.poll(0.2)
        consumer.close()
        return found

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        if self.channel is not None:
            self.channel.close()
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(20.0)
        self.process = None
        return code


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
