"""What both Kafka clients do while the broker is away: wait, lose nothing, say what cannot be answered."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime import kafka_confluent, kafka_python
from libs.runtime.kafka import (
    BUFFER_BYTES,
    Consumer,
    KafkaConfig,
    KafkaUnavailable,
    Position,
    Record,
    SendFailed,
    TopicPartition,
    open_consumer,
    open_producer,
)

TOPIC = "predictions"
PART = TopicPartition(TOPIC, 0)
LARGE = bytes(BUFFER_BYTES // 8 - 1024)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(BrokerPlace(tmp_path_factory.mktemp("outage") / "broker", free_port(), free_port()))
    broker.start()
    create_topics(broker.bootstrap)
    yield broker
    broker.stop()


@pytest.fixture(params=["confluent", "kafka-python"])
def config(request: pytest.FixtureRequest, broker: Broker) -> KafkaConfig:
    if not broker.is_running():
        broker.start()
    config = KafkaConfig(broker.bootstrap, request.param, f"{uuid.uuid4().hex[:10]}.")
    create_topics(config.bootstrap, config.topic_prefix)
    return config


@pytest.fixture
def away(config: KafkaConfig, broker: Broker) -> Broker:
    """The broker, killed as by a crash; the next test's `config` starts it again."""
    broker.kill()
    return broker


def test_a_broker_that_is_away_at_the_start_is_waited_for(config: KafkaConfig, away: Broker) -> None:
    producer = open_producer(config, "writer")
    consumer = open_consumer(config, "reader", group="g")
    consumer.subscribe([TOPIC])
    sent: list[Position] = []
    sender = threading.Thread(
        target=lambda: sent.append(producer.send(TOPIC, key=b"k", value=b"a", partition=0).result(60))
    )
    sender.start()
    assert consumer.poll(1.0) == []
    away.start()
    sender.join(60)
    assert sent == [Position(0, 0)]
    assert [record.value for record in poll_some(consumer, 1)] == [b"a"]
    producer.close()
    consumer.close()


def test_a_broker_that_crashes_in_the_middle_loses_nothing(config: KafkaConfig, broker: Broker) -> None:
    producer = open_producer(config, "writer")
    consumer = open_consumer(config, "reader", group="g")
    consumer.subscribe([TOPIC])
    wanted = [b"%d" % i for i in range(300)]
    futures = [producer.send(TOPIC, key=b"k", value=value, partition=0) for value in wanted[:100]]
    broker.kill()
    try:
        futures += [producer.send(TOPIC, key=b"k", value=value, partition=0) for value in wanted[100:200]]
        seen = consumer.poll(1.0)
    finally:
        broker.start()
    futures += [producer.send(TOPIC, key=b"k", value=value, partition=0) for value in wanted[200:]]
    assert [future.result(60).offset for future in futures] == list(range(300))
    reader = open_consumer(config, "other reader")
    reader.assign({PART: "earliest"})
    assert [record.value for record in poll_some(reader, 300)] == wanted
    seen += poll_some(consumer, 300 - len(seen))
    assert [record.value for record in seen] == wanted
    consumer.commit({PART: 7})
    assert consumer.committed(PART) == 7
    for client in (producer, consumer, reader):
        client.close()


def test_questions_to_a_broker_that_is_away_are_refused_in_words(
    config: KafkaConfig, away: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_confluent, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(kafka_python, "ANSWER_MS", 1000)
    consumer = open_consumer(config, "reader")
    with pytest.raises(KafkaUnavailable, match=config.bootstrap):
        consumer.end_offsets([PART])
    with pytest.raises(KafkaUnavailable, match=config.bootstrap):
        consumer.partitions_for(TOPIC)
    consumer.close()


def test_a_full_buffer_makes_send_wait_and_close_fails_what_is_left(config: KafkaConfig, broker: Broker) -> None:
    producer = open_producer(config, "writer")
    producer.send(TOPIC, key=b"k", value=b"first", partition=0).result(30)
    broker.kill()
    sent = [producer.send(TOPIC, key=b"k", value=LARGE, partition=0) for _ in range(7)]
    last: list[object] = []

    def send_more() -> None:
        try:
            for _ in range(3):
                last.append(producer.send(TOPIC, key=b"k", value=LARGE, partition=0))
        except KafkaUnavailable as error:
            last.append(error)

    sender = threading.Thread(target=send_more)
    sender.start()
    time.sleep(1.0)
    assert sender.is_alive()
    assert len(last) < 3
    producer.close(timeout_s=0.5)
    sender.join(20)
    assert not sender.is_alive()
    assert isinstance(last[-1], KafkaUnavailable)
    assert all(isinstance(future.exception(20), SendFailed) for future in sent)


def poll_some(consumer: Consumer, count: int, seconds: float = 30.0) -> list[Record]:
    found: list[Record] = []
    limit = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < limit:
        found += consumer.poll(0.2)
    return found
