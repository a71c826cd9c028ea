"""The outbox's way to orders.events, and the alerts' way to theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from google.protobuf.message import DecodeError

from libs.runtime.kafka import Consumer, KafkaUnavailable, Position, Producer, SendFailed, TopicPartition, UnknownTopic
from libs.runtime.logs import get_logger
from protos.alerts.v1 import alerts_pb2
from protos.orders.v1 import orders_pb2
from services.order_routing.ports import Clock, TopicUnavailable

TOPIC = "orders.events"
SOURCE = "order_routing"
ANSWER_S = 10.0
TAIL = 2_000
EMPTY_POLLS = 50

log = get_logger("order_events")


class OrderEventsTopic:
    """Implements ports.Publisher."""

    def __init__(self, producer: Producer, open_reader: Callable[[], Consumer]) -> None:
        self._producer = producer
        self._open_reader = open_reader

    def publish(self, account: str, events: Sequence[tuple[int, bytes]]) -> int:
        sends: list[tuple[int, Future[Position]]] = []
        done = 0
        try:
            for sequence, payload in events:
                sends.append((sequence, self._producer.send(TOPIC, key=account.encode(), value=payload)))
            for sequence, sent in sends:
                sent.result(ANSWER_S)
                done = sequence
        except (SendFailed, KafkaUnavailable, UnknownTopic, FutureTimeout) as error:
            log.warning("order events wait", account=account, after=done, reason=str(error) or type(error).__name__)
        return done

    def last_sequence(self, account: str) -> int | None:
        try:
            return self._newest(account)
        except (KafkaUnavailable, UnknownTopic) as error:
            raise TopicUnavailable(str(error)) from error

    def _newest(self, account: str) -> int | None:
        consumer = self._open_reader()
        try:
            parts = consumer.partitions_for(TOPIC)
            ends, begins = consumer.end_offsets(parts), consumer.beginning_offsets(parts)
            starts = {part: max(begins[part], ends[part] - TAIL) for part in parts}
            left = {part: end for part, end in ends.items() if end > starts[part]}
            consumer.assign({part: starts[part] for part in left})
            return self._read(consumer, account, left)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, account: str, left: dict[TopicPartition, int]) -> int | None:
        newest: int | None = None
        empty = 0
        while left and empty < EMPTY_POLLS:
            records = consumer.poll(0.2)
            empty = 0 if records else empty + 1
            for record in records:
                if record.key == account.encode():
                    newest = max(newest or 0, _sequence(record.value or b""))
                left = {p: end for p, end in left.items() if p.partition != record.partition or record.offset + 1 < end}
        if left:
            raise KafkaUnavailable(f"{TOPIC}: nothing more came before its end")
        return newest


def _sequence(value: bytes) -> int:
    try:
        return orders_pb2.OrderEvent.FromString(value).sequence
    except DecodeError:
        return 0


class AlertsTopic:
    """Implements ports.Alerts: a log line at once, and a record that nobody waits for."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._producer = producer
        self._clock = clock

    def alert(self, code: str, message: str, *, critical: bool) -> None:
        (log.error if critical else log.warning)("alert", code=code, message=message)
        severity: Any = alerts_pb2.SEVERITY_CRITICAL if critical else alerts_pb2.SEVERITY_WARNING
        alert = alerts_pb2.Alert(source=SOURCE, severity=severity, code=code, message=message, time_ns=self._clock())
        try:
            sent = self._producer.send("alerts", key=SOURCE.encode(), value=alert.SerializeToString())
        except (KafkaUnavailable, SendFailed, UnknownTopic) as error:
            log.error("alert not sent", code=code, error=str(error))
            return
        sent.add_done_callback(lambda future: _report(future, code))


def _report(future: Future[Position], code: str) -> None:
    error = future.exception()
    if error is not None:
        log.error("alert not sent", code=code, error=str(error))
