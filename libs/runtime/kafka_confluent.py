"""The port to Kafka through confluent-kafka (librdkafka), the quick one."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import confluent_kafka as ck

from libs.runtime import kafka as port
from libs.runtime.kafka import Headers, KafkaConfig, Offset, Position, Record, TopicPartition

ANSWER_SECONDS = 10.0
SAY_AGAIN_S = 60.0
LOG = logging.getLogger("librdkafka")
UNKNOWN_TOPIC = {ck.KafkaError._UNKNOWN_TOPIC, ck.KafkaError._UNKNOWN_PARTITION, ck.KafkaError.UNKNOWN_TOPIC_OR_PART}
# What a client never recovers from; polling says it once, as a message whose own flag `fatal` is not set.
BROKEN = {ck.KafkaError.FENCED_INSTANCE_ID, ck.KafkaError._FATAL}
LOST_PARTITION = {ck.KafkaError._ASSIGNMENT_LOST, ck.KafkaError.ILLEGAL_GENERATION}
LOST_PARTITION |= {ck.KafkaError.UNKNOWN_MEMBER_ID, ck.KafkaError.REBALANCE_IN_PROGRESS}
BEGINNING = {ck.KafkaError._STATE, ck.KafkaError._OUTDATED}
OFFSETS = {"earliest": ck.OFFSET_BEGINNING, "latest": ck.OFFSET_END, "committed": ck.OFFSET_STORED}


class Sparingly(logging.Filter):
    """Lets the library say a thing once a minute: about a broker that is away it says the same many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = re.sub(r"#(producer|consumer)-\d+| \(after .*|\d+ms", "", record.getMessage())
        if record.created - self._said.get(text, 0.0) < SAY_AGAIN_S:
            return False
        self._said[text] = record.created
        return True


LOG.addFilter(Sparingly())


class ConfluentProducer:
    """A producer with a thread of its own that resolves futures as reports arrive."""

    def __init__(self, config: KafkaConfig, client_id: str, *, linger_ms: int = 0) -> None:
        self._config = config
        settings = _settings(config, client_id) | {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "partitioner": "murmur2_random",  # a key lies in the same partition through either client
            "message.timeout.ms": 0,  # a broker that is away is waited for
            "message.max.bytes": port.MAX_RECORD_BYTES,
            "queue.buffering.max.kbytes": port.BUFFER_BYTES // 1024,
            "topic.metadata.propagation.max.ms": 3000,
        }
        self._producer = ck.Producer(settings, logger=LOG)
        self._closed = threading.Event()
        self._reports = threading.Thread(target=self._serve, name=f"{client_id}-reports", daemon=True)
        self._reports.start()

    def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Future[Position]:
        future: Future[Position] = Future()
        future.set_running_or_notify_cancel()

        def report(error: ck.KafkaError | None, message: Any) -> None:
            if error is not None:
                future.set_exception(_failure(error, topic))
            else:
                future.set_result(Position(message.partition(), message.offset()))

        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        while not self._closed.is_set():
            try:
                name = self._config.own(topic)
                self._producer.produce(name, value, key, headers=list(headers), on_delivery=report, **place)
                return future
            except BufferError:
                self._closed.wait(0.002)
            except ck.KafkaException as error:
                future.set_exception(_failure(error.args[0], topic))
                return future
        raise port.KafkaUnavailable("the producer is closed")

    def flush(self, timeout_s: float) -> bool:
        return bool(self._producer.flush(timeout_s) == 0)

    def close(self, timeout_s: float = 10.0) -> None:
        self._closed.set()
        self._reports.join()
        if not self.flush(timeout_s):
            self._producer.purge()
            self._producer.flush(1.0)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)


class ConfluentConsumer:
    """A consumer; one thread owns it."""

    def __init__(
        self, config: KafkaConfig, client_id: str, *, group: str | None = None, instance_id: str | None = None
    ) -> None:
        self._config, self._group, self._closed = config, group, False
        # what came while a commit was waited for, and the answers to it
        self._early, self._answers = list[ck.Message](), list[ck.KafkaError | None]()
        settings = _settings(config, client_id) | {
            "on_commit": self._committed,
            "group.id": config.own(group or f"{client_id}-without-group"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": port.MAX_RECORD_BYTES,
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": port.LOOK_FOR_TOPICS_MS,
        }
        self._consumer = ck.Consumer(settings | ({"group.instance.id": instance_id} if instance_id else {}), logger=LOG)

    def subscribe(self, topics: Sequence[str]) -> None:
        self._need_group()
        self._consumer.subscribe([self._config.own(topic) for topic in topics])

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        if "committed" in positions.values():
            self._need_group()
        self._early.clear()
        self._consumer.assign([self._native(part, OFFSETS.get(at, at)) for part, at in positions.items()])  # type: ignore[arg-type]

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(
            TopicPartition(part.topic.removeprefix(self._config.topic_prefix), part.partition)
            for part in self._consumer.assignment()
        )

    def seek(self, partition: TopicPartition, offset: int) -> None:
        limit, native = time.monotonic() + ANSWER_SECONDS, self._native(partition, offset)
        self._early = [one for one in self._early if (one.topic(), one.partition()) != (native.topic, native.partition)]
        while True:
            try:
                return self._consumer.seek(native)
            except ck.KafkaException as error:
                # a partition just assigned cannot be moved until its fetching has begun, nor while it begins
                if error.args[0].code() not in BEGINNING or time.monotonic() > limit:
                    raise port.KafkaUnavailable(f"cannot seek {partition}: {error.args[0].str()}") from error
                time.sleep(0.005)

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        if self._closed:
            raise port.KafkaUnavailable("the consumer is closed")
        messages, self._early = self._early[:max_records], self._early[max_records:]
        if not messages and (first := self._consumer.poll(timeout_s)) is not None:
            # consume() waits its whole timeout for a full batch: only what is already here is taken with the first
            messages = [first, *(self._consumer.consume(max_records - 1, 0.0) if max_records > 1 else [])]
        return [self._record(message) for message in messages if not self._is_error(message)]

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._need_group()
        wanted = [self._native(part, offset) for part, offset in offsets.items()]
        limit = time.monotonic() + ANSWER_SECONDS
        while wanted and (error := self._ask_to_commit(wanted, limit)) is not None:
            if error.code() in LOST_PARTITION or time.monotonic() >= limit:
                raise port.CommitRefused(f"{sorted(map(str, offsets))}: {error.str()}")
            if error.code() in UNKNOWN_TOPIC:
                raise port.UnknownTopic(", ".join(sorted({part.topic for part in offsets})))
            if self._closed or error.fatal() or error.code() in BROKEN:
                raise port.KafkaUnavailable(f"commit: {error.str()}")
            self._early += self._consumer.consume(100, 0.1)

    def _ask_to_commit(self, wanted: list[ck.TopicPartition], limit: float) -> ck.KafkaError | None:
        """The consumer is served meanwhile: what a member that lost its group has to do comes there, and a commit that
        only waits, waits for that for ever."""
        self._answers = []
        try:
            self._consumer.commit(offsets=wanted, asynchronous=True)
        except ck.KafkaException as raised:
            self._answers.append(raised.args[0])
        while not self._answers and time.monotonic() < limit:
            self._early += self._consumer.consume(100, 0.001)
        return self._answers[0] if self._answers else ck.KafkaError(ck.KafkaError._TIMED_OUT)

    def _committed(self, error: ck.KafkaError | None, partitions: list[ck.TopicPartition]) -> None:
        # the late answer to an older commit counts too: what it did not cover is committed again with what comes next
        self._answers.append(error or next((part.error for part in partitions if part.error), None))

    def committed(self, partition: TopicPartition) -> int | None:
        self._need_group()
        native = self._native(partition, ck.OFFSET_INVALID)
        found = self._answer(lambda: self._consumer.committed([native], timeout=ANSWER_SECONDS), partition.topic)
        return int(found[0].offset) if found[0].offset >= 0 else None

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {part: self._bounds(part)[1] for part in partitions}

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {part: self._bounds(part)[0] for part in partitions}

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        name = self._config.own(topic)
        found = self._answer(lambda: self._consumer.list_topics(name, timeout=ANSWER_SECONDS), topic).topics[name]
        if found.error is not None:
            raise port.UnknownTopic(topic)
        return [TopicPartition(topic, number) for number in sorted(found.partitions)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _bounds(self, part: TopicPartition) -> tuple[int, int]:
        native = self._native(part, ck.OFFSET_INVALID)
        low, high = self._answer(lambda: self._consumer.get_watermark_offsets(native, ANSWER_SECONDS), part.topic)
        return int(low), int(high)

    def _answer(self, ask: Callable[[], Any], topic: str) -> Any:
        try:
            return ask()
        except ck.KafkaException as error:
            if error.args[0].code() in UNKNOWN_TOPIC:
                raise port.UnknownTopic(topic) from error
            raise port.KafkaUnavailable(f"no answer from {self._config.bootstrap}: {error.args[0].str()}") from error

    def _need_group(self) -> None:
        if self._group is None:
            raise ValueError("this consumer has no group")

    def _native(self, part: TopicPartition, offset: int) -> ck.TopicPartition:
        return ck.TopicPartition(self._config.own(part.topic), part.partition, offset)

    def _is_error(self, message: ck.Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.fatal() or error.code() in BROKEN:
            raise port.KafkaUnavailable(error.str())
        LOG.warning("%s", error.str())
        return True

    def _record(self, message: Any) -> Record:
        topic = message.topic().removeprefix(self._config.topic_prefix)
        place = (topic, message.partition(), message.offset(), message.timestamp()[1])
        return Record(*place, message.key(), message.value(), tuple(message.headers() or ()))


def _settings(config: KafkaConfig, client_id: str) -> dict[str, Any]:
    backoff = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1000}
    return {"bootstrap.servers": config.bootstrap, "client.id": client_id, "socket.nagle.disable": True, **backoff}


def _failure(error: ck.KafkaError, topic: str) -> Exception:
    unknown = error.code() in UNKNOWN_TOPIC
    return port.UnknownTopic(topic) if unknown else port.SendFailed(f"{topic}: {error.str()}")
