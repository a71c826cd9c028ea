"""The port to Kafka through kafka-python, the one without native code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from kafka import KafkaConsumer, KafkaProducer, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as NativePartition

from libs.runtime.kafka import (
    MAX_RECORD_BYTES,
    CommitRefused,
    Headers,
    KafkaConfig,
    KafkaUnavailable,
    Position,
    Record,
    SendFailed,
    TopicPartition,
    UnknownTopic,
)

# Naming the version makes clients open without asking a broker first, so that one that is away is waited for.
BROKER_VERSION = (4, 1)
ANSWER_MS = 10_000
METADATA_MS = 3_000
FOREVER_MS = 2**31 - 1
BUFFERED_RECORDS = 100_000
LOST_PARTITION = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    errors.FencedInstanceIdError,
)


class PythonProducer:
    """A producer whose buffer is bounded here, because the library's is not."""

    def __init__(self, config: KafkaConfig, client_id: str, *, linger_ms: int = 0) -> None:
        self._config = config
        self._producer = KafkaProducer(
            **_settings(config, client_id),
            acks="all",
            enable_idempotence=True,
            linger_ms=linger_ms,
            delivery_timeout_ms=FOREVER_MS,
            max_block_ms=METADATA_MS,
            max_request_size=MAX_RECORD_BYTES,
        )
        self._room = threading.BoundedSemaphore(BUFFERED_RECORDS)
        self._closed = threading.Event()

    def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Future[Position]:
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()
        while not self._room.acquire(timeout=0.1):
            if self._closed.is_set():
                raise KafkaUnavailable("the producer was closed while its buffer was full")
        while True:
            if self._closed.is_set():
                self._room.release()
                raise KafkaUnavailable("the producer is closed")
            asked_at = time.monotonic() * 1000
            try:
                sent = self._producer.send(
                    self._config.topic(topic), key=key, value=value, headers=list(headers), partition=partition
                )
            except errors.KafkaTimeoutError:
                if self._saw_metadata_since(asked_at):
                    return self._fail(future, UnknownTopic(_unknown(topic)))
            except (errors.KafkaError, ValueError) as error:
                return self._fail(future, _failure(error, topic))
            else:
                sent.add_callback(lambda done: self._succeed(future, done))
                sent.add_errback(lambda error: self._fail(future, _failure(error, topic)))
                return future

    def flush(self, timeout_s: float) -> bool:
        try:
            self._producer.flush(timeout_s)
        except errors.KafkaTimeoutError:
            return False
        return True

    def close(self, timeout_s: float = 10.0) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            self._producer.close(timeout_s)
        except errors.KafkaTimeoutError:
            # the library leaves its sender running when its flush runs out of time
            self._producer._sender.force_close()

    def _saw_metadata_since(self, monotonic_ms: float) -> bool:
        return bool(self._producer._metadata._last_successful_refresh_ms >= monotonic_ms)

    def _succeed(self, future: Future[Position], done: Any) -> None:
        self._room.release()
        future.set_result(Position(done.partition, done.offset))

    def _fail(self, future: Future[Position], error: Exception) -> Future[Position]:
        self._room.release()
        future.set_exception(error)
        return future


class PythonConsumer:
    """A consumer; every call comes from the one thread that owns it."""

    def __init__(
        self, config: KafkaConfig, client_id: str, *, group: str | None = None, instance_id: str | None = None
    ) -> None:
        self._config = config
        self._group = group
        self._closed = False
        self._consumer = KafkaConsumer(
            **_settings(config, client_id),
            group_id=group,
            group_instance_id=instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        self._need_group("subscribe")
        self._consumer.subscribe([self._config.topic(topic) for topic in topics])

    def assign(self, positions: Mapping[TopicPartition, int | Literal["earliest", "latest", "committed"]]) -> None:
        if "committed" in positions.values():
            self._need_group("assign committed")
        self._consumer.assign([self._native(part) for part in positions])
        for part, at in positions.items():
            if at == "earliest":
                self._consumer.seek_to_beginning(self._native(part))
            elif at == "latest":
                self._consumer.seek_to_end(self._native(part))
            elif at != "committed":
                self._consumer.seek(self._native(part), at)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._ours(part) for part in self._consumer.assignment())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(self._native(partition), offset)

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        if self._closed:
            raise KafkaUnavailable("the consumer is closed")
        try:
            batches = self._consumer.poll(timeout_ms=max(0, round(timeout_s * 1000)), max_records=max_records)
        except errors.FencedInstanceIdError as error:
            raise KafkaUnavailable(f"another member has this instance id: {error}") from error
        return [self._record(record) for batch in batches.values() for record in batch]

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._need_group("commit")
        wanted = {self._native(part): OffsetAndMetadata(offset, "", -1) for part, offset in offsets.items()}
        while wanted:
            try:
                self._consumer.commit(wanted, timeout_ms=ANSWER_MS)
            except LOST_PARTITION as error:
                raise CommitRefused(f"{sorted(map(str, offsets))}: {error}") from error
            except errors.UnknownTopicOrPartitionError as error:
                raise UnknownTopic(_unknown(", ".join(sorted({part.topic for part in offsets})))) from error
            except errors.RetriableError as error:
                if self._closed:
                    raise KafkaUnavailable("the consumer was closed while committing") from error
            else:
                return

    def committed(self, partition: TopicPartition) -> int | None:
        self._need_group("committed")
        offset = self._answer(lambda: self._consumer.committed(self._native(partition), timeout_ms=ANSWER_MS))
        return None if offset is None or offset < 0 else int(offset)

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._bounds(self._consumer.end_offsets, partitions)

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._bounds(self._consumer.beginning_offsets, partitions)

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        numbers = self._answer(lambda: self._consumer.partitions_for_topic(self._config.topic(topic)))
        if not numbers:
            raise UnknownTopic(_unknown(topic))
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close(autocommit=False, timeout_ms=ANSWER_MS)

    def _bounds(self, ask: Callable[..., Any], partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        natives = {self._native(part): part for part in partitions}
        found = self._answer(lambda: ask(list(natives), timeout_ms=ANSWER_MS)) if natives else {}
        return {natives[native]: int(offset) for native, offset in found.items()}

    def _answer(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except errors.UnknownTopicOrPartitionError as error:
            raise UnknownTopic(str(error)) from error
        except errors.KafkaError as error:
            raise KafkaUnavailable(f"no answer from {self._config.bootstrap}: {error}") from error

    def _need_group(self, action: str) -> None:
        if self._group is None:
            raise ValueError(f"{action}: this consumer has no group")

    def _native(self, partition: TopicPartition) -> NativePartition:
        return NativePartition(self._config.topic(partition.topic), partition.partition)

    def _ours(self, native: NativePartition) -> TopicPartition:
        return TopicPartition(native.topic.removeprefix(self._config.topic_prefix), native.partition)

    def _record(self, record: Any) -> Record:
        return Record(
            topic=record.topic.removeprefix(self._config.topic_prefix),
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
        )


def _settings(config: KafkaConfig, client_id: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": config.bootstrap.split(","),
        "client_id": client_id,
        "api_version": BROKER_VERSION,
        "allow_auto_create_topics": False,
        "reconnect_backoff_max_ms": 1000,
        "metrics_enabled": False,
    }


def _unknown(topic: str) -> str:
    return f"no topic {topic!r} on the broker; topics come from protos/topics.yaml"


def _failure(error: BaseException, topic: str) -> Exception:
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return UnknownTopic(_unknown(topic))
    return SendFailed(f"{topic}: {error}")
