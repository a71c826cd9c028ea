"""Order events on their way: what the broker has not answered is waited for and never sent a second time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest

from libs.runtime.kafka import Position, Record, SendFailed, TopicPartition
from libs.wire.malformed import MalformedMessage
from libs.wire.orders import decode_event
from services.order_routing.adapters import order_events_topic
from services.order_routing.adapters.order_events_topic import TOPIC, OrderEventsTopic
from services.order_routing.domain import InputAt
from services.order_routing.handlers.publish import Outbox
from services.order_routing.handlers.router import Router
from services.order_routing.ports import TopicUnavailable
from tests.builders.orders import a_prediction
from tests.fakes.router_world import RouterWorld


class LateBroker:
    """Takes what is sent when it is told to, in the order of sending; `refuse` says which sends never land."""

    def __init__(self) -> None:
        self.log: list[tuple[bytes | None, bytes | None]] = []
        self.queue: list[tuple[bytes | None, bytes | None, Future[Position]]] = []
        self.refuse: set[int] = set()
        self.sends = 0
        self.away = True

    def send(self, topic: str, *, key: bytes | None, value: bytes | None, **_: Any) -> Future[Position]:
        assert topic == TOPIC
        self.sends += 1
        sent: Future[Position] = Future()
        if self.sends in self.refuse:
            sent.set_exception(SendFailed("too large"))
            return sent
        self.queue.append((key, value, sent))
        if not self.away:
            self.land(len(self.queue))
        return sent

    def land(self, count: int) -> None:
        landed, self.queue = self.queue[:count], self.queue[count:]
        for key, value, sent in landed:
            self.log.append((key, value))
            sent.set_result(Position(0, len(self.log) - 1))

    def sequences(self) -> list[int]:
        return [decode_event(value or b"").sequence for _, value in self.log]


class Reader:
    """Reads what has landed by the time it is opened."""

    def __init__(self, broker: LateBroker) -> None:
        self._log = list(broker.log)

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, 0)]

    def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {part: len(self._log) for part in parts}

    def beginning_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 0)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._at = positions.get(TopicPartition(TOPIC, 0), 0)

    def poll(self, timeout_s: float) -> list[Record]:
        found = list(enumerate(self._log))[self._at :]
        self._at = len(self._log)
        return [Record(TOPIC, 0, offset, 0, key, value) for offset, (key, value) in found]

    def close(self) -> None: ...


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> LateBroker:
    monkeypatch.setattr(order_events_topic, "ANSWER_S", 0.01)
    return LateBroker()


def an_outbox(broker: LateBroker) -> tuple[RouterWorld, Router, Outbox]:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    router.tend()
    producer: Any = broker
    reader: Any = Reader
    return world, router, Outbox(router.account, OrderEventsTopic(producer, lambda: reader(broker)))


def test_events_that_land_late_are_on_the_topic_once(broker: LateBroker) -> None:
    world, router, outbox = an_outbox(broker)
    for _ in range(3):
        with pytest.raises(TopicUnavailable, match="no answer yet"):
            outbox.publish()
    broker.land(2)
    with pytest.raises(TopicUnavailable):
        outbox.publish()
    router.predictions.handle(a_prediction(now=world.clock.now, up=0.3), InputAt("predictions", 0, 1))
    broker.land(len(broker.queue))
    broker.away = False
    while outbox.publish():
        pass
    total = len(world.journal.events("paper", 0, 1000))
    assert broker.sequences() == list(range(1, total + 1))
    assert broker.sends == total
    assert world.journal.published("paper") == total


def test_a_refused_event_goes_again_and_nothing_passes_it(broker: LateBroker) -> None:
    world, _, outbox = an_outbox(broker)
    broker.away, broker.refuse = False, {3}
    assert outbox.publish() == 2
    assert broker.sequences() == [1, 2]
    while outbox.publish():
        pass
    assert broker.sequences() == list(range(1, len(world.journal.events("paper", 0, 1000)) + 1))


def test_order_events_of_a_later_version_stop_the_outbox(broker: LateBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _, outbox = an_outbox(broker)
    broker.away = False
    broker.log.append((world.policy.account.encode(), b""))
    headers = (("payload", b"orders.v2.OrderEvent"),)
    monkeypatch.setattr(Reader, "poll", lambda self, _: [Record(TOPIC, 0, 0, 0, *broker.log[0], headers)])
    with pytest.raises(MalformedMessage, match="v2"):
        outbox.publish()
    assert broker.sends == 0
