"""Offsets follow acknowledgements: nothing is committed that the broker does not have."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from libs.runtime.kafka import CommitRefused, KafkaUnavailable, Position, Record, SendFailed, TopicPartition
from libs.trading.scoring import Prediction
from libs.wire.features import encode_vector, sent_header
from libs.wire.predictions import decode_prediction
from services.model_serving.adapters import vector_log
from services.model_serving.adapters.kafka_ends import KafkaEnds
from services.model_serving.adapters.vector_log import VectorLog
from services.model_serving.domain import Unscored
from tests.builders.bundles import NAMES
from tests.builders.vectors import a_vector
from tests.unit.services.model_serving.fakes import Told, admitted
from tests.unit.services.model_serving.handlers.test_serving import scoring, served

PART = TopicPartition("features.vectors", 0)


class FakeConsumer:
    """Gives one list of records per poll; an exception in the list is raised. Stops the loop when all are given."""

    def __init__(self, polls: Sequence[Any], stop: threading.Event, begin: int = 0) -> None:
        self.polls = list(polls)
        self.stop = stop
        self.commits: list[dict[TopicPartition, int]] = []
        self.refuse_commits = False
        self.closed = False
        self.begin = begin

    def subscribe(self, topics: Sequence[str]) -> None:
        assert list(topics) == ["features.vectors"]

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        if not self.polls:
            self.stop.set()
            return []
        found = self.polls.pop(0)
        if isinstance(found, Exception):
            raise found
        return list(found)

    def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.refuse_commits:
            raise CommitRefused("moved")
        self.commits.append(dict(offsets))

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset({PART})

    def end_offsets(self, parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 3)

    def beginning_offsets(self, parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, self.begin)

    def committed(self, part: TopicPartition) -> int | None:
        return None

    def close(self) -> None:
        self.closed = True


class FakeProducer:
    """`fails`: the topic whose sends fail."""

    def __init__(self, fails: str = "") -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.headers: list[Any] = []
        self.fails = fails

    def send(self, topic: str, *, key: Any, value: Any, headers: Any = (), partition: Any = None) -> Future[Position]:
        future: Future[Position] = Future()
        self.sent.append((topic, value))
        self.headers.append(dict(headers))
        if topic == self.fails:
            future.set_exception(SendFailed("too large"))
        else:
            future.set_result(Position(0, len(self.sent)))
        return future


def record(offset: int, value: bytes | None = None, **changes: Any) -> Record:
    value = encode_vector(a_vector(ordinal=offset, **changes)) if value is None else value
    return Record("features.vectors", 0, offset, 5, b"k", value)


class World:
    def __init__(self, *polls: Any, fails: str = "", later: Sequence[Any] = (), begin: int = 0) -> None:
        self.stop = threading.Event()
        self.consumers = [FakeConsumer(polls, self.stop, begin), *(FakeConsumer(p, self.stop) for p in later)]
        self.opened: list[FakeConsumer] = []
        self.producer = FakeProducer(fails)
        self.told = Told()
        self.shown: list[Prediction] = []
        waiting = iter(self.consumers)

        def open_member() -> Any:
            self.opened.append(next(waiting))
            return self.opened[-1]

        ends: Any = KafkaEnds(self.producer, open_member, open_member)  # type: ignore[arg-type]
        self.log = VectorLog(
            ends, scoring(served(admitted(1))).score_all, lambda _, one: self.shown.append(one), self.told
        )

    def run(self) -> World:
        self.log.run(self.stop)
        return self


def test_each_vector_becomes_a_prediction_and_then_an_offset() -> None:
    world = World([record(0), record(1)], [record(2)]).run()
    assert [topic for topic, _ in world.producer.sent] == ["predictions"] * 3
    said = [decode_prediction(value) for _, value in world.producer.sent]
    assert [prediction.input_offset for prediction in said] == [0, 1, 2]
    assert {prediction.vector_written for prediction in said} == {5_000_000}
    assert world.consumers[0].commits[-1] == {PART: 3}
    assert world.told.acknowledged == world.shown
    assert world.log.is_caught_up()
    assert world.consumers[0].closed


def test_the_header_says_when_a_vector_was_sent_finer_than_the_record() -> None:
    plain = record(0)
    stamped = replace(plain, offset=1, headers=(("other", b"1"), sent_header(5_123_456)))
    broken = replace(plain, offset=2, headers=(("sent-ns", b"soon"),))
    world = World([plain, stamped, broken]).run()
    said = [decode_prediction(value) for _, value in world.producer.sent]
    assert [prediction.vector_written for prediction in said] == [5_000_000, 5_123_456, 5_000_000]


def test_silent_vectors_are_counted_and_passed() -> None:
    world = World([record(0, not_ready=NAMES[:1]), record(1)]).run()
    assert world.told.counts == {Unscored.NOT_READY: 1}
    assert world.consumers[0].commits[-1] == {PART: 2}


def test_poison_is_buried_with_its_reason_and_passed() -> None:
    world = World([record(0, b"\xff"), record(1, b""), record(2)]).run()
    assert [topic for topic, _ in world.producer.sent] == ["features.vectors.dead"] * 2 + ["predictions"]
    assert world.producer.headers[0]["offset"] == b"0"
    assert world.producer.headers[0]["reason"]
    assert world.consumers[0].commits[-1] == {PART: 3}


@pytest.mark.parametrize("topic", ["predictions", "features.vectors.dead"])
def test_a_send_that_fails_ends_the_task_without_a_commit(topic: str) -> None:
    world = World([record(0, b"\xff"), record(1)], fails=topic)
    with pytest.raises(SendFailed):
        world.run()
    assert world.consumers[0].commits == []
    assert world.consumers[0].closed


def test_partitions_that_moved_are_no_failure() -> None:
    world = World([record(0)])
    world.consumers[0].refuse_commits = True
    world.run()
    assert len(world.shown) == 1


def test_a_broken_consumer_is_replaced_and_its_offsets_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_log, "REOPEN_S", 0.0)
    world = World([record(0)], KafkaUnavailable("fenced"), later=[[[record(0), record(1)]]]).run()
    assert len(world.opened) == 2
    assert [consumer.commits for consumer in world.opened] == [[], [{PART: 2}]]
    assert [p.vector_id for p in world.shown] == [a_vector(ordinal=n).id for n in (0, 0, 1)]


def test_a_consumer_that_breaks_again_and_again_ends_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_log, "REOPEN_S", 0.0)
    broken = [KafkaUnavailable("fenced")]
    world = World(*broken, later=[broken] * 9)
    with pytest.raises(KafkaUnavailable):
        world.run()
    assert len(world.opened) == vector_log.MAX_BREAKS
    assert all(consumer.closed for consumer in world.opened)


def test_it_is_not_caught_up_before_the_end_that_it_found() -> None:
    assert not World([record(0), record(1)]).run().log.is_caught_up()
    assert World([], begin=3).run().log.is_caught_up()


def test_a_vector_of_a_later_version_is_poison_and_a_prediction_says_its_own() -> None:
    later = replace(record(0), headers=(("payload", b"features.v2.FeatureVector"),))
    world = World([later, replace(record(1), headers=(("payload", b"features.v1.FeatureVector"),)), record(2)]).run()
    assert [topic for topic, _ in world.producer.sent] == ["features.vectors.dead", "predictions", "predictions"]
    assert b"features.v2.FeatureVector" in world.producer.headers[0]["reason"]
    assert world.producer.headers[1] == {"payload": b"predictions.v1.Prediction"}
    assert world.consumers[0].commits[-1] == {PART: 3}
