"""The router's inputs: predictions from the journal's offsets, model events from their beginning."""

from __future__ import annotations

import threading
from collections.abc import Callable

from libs.runtime.kafka import Consumer, Record
from libs.runtime.logs import get_logger
from libs.trading.scoring import Prediction
from libs.wire.malformed import MalformedMessage
from libs.wire.payload import check_payload
from libs.wire.predictions import decode_prediction
from services.order_routing.adapters.decision_traces import DecisionTraces
from services.order_routing.adapters.kafka_log import InputLog
from services.order_routing.adapters.verdicts import Verdicts
from services.order_routing.domain import InputAt

PREDICTIONS, MODEL_EVENTS = "predictions", "models.events"
WAIT_S = 0.05

log = get_logger("prediction_inputs")


class Inputs:
    """Runs as tasks. Decisions begin only when every verdict that was signed before is known."""

    def __init__(self, open_reader: Callable[[], Consumer], verdicts: Verdicts, traces: DecisionTraces) -> None:
        self._traces = traces
        self._predictions = InputLog(open_reader, PREDICTIONS)
        self._models = InputLog(open_reader, MODEL_EVENTS)
        self._verdicts = verdicts

    def are_caught_up(self) -> bool:
        return self._predictions.is_caught_up() and self._models.is_caught_up()

    def hear_models(self, stop: threading.Event) -> None:
        def hear(record: Record, _: bool) -> None:
            try:
                check_payload(MODEL_EVENTS, record.headers)
            except MalformedMessage as error:  # as what cannot be decoded: it gives no bundle any standing
                log.error("a model event that cannot be read", offset=record.offset, error=str(error))
                return
            self._verdicts.hear(record.value or b"")

        self._models.run(stop, {}, hear)

    def decide(
        self,
        stop: threading.Event,
        next_offsets: dict[tuple[str, int], int],
        handle: Callable[[Prediction, InputAt, bool], object],
        poison: Callable[[InputAt, str], None],
    ) -> None:
        """Every prediction goes to `handle`, with whether more were read after it; what is none goes to `poison`."""
        while not self._models.is_caught_up():
            if stop.wait(WAIT_S):
                return

        def take(record: Record, more: bool) -> None:
            at = InputAt(record.topic, record.partition, record.offset)
            try:
                check_payload(PREDICTIONS, record.headers)
                prediction = decode_prediction(record.value or b"")
            except MalformedMessage as error:
                poison(at, str(error))
                return
            traced = self._traces.begin(record.headers)
            order = handle(prediction, at, more)
            if traced:
                self._traces.end(prediction, order)

        self._predictions.run(stop, next_offsets, take)
