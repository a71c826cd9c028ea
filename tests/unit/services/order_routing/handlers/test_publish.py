"""The outbox on its topic: in order, no holes, no doubles, whatever fails in between."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from services.order_routing.domain import InputAt
from services.order_routing.handlers.publish import Outbox
from tests.builders.orders import a_prediction
from tests.fakes.router_world import RouterWorld


class Topic:
    """A topic that may take events without acknowledging them, or refuse to be read."""

    def __init__(self, seed: int = 0, trouble: float = 0.0) -> None:
        self.on_topic: list[int] = []
        self._random = random.Random(seed)
        self._trouble = trouble

    def publish(self, account: str, events: Sequence[tuple[int, bytes]]) -> int:
        done = 0
        for sequence, _ in events:
            if self._random.random() < self._trouble:
                if self._random.random() < 0.5:
                    self.on_topic.append(sequence)  # taken, and the acknowledgement was lost
                return done
            self.on_topic.append(sequence)
            done = sequence
        return done

    def last_sequence(self, account: str) -> int | None:
        return self.on_topic[-1] if self.on_topic else None


def a_world(predictions: int) -> RouterWorld:
    world = RouterWorld()
    router = world.started()
    for offset in range(predictions):
        up, down = ((0.6, 0.1), (0.1, 0.6))[offset % 2]
        router.predictions.handle(
            a_prediction(up=up, down=down, now=world.clock.now), InputAt("predictions", 0, offset)
        )
        router.tend()
    return world


@pytest.mark.parametrize("seed", range(20))
def test_every_event_once_and_in_order(seed: int) -> None:
    world = a_world(6)
    topic = Topic(seed, trouble=0.2)
    outbox = Outbox(world.started().account, topic)
    for step in range(500):
        if step % 7 == 0:  # another process goes on where this one died
            world.clock.advance(4_000_000_000)
            outbox = Outbox(world.started().account, topic)
        if not outbox.publish() and len(topic.on_topic) == len(world.journal.events("paper", 0, 1000)):
            break
    assert topic.on_topic == list(range(1, len(world.journal.events("paper", 0, 1000)) + 1))


def test_an_empty_topic_and_a_journal_that_says_published_do_not_repeat() -> None:
    world = a_world(2)
    router = world.started()
    assert Outbox(router.account, Topic()).publish() > 0
    assert Outbox(router.account, Topic()).publish() == 0
