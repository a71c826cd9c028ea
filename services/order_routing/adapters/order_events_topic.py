"""The outbox's way to orders.events, and the alerts' way to theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any

from google.protobuf.message import DecodeError

from libs.runtime.kafka import Consumer, KafkaUnavailable, Position, Producer, SendFailed, TopicPartition
from libs.runtime.logs import get_logger
from libs.wire.payload import check_payload, payload_header
from protos.alerts.v1 import alerts_pb2
from protos.orders.v1 import orders_pb2
from services.order_routing.ports import Clock, TopicUnavailable

TOPIC = "orders.events"
SOURCE = "order_routing"
ANSWER_S = 2.0  # how long one call waits; the next one goes on waiting for the same sends
TAIL = 2_000
EMPTY_POLLS = 50

log = get_logger("order_events")


class OrderEventsTopic:
    """Implements ports.Publisher."""

    def __init__(self, producer: Producer, open_reader: Callable[[], Consumer]) -> None:
        self._producer = producer
        self._open_reader = open_reader
        self._sent: list[tuple[int, Future[Position]]] = []  # not yet answered for

    def publish(self, account: str, events: Sequence[tuple[int, bytes]]) -> int:
        done = 0
        if self._sent:
            done, whole = self._answers(account)
            if not whole:
                return done
        for sequence, payload in events:
            if sequence > done and not self._send(account, sequence, payload):
                break
        return self._answers(account)[0] or done

    def _send(self, account: str, sequence: int, payload: bytes) -> bool:
        """False when the client refuses it at once: what comes after must not land before it."""
        try:
            sent = self._producer.send(TOPIC, key=account.encode(), value=payload, headers=[payload_header(TOPIC)])
        except (SendFailed, KafkaUnavailable) as error:
            log.warning("order events wait", account=account, before=sequence, reason=str(error))
            return False
        self._sent.append((sequence, sent))
        return not (sent.done() and sent.exception() is not None)

    def _answers(self, account: str) -> tuple[int, bool]:
        """The last sequence before any hole, and whether there is none. Raises TopicUnavailable before all are there.

        The producer keeps its records while the broker is away, so nothing that is unanswered may be sent again."""
        waiting = wait([sent for _, sent in self._sent], ANSWER_S).not_done
        if waiting:
            raise TopicUnavailable(f"{len(waiting)} of {len(self._sent)} order events have no answer yet")
        done = 0
        answered, self._sent = self._sent, []
        for sequence, sent in answered:
            error = sent.exception()
            if error is not None:
                log.warning("order events wait", account=account, after=done, reason=str(error))
                return done, False
            done = sequence
        return done, True

    def last_sequence(self, account: str) -> int | None:
        """Raises TopicUnavailable, and MalformedMessage for events of a later version: the router stops before it."""
        try:
            return self._newest(account)
        except KafkaUnavailable as error:
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
                    check_payload(TOPIC, record.headers)
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
            value, headers = alert.SerializeToString(), [payload_header("alerts")]
            sent = self._producer.send("alerts", key=SOURCE.encode(), value=value, headers=headers)
        except (KafkaUnavailable, SendFailed) as error:
            log.error("alert not sent", code=code, error=str(error))
            return
        sent.add_done_callback(lambda future: _report(future, code))


def _report(future: Future[Position], code: str) -> None:
    error = future.exception()
    if error is not None:
        log.error("alert not sent", code=code, error=str(error))
