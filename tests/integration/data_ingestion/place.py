"""A service as a real process on the real broker, and what it wrote there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.daemon import free_port
from libs.runtime.kafka import KafkaConfig, Record, open_consumer
from libs.trading.market import MarketEvent, RecordHead
from libs.wire.market import decode_events
from tests.fakes.scripted_venue import wait_until

ROOT = Path(__file__).parents[3]


@dataclass
class ServiceProcess:
    """`start` may be called again after `kill` or `stop`; everything it says goes to `log`."""

    name: str
    kafka: KafkaConfig
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    channel: grpc.Channel | None = None

    def start(self) -> None:
        port = free_port()
        own = {
            "GRPC_PORT": str(port),
            "METRICS_PORT": str(free_port()),
            "KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
        } | self.settings
        environment = os.environ | {f"{self.name.upper()}_{key}": value for key, value in own.items()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.name}"], cwd=ROOT, env=environment, stderr=log, stdout=log
            )
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def wait_ready(self, seconds: float = 30.0) -> None:
        assert self.channel is not None
        health = health_pb2_grpc.HealthStub(self.channel)

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        wait_until(ready, seconds, f"{self.name} is ready")

    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.channel is not None:
            self.channel.close()
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return self.process.wait(20)


class Topic:
    """Everything that a topic holds, as it grows."""

    def __init__(self, kafka: KafkaConfig, name: str) -> None:
        self._consumer = open_consumer(kafka, "test")
        parts = self._consumer.partitions_for(name)
        self._consumer.assign(dict.fromkeys(parts, "earliest"))
        self.records: list[Record] = []

    def read(self) -> list[Record]:
        while found := self._consumer.poll(0.2):
            self.records += found
        return self.records

    def market(self) -> list[tuple[int, RecordHead, list[MarketEvent]]]:
        """(offset, head, events) of every record so far."""
        return [(record.offset, *decode_events(record.value or b"")) for record in self.read()]

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for _, _, events in self.market() for event in events if isinstance(event, kind)]

    def close(self) -> None:
        self._consumer.close()
