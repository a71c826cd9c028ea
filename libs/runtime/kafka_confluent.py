"""The port to Kafka through confluent-kafka (librdkafka), the quick one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, cast

import confluent_kafka as ck

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

ANSWER_SECONDS = 10.0
UNKNOWN_TOPIC = frozenset({ck.KafkaError._UNKNOWN_TOPIC, ck.KafkaError.UNKNOWN_TOPIC_OR_PART})
LOST_PARTITION = frozenset(
    {
        ck.KafkaError.ILLEGAL_GENERATION,
        ck.KafkaError.UNKNOWN_MEMBER_ID,
        ck.KafkaError.REBALANCE_IN_PROGRESS,
        ck.KafkaError.FENCED_INSTANCE_ID,
        ck.KafkaError._ASSIGNMENT_LOST,
    }
)
OFFSETS = {"earliest": ck.OFFSET_BEGINNING, "latest": ck.OFFSET_END, "committed": ck.OFFSET_STORED}


class ConfluentProducer:
    """A producer with a thread of its own that resolves futures as reports arrive."""

    def __init__(self, config: KafkaConfig, client_id: str, *, linger_ms: int = 0) -> None:
        self._config = config
        self._producer = ck.Producer(
            {
                **_settings(config, client_id),
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "partitioner": "murmur2_random",  # the same partition of a key as the other client
                "message.timeout.ms": 0,  # a broker that is away is waited for
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 64 * 1024,
                "topic.metadata.propagation.max.ms": 3000,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._closed = threading.Event()
        self._poller = threading.Thread(target=self._serve, name=f"{client_id}-reports", daemon=True)
        self._poller.start()

    def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Future[Position]:
        if self._closed.is_set():
            raise KafkaUnavailable("the producer is closed")
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        report = self._reporter(topic, future)
        while True:
            try:
                self._producer.produce(
                    self._config.topic(topic), value, key, headers=list(headers), on_delivery=report, **options
                )
            except BufferError:
                if self._closed.wait(0.002):
                    raise KafkaUnavailable("the producer was closed while its buffer was full") from None
            except ck.KafkaException as error:
                future.set_exception(_failure(error.args[0], topic))
                return future
            else:
                return future

    def flush(self, timeout_s: float) -> bool:
        return bool(self._producer.flush(timeout_s) == 0)

    def close(self, timeout_s: float = 10.0) -> None:
        if self._closed.is_set():
            return
        if self._producer.flush(timeout_s) > 0:
            self._producer.purge()
            self._producer.flush(1.0)
        self._closed.set()
        self._poller.join(1.0)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)

    @staticmethod
    def _reporter(topic: str, future: Future[Position]) -> Callable[[Any, ck.Message], None]:
        def report(error: Any, message: ck.Message) -> None:
            if error is not None:
                future.set_exception(_failure(error, topic))
            else:
                future.set_result(Position(int(message.partition() or 0), int(message.offset() or 0)))

        return report


class ConfluentConsumer:
    """A consumer; one thread polls it, others may commit."""

    def __init__(
        self, config: KafkaConfig, client_id: str, *, group: str | None = None, instance_id: str | None = None
    ) -> None:
        self._config = config
        self._group = group
        settings = {
            **_settings(config, client_id),
            "group.id": group or f"{client_id}-without-group",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 3_000,
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
            "allow.auto.create.topics": False,
        }
        if instance_id is not None:
            settings["group.instance.id"] = instance_id
        self._consumer = ck.Consumer(settings, logger=logging.getLogger("librdkafka"))
        self._closed = False

    def subscribe(self, topics: Sequence[str]) -> None:
        self._need_group("subscribe")
        self._consumer.subscribe([self._config.topic(topic) for topic in topics])

    def assign(self, positions: Mapping[TopicPartition, int | Literal["earliest", "latest", "committed"]]) -> None:
        if "committed" in positions.values():
            self._need_group("assign committed")
        self._consumer.assign(
            [self._native(part, OFFSETS[at] if isinstance(at, str) else at) for part, at in positions.items()]
        )

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._ours(part) for part in self._consumer.assignment())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        limit = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                self._consumer.seek(self._native(partition, offset))
            except ck.KafkaException as error:
                # a partition just assigned cannot be moved until its fetching has begun
                if error.args[0].code() != ck.KafkaError._STATE or time.monotonic() > limit:
                    raise KafkaUnavailable(f"cannot seek {partition}: {error.args[0].str()}") from error
                time.sleep(0.005)
            else:
                return

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        if self._closed:
            raise KafkaUnavailable("the consumer is closed")
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        # consume() waits its whole timeout for a full batch: only what is already here is taken with the first
        messages = [first, *(self._consumer.consume(max_records - 1, 0.0) if max_records > 1 else ())]
        return [self._record(message) for message in messages if not self._is_error(message)]

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._need_group("commit")
        wanted = [self._native(part, offset) for part, offset in offsets.items()]
        while wanted:
            try:
                done = self._consumer.commit(offsets=wanted, asynchronous=False) or []
                error = next((part.error for part in done if part.error), None)
            except ck.KafkaException as raised:
                error = raised.args[0]
            if error is None:
                return
            if self._closed or error.fatal():
                raise KafkaUnavailable(f"commit: {error.str()}")
            if error.code() in LOST_PARTITION:
                raise CommitRefused(f"{sorted(map(str, offsets))}: {error.str()}")
            if error.code() in UNKNOWN_TOPIC:
                raise UnknownTopic(_unknown(", ".join(sorted({part.topic for part in offsets}))))
            time.sleep(0.1)

    def committed(self, partition: TopicPartition) -> int | None:
        self._need_group("committed")
        native = self._native(partition, ck.OFFSET_INVALID)
        [answer] = self._answer(lambda: self._consumer.committed([native], timeout=ANSWER_SECONDS))
        return int(answer.offset) if answer.offset >= 0 else None

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {part: self._watermarks(part)[1] for part in partitions}

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {part: self._watermarks(part)[0] for part in partitions}

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        name = self._config.topic(topic)
        found = self._answer(lambda: self._consumer.list_topics(name, timeout=ANSWER_SECONDS)).topics[name]
        if found.error is not None:
            raise UnknownTopic(_unknown(topic))
        return [TopicPartition(topic, number) for number in sorted(found.partitions)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        native = self._native(partition, ck.OFFSET_INVALID)
        low, high = self._answer(lambda: self._consumer.get_watermark_offsets(native, timeout=ANSWER_SECONDS))
        return int(low), int(high)

    def _answer(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ck.KafkaException as error:
            problem = error.args[0]
            if problem.code() in UNKNOWN_TOPIC:
                raise UnknownTopic(problem.str()) from error
            raise KafkaUnavailable(f"no answer from {self._config.bootstrap}: {problem.str()}") from error

    def _need_group(self, action: str) -> None:
        if self._group is None:
            raise ValueError(f"{action}: this consumer has no group")

    def _native(self, partition: TopicPartition, offset: int) -> ck.TopicPartition:
        return ck.TopicPartition(self._config.topic(partition.topic), partition.partition, offset)

    def _ours(self, native: ck.TopicPartition) -> TopicPartition:
        return TopicPartition(native.topic.removeprefix(self._config.topic_prefix), native.partition)

    def _is_error(self, message: ck.Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() in UNKNOWN_TOPIC:
            raise UnknownTopic(_unknown((message.topic() or "").removeprefix(self._config.topic_prefix)))
        if error.fatal():
            raise KafkaUnavailable(error.str())
        logging.getLogger("librdkafka").warning("%s", error.str())
        return True

    def _record(self, message: ck.Message) -> Record:
        return Record(
            topic=str(message.topic()).removeprefix(self._config.topic_prefix),
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            timestamp_ms=int(message.timestamp()[1]),
            key=message.key(),
            value=message.value(),
            headers=tuple(cast(list[tuple[str, bytes]], message.headers() or [])),
        )


def _settings(config: KafkaConfig, client_id: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": config.bootstrap,
        "client.id": client_id,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
    }


def _unknown(topic: str) -> str:
    return f"no topic {topic!r} on the broker; topics come from protos/topics.yaml"


def _failure(error: ck.KafkaError, topic: str) -> Exception:
    if error.code() in UNKNOWN_TOPIC:
        return UnknownTopic(_unknown(topic))
    return SendFailed(f"{topic}: {error.str()}")
