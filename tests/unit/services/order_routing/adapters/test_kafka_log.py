"""Where the router begins to read, and the topic that it refuses because the journal is ahead of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from libs.runtime.kafka import Record, TopicPartition
from services.order_routing.adapters import kafka_log
from services.order_routing.adapters.kafka_log import AnotherTopic, InputLog

PART = TopicPartition("predictions", 3)


class Reader:
    """A partition of ten records, of which the broker shows fewer at the first looks."""

    def __init__(self, ends: list[int]) -> None:
        self._ends = ends
        self.closed = False

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        assert topic == PART.topic
        return [PART]

    def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {PART: self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]}

    def beginning_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {PART: 0}

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._at = positions[PART]

    def poll(self, timeout_s: float) -> list[Record]:
        found = [Record(PART.topic, PART.partition, offset, 0, None, b"") for offset in range(self._at, self._ends[0])]
        self._at = self._ends[0]
        return found

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_log, "RETRY_S", 0.001)
    monkeypatch.setattr(kafka_log, "POLL_S", 0.001)


def read(reader: Any, journal: int, until: int) -> list[int]:
    stop, seen = threading.Event(), list[int]()
    log = InputLog(lambda: reader, PART.topic)

    def handle(record: Record, more: bool) -> None:
        seen.append(record.offset)
        if record.offset == until:
            stop.set()

    log.run(stop, {(PART.topic, PART.partition): journal}, handle)
    return seen


def test_a_journal_ahead_of_its_topic_is_refused_with_both_offsets() -> None:
    reader = Reader([4])
    with pytest.raises(AnotherTopic, match=r"topic predictions partition 3 ends at offset 4, the journal goes on at 7"):
        read(reader, 7, 9)
    assert reader.closed


def test_a_broker_that_shows_an_older_end_for_a_moment_is_waited_for() -> None:
    assert read(Reader([4, 4, 10]), 7, 9) == [7, 8, 9]


def test_a_journal_at_the_end_waits_for_what_comes() -> None:
    reader: Any = Reader([10])
    stop = threading.Event()
    log = InputLog(lambda: reader, PART.topic)
    runner = threading.Thread(target=log.run, args=(stop, {(PART.topic, PART.partition): 10}, pytest.fail))
    runner.start()
    for _ in range(500):
        if log.is_caught_up():
            break
        stop.wait(0.01)
    stop.set()
    runner.join(5.0)
    assert log.is_caught_up()
    over = threading.Event()
    over.set()
    log.run(over, {}, lambda record, more: pytest.fail(f"{record} is handled, more: {more}"))
    assert not log.is_caught_up(), "another reading has begun"
