"""The feature store as a real process on the real broker: started, killed, asked, and what it wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.daemon import free_port
from libs.runtime.kafka import KafkaConfig, Record, open_consumer, open_producer
from libs.trading.market import MarketRecord
from libs.wire.market import encode_record
from protos.features.v1 import features_pb2_grpc

ROOT = Path(__file__).parents[3]
T = TypeVar("T")


def wait_for(what: Callable[[], T | None], seconds: float = 60.0, why: str = "") -> T:
    """The first answer that is neither None nor False."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        answer = what()
        if answer is not None and answer is not False:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {seconds} s: {why or what}")


@dataclass
class Place:
    """One environment of the feature store. `start` may be called again after `kill` or `stop`."""

    kafka: KafkaConfig
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    channel: grpc.Channel | None = None

    def start(self) -> None:
        port = free_port()
        env = {
            **os.environ,
            "FEATURE_STORE_GRPC_PORT": str(port),
            "FEATURE_STORE_METRICS_PORT": str(free_port()),
            "FEATURE_STORE_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "FEATURE_STORE_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "FEATURE_STORE_BAR_SECONDS": "1",
            "FEATURE_STORE_EMISSION_MS": "250",
            **self.settings,
        }
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "services.feature_store"]
            self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def stub(self) -> features_pb2_grpc.FeatureStoreServiceStub:
        assert self.channel is not None
        return features_pb2_grpc.FeatureStoreServiceStub(self.channel)

    def wait_ready(self) -> None:
        health = health_pb2_grpc.HealthStub(self.channel)

        def serving() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        wait_for(serving, why="the feature store becomes ready")

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

    def produce(self, records: Sequence[MarketRecord]) -> None:
        """Write records to market.events and see every one of them acknowledged."""
        producer = open_producer(self.kafka, "test")
        sends = [
            producer.send("market.events", key=record.head.instrument.encode(), value=encode_record(record))
            for record in records
        ]
        for send in sends:
            send.result(30.0)
        producer.close()

    def read(self, topic: str) -> list[Record]:
        """All that a topic holds now."""
        consumer = open_consumer(self.kafka, "test")
        try:
            parts = consumer.partitions_for(topic)
            ends = consumer.end_offsets(parts)
            left = {part: end for part, end in ends.items() if end > consumer.beginning_offsets([part])[part]}
            consumer.assign(dict.fromkeys(parts, "earliest"))
            records: list[Record] = []
            limit = time.monotonic() + 30.0
            while left and time.monotonic() < limit:
                for record in consumer.poll(0.2):
                    records.append(record)
                    for part, end in list(left.items()):
                        if part.partition == record.partition and record.offset + 1 >= end:
                            del left[part]
            assert not left, f"{topic} did not give all it has"
            return records
        finally:
            consumer.close()
