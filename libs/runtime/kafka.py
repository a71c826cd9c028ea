"""The port to Kafka: records, positions and what a producer and a consumer promise, whichever client is behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

Client = Literal["confluent", "kafka-python"]
Headers = Sequence[tuple[str, bytes]]

Offset = int | Literal["earliest", "latest", "committed"]

MAX_RECORD_BYTES = 8 * 1024 * 1024  # engine snapshots are the largest; the local broker is told the same
LOOK_FOR_TOPICS_MS = 5_000  # how soon a consumer sees a topic that was made after it subscribed
BUFFER_BYTES = 64 * 1024 * 1024  # what may wait in a producer for a broker that is away; then `send` blocks


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Where the broker is, which client speaks to it, and the prefix that keeps environments apart."""

    bootstrap: str
    client: Client = "confluent"
    topic_prefix: str = ""

    def own(self, name: str) -> str:
        """The broker's name of a topic or a consumer group of this environment."""
        return self.topic_prefix + name


@dataclass(frozen=True, slots=True)
class TopicPartition:
    topic: str  # without the environment's prefix, like every topic name that passes this port
    partition: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where an acknowledged record lies."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class KafkaUnavailable(Exception):
    """The broker gives no answer that is of use now; the message names the address and what was tried."""


class UnknownTopic(KafkaUnavailable):
    """A topic that is not there, as a broker says of all of them for a moment after its start; the message names it and
    says where topics come from."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"no topic {topic!r} on the broker; topics come from protos/topics.yaml")


class SendFailed(Exception):
    """A record that the broker, or the client before it, refused for good; the message holds the reason."""


class CommitRefused(Exception):
    """Offsets that the broker did not take: another consumer owns the partition, or there was no answer in time.

    Whoever owns it reads the records again."""


class Producer(Protocol):
    """acks=all and idempotent. The result of every send is its own future: `flush` alone does not report failures."""

    def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Future[Position]:
        """Queue one record; blocks while the bounded buffer is full. The future fails with the broker's reason."""

    def flush(self, timeout_s: float) -> bool:
        """Wait for what was queued; True when nothing is left."""

    def close(self, timeout_s: float = 10.0) -> None: ...


class Consumer(Protocol):
    """Reads from the earliest record unless told otherwise; never commits by itself."""

    def subscribe(self, topics: Sequence[str]) -> None:
        """Share the topics with the consumer group (cooperative; static membership when an instance id was given).

        A topic that is not there is waited for, with a line in the log: `poll` gives nothing until it is made."""

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        """Take these partitions without a group, from these offsets."""

    def assignment(self) -> frozenset[TopicPartition]: ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        """At most `max_records` in partition order; empty after the timeout. Raises `KafkaUnavailable` only when closed
        or fatally broken: a broker that comes back is waited for."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to read; returns when the broker has them. Raises `CommitRefused`, also when there is
        no answer for as long as a member may be silent; `KafkaUnavailable` when another member took this one's instance
        id, as a broker that came back may think: open a new consumer."""

    def committed(self, partition: TopicPartition) -> int | None: ...

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]: ...

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        """All partitions of a topic; raises `UnknownTopic`."""

    def close(self) -> None: ...


def open_producer(config: KafkaConfig, client_id: str, *, linger_ms: int = 0) -> Producer:
    """A producer of the configured client. Raises nothing when the broker is away: sends wait for it."""
    if config.client == "confluent":
        from libs.runtime.kafka_confluent import ConfluentProducer

        return ConfluentProducer(config, client_id, linger_ms=linger_ms)
    from libs.runtime.kafka_python import PythonProducer

    return PythonProducer(config, client_id, linger_ms=linger_ms)


def open_consumer(
    config: KafkaConfig, client_id: str, *, group: str | None = None, instance_id: str | None = None
) -> Consumer:
    """A consumer of the configured client; `group` is needed for `subscribe`, `commit` and `committed`."""
    if config.client == "confluent":
        from libs.runtime.kafka_confluent import ConfluentConsumer

        return ConfluentConsumer(config, client_id, group=group, instance_id=instance_id)
    from libs.runtime.kafka_python import PythonConsumer

    return PythonConsumer(config, client_id, group=group, instance_id=instance_id)
