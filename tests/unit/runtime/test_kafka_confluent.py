"""What librdkafka's consumer says, or does not say, reaches whoever owns it: it never goes deaf in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka as ck
import pytest

from libs.runtime import kafka_confluent
from libs.runtime.kafka import CommitRefused, KafkaConfig, KafkaUnavailable, TopicPartition
from libs.runtime.kafka_confluent import ConfluentConsumer

PART = TopicPartition("events", 0)


class Said:
    """What polling gives: an error, or a record."""

    def __init__(self, code: int | None = None, offset: int = 0) -> None:
        self._code, self._offset = code, offset

    def error(self) -> ck.KafkaError | None:
        return None if self._code is None else ck.KafkaError(self._code)

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> None: ...

    def value(self) -> None: ...

    def headers(self) -> None: ...


class Native:
    """librdkafka's consumer: says these things one a call, and does what is `due` at each."""

    def __init__(self, *said: Said, due: Callable[[], None] = lambda: None) -> None:
        self._said, self._due, self.served = list(said), due, 0

    def poll(self, timeout: float) -> Said | None:
        return next(iter(self.consume(1, timeout)), None)

    def consume(self, count: int, timeout: float) -> list[Said]:
        self.served += 1
        self._due()
        return [self._said.pop(0)] if self._said else []

    def commit(self, offsets: list[ck.TopicPartition], asynchronous: bool) -> None:
        assert asynchronous, "what a member of a group has to do would not be done"

    def seek(self, partition: ck.TopicPartition) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(kafka_confluent, "ANSWER_SECONDS", 0.05)
    one = ConfluentConsumer(KafkaConfig("127.0.0.1:1"), "test", group="test")
    one._consumer.close()
    yield one
    one.close()


def answer(consumer: Any, error: ck.KafkaError | None = None) -> None:
    consumer._committed(error, [ck.TopicPartition("events", 0, 7)])


@pytest.mark.parametrize("code", [ck.KafkaError._FATAL, ck.KafkaError.FENCED_INSTANCE_ID])
def test_a_broken_consumer_raises(consumer: Any, code: int) -> None:
    consumer._consumer = Native(Said(code))
    with pytest.raises(KafkaUnavailable):
        consumer.poll(0.0)


def test_a_broker_that_is_away_is_waited_for(consumer: Any) -> None:
    consumer._consumer = Native(Said(ck.KafkaError._ALL_BROKERS_DOWN))
    assert consumer.poll(0.0) == []


def test_a_commit_without_an_answer_ends(consumer: Any) -> None:
    native = consumer._consumer = Native()
    with pytest.raises(CommitRefused):
        consumer.commit({PART: 7})
    assert native.served > 1


def test_records_that_come_during_a_commit_are_polled_next_and_in_order(consumer: Any) -> None:
    consumer._consumer = Native(Said(offset=1), Said(offset=2))
    with pytest.raises(CommitRefused):
        consumer.commit({PART: 7})
    consumer._consumer = Native(Said(offset=3), due=lambda: answer(consumer))
    consumer.commit({PART: 7})
    assert [record.offset for record in consumer.poll(0.0)] == [1, 2, 3]


def test_records_from_before_a_seek_are_forgotten(consumer: Any) -> None:
    consumer._consumer = Native(Said(offset=1), due=lambda: answer(consumer))
    consumer.commit({PART: 7})
    consumer.seek(PART, 0)
    assert consumer.poll(0.0) == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [(ck.KafkaError.ILLEGAL_GENERATION, CommitRefused), (ck.KafkaError.FENCED_INSTANCE_ID, KafkaUnavailable)],
)
def test_a_refused_commit_says_what_it_means(consumer: Any, code: int, problem: type[Exception]) -> None:
    consumer._consumer = Native(due=lambda: answer(consumer, ck.KafkaError(code)))
    with pytest.raises(problem):
        consumer.commit({PART: 7})


@pytest.mark.parametrize("code", [ck.KafkaError._STATE, ck.KafkaError._OUTDATED])
def test_a_partition_whose_fetching_begins_is_moved_again(
    consumer: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    answers: list[ck.KafkaError | None] = [ck.KafkaError(code), ck.KafkaError(code), None]

    def seek(native: Native, part: ck.TopicPartition) -> None:
        if (error := answers.pop(0)) is not None:
            raise ck.KafkaException(error)

    monkeypatch.setattr(Native, "seek", seek)
    monkeypatch.setattr(kafka_confluent, "ANSWER_SECONDS", 30.0)
    consumer._consumer = Native()
    consumer.seek(PART, 7)
    assert answers == []
