"""What the router reads is of a version it knows; else it halts and tells people."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from libs.runtime.kafka import Record, TopicPartition
from libs.runtime.tracing import OFF
from libs.trading.risk import TradingState
from libs.wire.predictions import encode_prediction
from services.order_routing.adapters.decision_traces import DecisionTraces
from services.order_routing.adapters.prediction_inputs import Inputs
from tests.builders.orders import a_prediction
from tests.fakes.router_world import RouterWorld

V1, V2 = ("payload", b"predictions.v1.Prediction"), ("payload", b"predictions.v2.Prediction")
MODELS_V1, MODELS_V2 = ("payload", b"models.v1.ModelEvent"), ("payload", b"models.v2.ModelEvent")
Header = tuple[str, bytes]


class OneTopic:
    """A consumer of one partition whose records are all there; tells the loop to stop when they are read."""

    def __init__(self, records: list[Record], read: threading.Event) -> None:
        self._records, self._read = records, read

    def partitions_for(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, 0)]

    def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, len(self._records))

    def beginning_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 0)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None: ...

    def poll(self, timeout_s: float) -> list[Record]:
        found, self._records = self._records, []
        if not found:
            self._read.set()
        return found

    def close(self) -> None: ...


class Heard:
    """What reached the verdicts."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def hear(self, value: bytes) -> None:
        self.values.append(value)


def predictions(*headers: tuple[Header, ...]) -> list[Record]:
    value = encode_prediction(a_prediction())
    return [Record("predictions", 0, offset, 0, b"k", value, own) for offset, own in enumerate(headers)]


def inputs(heard: Heard, *topics: list[Record]) -> tuple[Inputs, threading.Event]:
    """Consumers are opened in this order."""
    stop, waiting = threading.Event(), iter(topics)
    verdicts: Any = heard

    def open_reader() -> Any:
        return OneTopic(next(waiting), stop)

    return Inputs(open_reader, verdicts, DecisionTraces(OFF, time.time_ns)), stop


def decide(records: list[Record], poison: Any) -> list[int]:
    handled: list[int] = []
    both, stop = inputs(Heard(), [], records)
    both.hear_models(stop)
    stop.clear()
    both.decide(stop, {}, lambda prediction, at, more: handled.append(at.offset), poison)
    return handled


def test_a_prediction_of_a_later_version_is_poison_and_one_without_header_is_not() -> None:
    poison: list[tuple[int, str]] = []
    handled = decide(predictions((V1,), (V2,), ()), lambda at, why: poison.append((at.offset, why)))
    assert handled == [0, 2]
    assert [offset for offset, _ in poison] == [1]
    assert "predictions.v2.Prediction" in poison[0][1]


def test_it_halts_the_account_with_an_alert() -> None:
    world = RouterWorld()
    router = world.started()
    decide(predictions((V2,)), router.predictions.poison)
    assert router.account.state is TradingState.HALTED
    assert any("predictions.v2.Prediction" in message for _, message, _ in world.told.alerts)


def test_a_model_event_of_a_later_version_gives_no_standing() -> None:
    heard = Heard()
    events = [Record("models.events", 0, i, 0, b"m", b"%d" % i, (own,)) for i, own in enumerate((MODELS_V1, MODELS_V2))]
    both, stop = inputs(heard, events)
    both.hear_models(stop)
    assert heard.values == [b"0"]
    assert both._models.is_caught_up()
