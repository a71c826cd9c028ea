"""A consumer that librdkafka has given up says so to whoever polls it, instead of staying silent for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import confluent_kafka as ck
import pytest

from libs.runtime.kafka import KafkaConfig, KafkaUnavailable
from libs.runtime.kafka_confluent import ConfluentConsumer


class Said:
    """What polling gives instead of a record."""

    def __init__(self, code: int) -> None:
        self._error = ck.KafkaError(code)

    def error(self) -> ck.KafkaError:
        return self._error


class Native:
    """librdkafka's consumer with one thing to say."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def poll(self, timeout: float) -> Said:
        return self._said

    def consume(self, count: int, timeout: float) -> list[Said]:
        return []

    def close(self) -> None: ...


@pytest.fixture
def consumer() -> Iterator[Any]:
    one = ConfluentConsumer(KafkaConfig("127.0.0.1:1"), "test", group="test")
    yield one
    one.close()


@pytest.mark.parametrize("code", [ck.KafkaError._FATAL, ck.KafkaError.FENCED_INSTANCE_ID])
def test_a_broken_consumer_raises(consumer: Any, code: int) -> None:
    consumer._consumer = Native(Said(code))
    with pytest.raises(KafkaUnavailable):
        consumer.poll(0.0)


def test_a_broker_that_is_away_is_waited_for(consumer: Any) -> None:
    consumer._consumer = Native(Said(ck.KafkaError._ALL_BROKERS_DOWN))
    assert consumer.poll(0.0) == []
