"""A service as a real process on the real broker: started, asked whether it is ready, stopped, killed, and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from infra.daemon import free_port
from libs.runtime.kafka import KafkaConfig, KafkaUnavailable, Record
from libs.wire.places import PlaceAway
from tests.builders.topics import read_topic

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
LEAST_S = 60.0  # that is waited for anything: a machine with other work is no failure


def is_running(pid: int) -> bool:
    """Whether a process of that id lives; one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(what: Callable[[], T | None], seconds: float = LEAST_S, why: str = "") -> T:
    """The first answer that is neither None nor False, within `seconds` or `LEAST_S`, whichever is more.

    A broker or a store that does not answer now, as after its start or on a busy machine, is asked again.
    """
    seconds = max(seconds, LEAST_S)
    limit, away = time.monotonic() + seconds, ""
    while (asked := time.monotonic()) < limit:
        try:
            answer, away = what(), ""
        except (KafkaUnavailable, PlaceAway) as error:
            answer, away = None, f" (last: {error})"
        if answer is not None and answer is not False:
            return answer
        time.sleep(max(0.02, time.monotonic() - asked))  # what is dear to ask is asked half of the time
    raise AssertionError(f"did not happen within {seconds} s: {why or what}{away}")


@dataclass
class ServiceProcess:
    """`start` may be called again after `kill` or `stop`; everything it says goes to `log`.

    `settings` and the changes given to `start` are names without the service's prefix; `environment` holds whole names.
    """

    name: str
    kafka: KafkaConfig
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    channel: grpc.Channel | None = None
    metrics_port: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, module: str | None = None, *argv: str, wait: bool = False, **changes: str) -> None:
        """Start it, or another `module` in its place; return at once, or with `wait` when it is ready."""
        port, self.metrics_port = free_port(), free_port()
        named = {
            "GRPC_PORT": str(port),
            "METRICS_PORT": str(self.metrics_port),
            "KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            **self.settings,
            **changes,
        }
        told = {f"{self.name.upper()}_{name}": value for name, value in named.items()}
        environment = os.environ | self.environment | told
        command = [sys.executable, "-m", module or f"services.{self.name}", *argv]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        if wait:
            self.wait_ready()

    def is_ready(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.said()[-4000:]}"
        with suppress(grpc.RpcError):
            health = health_pb2_grpc.HealthStub(self.channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    def wait_ready(self, seconds: float = 180.0) -> None:
        wait_for(self.is_ready, seconds, f"{self.name} is ready")

    def said(self) -> str:
        return self.log.read_text()

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 while there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5.0) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    def kill(self) -> None:
        """SIGKILL: nothing of it gets a chance to finish."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.channel is not None:
            self.channel.close()
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(30.0)
        self.process = None
        return code

    def read(self, topic: str) -> list[Record]:
        """All that a topic holds now."""
        return read_topic(self.kafka, topic)
