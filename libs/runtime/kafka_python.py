"""The port to Kafka through kafka-python, the one without native code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as NativePartition

from libs.runtime import kafka as port
from libs.runtime.kafka import Headers, KafkaConfig, Offset, Position, Record, TopicPartition

# Naming the version makes clients open without asking a broker first, so that one that is away is waited for.
BROKER_VERSION = (4, 1)
ANSWER_MS = 10_000
METADATA_MS = 3_000
FOREVER_MS = 2**31 - 1
LOST_PARTITION: tuple[type[Exception], ...] = (errors.CommitFailedError,)
LOST_PARTITION += (errors.IllegalGenerationError, errors.RebalanceInProgressError, errors.UnknownMemberIdError)


class PythonProducer:
    """A producer whose buffer is bounded here, because the library's is not."""

    def __init__(self, config: KafkaConfig, client_id: str, *, linger_ms: int = 0) -> None:
        self._config = config
        self._room = _Room(port.BUFFER_BYTES)
        self._closed = threading.Event()
        self._producer = KafkaProducer(
            **_settings(config, client_id),
            acks="all",
            enable_idempotence=True,
            linger_ms=linger_ms,
            delivery_timeout_ms=FOREVER_MS,
            max_block_ms=METADATA_MS,
            max_request_size=port.MAX_RECORD_BYTES,
        )

    def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Future[Position]:
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()
        size = len(key or b"") + len(value or b"")

        def done(result: Any) -> None:
            self._room.give(size)
            future.set_result(Position(result.partition, result.offset))

        def failed(error: BaseException) -> Future[Position]:
            self._room.give(size)
            unknown = isinstance(error, errors.UnknownTopicOrPartitionError)
            future.set_exception(port.UnknownTopic(topic) if unknown else port.SendFailed(f"{topic}: {error}"))
            return future

        self._room.take(size, self._closed)
        while not self._closed.is_set():
            asked_ms = time.monotonic() * 1000
            try:
                name = self._config.own(topic)
                sent = self._producer.send(name, key=key, value=value, headers=list(headers), partition=partition)
            except errors.KafkaTimeoutError:
                # the broker is away, or it answers and has no such topic
                if self._producer._metadata._last_successful_refresh_ms >= asked_ms:
                    return failed(errors.UnknownTopicOrPartitionError())
            except (errors.KafkaError, ValueError) as error:
                return failed(error)
            else:
                sent.add_callback(done)
                sent.add_errback(failed)
                return future
        raise port.KafkaUnavailable("the producer is closed")

    def flush(self, timeout_s: float) -> bool:
        try:
            self._producer.flush(timeout_s)
        except errors.KafkaTimeoutError:
            return False
        return True

    def close(self, timeout_s: float = 10.0) -> None:
        if not self._closed.is_set():
            self._closed.set()
            try:
                self._producer.close(timeout_s)
            except errors.KafkaTimeoutError:
                self._producer._sender.force_close()  # the library leaves it running when its flush runs out of time


class PythonConsumer:
    """A consumer; every call comes from the one thread that owns it."""

    def __init__(
        self, config: KafkaConfig, client_id: str, *, group: str | None = None, instance_id: str | None = None
    ) -> None:
        self._config, self._group, self._closed = config, group, False
        self._consumer = KafkaConsumer(
            **_settings(config, client_id),
            group_id=None if group is None else config.own(group),
            group_instance_id=instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=10_000,
            fetch_max_wait_ms=100,
            metadata_max_age_ms=port.LOOK_FOR_TOPICS_MS,
            max_partition_fetch_bytes=port.MAX_RECORD_BYTES,
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        self._need_group()
        self._consumer.subscribe([self._config.own(topic) for topic in topics])

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        if "committed" in positions.values():
            self._need_group()
        self._consumer.unsubscribe()  # a partition assigned before would keep its place
        self._consumer.assign([self._native(part) for part in positions])
        for part, at in positions.items():
            if at == "earliest":
                self._consumer.seek_to_beginning(self._native(part))
            elif at == "latest":
                self._consumer.seek_to_end(self._native(part))
            elif at != "committed":
                self._consumer.seek(self._native(part), at)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(
            TopicPartition(part.topic.removeprefix(self._config.topic_prefix), part.partition)
            for part in self._consumer.assignment()
        )

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(self._native(partition), offset)

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        if self._closed:
            raise port.KafkaUnavailable("the consumer is closed")
        try:
            batches = self._consumer.poll(timeout_ms=max(0, round(timeout_s * 1000)), max_records=max_records)
        except errors.FencedInstanceIdError as error:
            raise port.KafkaUnavailable(f"another member has this instance id: {error}") from error
        except errors.RetriableError:
            time.sleep(min(timeout_s, 0.2))  # the broker is away: it is asked again at the next poll
            return []
        return [self._record(record) for batch in batches.values() for record in batch]

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._need_group()
        wanted = {self._native(part): OffsetAndMetadata(offset, "", -1) for part, offset in offsets.items()}
        while wanted:
            try:
                self._consumer.commit(wanted, timeout_ms=ANSWER_MS)
            except errors.FencedInstanceIdError as error:
                raise port.KafkaUnavailable(f"another member has this instance id: {error}") from error
            except LOST_PARTITION as error:
                raise port.CommitRefused(f"{sorted(map(str, offsets))}: {error}") from error
            except errors.UnknownTopicOrPartitionError as error:
                raise port.UnknownTopic(", ".join(sorted({part.topic for part in offsets}))) from error
            except errors.RetriableError as error:
                if self._closed:
                    raise port.KafkaUnavailable("the consumer was closed while committing") from error
            else:
                return

    def committed(self, partition: TopicPartition) -> int | None:
        self._need_group()
        native = self._native(partition)
        offset = self._answer(lambda: self._consumer.committed(native, timeout_ms=ANSWER_MS), partition.topic)
        return None if offset is None or offset < 0 else int(offset)

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._bounds(self._consumer.end_offsets, partitions)

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._bounds(self._consumer.beginning_offsets, partitions)

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        # the consumer itself would wait for ever for a broker that is away; the admin has a limit
        name = self._config.own(topic)
        limits = {"bootstrap_timeout_ms": ANSWER_MS, "request_timeout_ms": ANSWER_MS}

        def ask() -> Any:
            with KafkaAdminClient(bootstrap_servers=self._config.bootstrap.split(","), **limits) as admin:
                return admin.describe_topics([name])

        found = [part["partition_index"] for row in self._answer(ask, topic) for part in row["partitions"]]
        if not found:
            raise port.UnknownTopic(topic)
        return [TopicPartition(topic, number) for number in sorted(found)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close(autocommit=False, timeout_ms=ANSWER_MS)

    def _bounds(self, ask: Callable[..., Any], partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        natives = {self._native(part): part for part in partitions}
        topics = ", ".join(sorted({part.topic for part in partitions}))
        found = self._answer(lambda: ask(list(natives), timeout_ms=ANSWER_MS), topics) if natives else {}
        return {natives[native]: int(offset) for native, offset in found.items()}

    def _answer(self, ask: Callable[[], Any], topic: str) -> Any:
        try:
            return ask()
        except errors.UnknownTopicOrPartitionError as error:
            raise port.UnknownTopic(topic) from error
        except errors.KafkaError as error:
            raise port.KafkaUnavailable(f"no answer from {self._config.bootstrap}: {error}") from error

    def _need_group(self) -> None:
        if self._group is None:
            raise ValueError("this consumer has no group")

    def _native(self, part: TopicPartition) -> NativePartition:
        return NativePartition(self._config.own(part.topic), part.partition)

    def _record(self, record: Any) -> Record:
        topic = record.topic.removeprefix(self._config.topic_prefix)
        place = (topic, record.partition, record.offset, record.timestamp)
        return Record(*place, record.key, record.value, tuple(record.headers))


class _Room:
    """Bytes that may wait for the broker; a send waits until its share is free."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = threading.Condition()

    def take(self, size: int, closed: threading.Event) -> None:
        with self._changed:
            while self._free < min(size, self._size) and not closed.is_set():
                self._changed.wait(0.1)
            self._free -= size

    def give(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify_all()


def _settings(config: KafkaConfig, client_id: str) -> dict[str, Any]:
    names = {"bootstrap_servers": config.bootstrap.split(","), "client_id": client_id, "api_version": BROKER_VERSION}
    return {**names, "allow_auto_create_topics": False, "reconnect_backoff_max_ms": 1000, "metrics_enabled": False}
