"""The hot path: vectors from the log, scored together, predictions back to the log, offsets committed behind them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from libs.runtime.kafka import CommitRefused, Consumer, KafkaUnavailable, Position, Record, TopicPartition
from libs.runtime.logs import get_logger
from libs.runtime.tracing import OFF, Context, Hop, Tracer
from libs.trading.features.vector import FeatureVector
from libs.trading.scoring import Prediction
from libs.wire.features import decode_vector, sent_ns
from libs.wire.malformed import MalformedMessage
from libs.wire.payload import check_payload, payload_header
from libs.wire.predictions import encode_prediction
from services.model_serving.adapters.kafka_ends import KafkaEnds
from services.model_serving.domain import Arrived, Unscored
from services.model_serving.ports import Notices

VECTORS, PREDICTIONS = "features.vectors", "predictions"
PREDICTION = (payload_header(PREDICTIONS),)
POLL_S = 0.05
MAX_BATCH = 500
MAX_UNACKNOWLEDGED = 64  # batches
COMMIT_INTERVAL_S = 1.0
MAX_BREAKS, BREAKS_WITHIN_S, REOPEN_S = 4, 60.0, 1.0
ALONE_S = 15.0  # without a partition for so long: a spare replica, which is ready too

log = get_logger("vector_log")


@dataclass(slots=True)
class Batch:
    """What one poll gave: sends not yet acknowledged, and where each partition goes on once they are."""

    sends: list[Future[Position]]
    predictions: list[Prediction]
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)


class VectorLog:
    """One thread owns it. At least once: a prediction's id is the same the second time."""

    def __init__(
        self,
        ends: KafkaEnds,
        score: Callable[[Sequence[Arrived]], Sequence[Prediction | Unscored]],
        show: Callable[[str, Prediction], None],
        notices: Notices,
        *,
        tracer: Tracer = OFF,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer, self._wall_ns = tracer, wall_ns
        self._open = ends.open_member
        self._producer = ends.producer
        self._score = score
        self._show = show
        self._notices = notices
        self._pending: deque[Batch] = deque()
        self._handled: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._targets: dict[TopicPartition, int] | None = None
        self._caught_up = threading.Event()

    def is_caught_up(self) -> bool:
        """True once everything that lay on the log at the start is handled; it stays true."""
        return self._caught_up.is_set()

    def run(self, stop: threading.Event) -> None:
        """Until the event is set; what was handled is then acknowledged and committed.

        A broken consumer (a broker that came back may fence the member it knew) is replaced; one that breaks again and
        again raises KafkaUnavailable, because someone else bears its name. Raises SendFailed.
        """
        breaks: deque[float] = deque(maxlen=MAX_BREAKS)
        while not stop.is_set():
            consumer = self._open()
            try:
                self._read(consumer, stop)
            except KafkaUnavailable as error:
                breaks.append(time.monotonic())
                if len(breaks) == MAX_BREAKS and breaks[-1] - breaks[0] < BREAKS_WITHIN_S:
                    raise
                log.warning("the consumer broke, another takes over", error=str(error))
                self._settle_all()
                self._uncommitted = {}
                stop.wait(REOPEN_S)
            finally:
                consumer.close()

    def _read(self, consumer: Consumer, stop: threading.Event) -> None:
        consumer.subscribe([VECTORS])
        started = committed = time.monotonic()
        while not stop.is_set():
            records = consumer.poll(POLL_S if not self._pending else 0.001, MAX_BATCH)
            if records:
                self._handle(records)
            self._settle(wait=len(self._pending) >= MAX_UNACKNOWLEDGED)
            now = time.monotonic()
            if now - committed >= COMMIT_INTERVAL_S:
                self._commit(consumer)
                committed = now
            if not self._caught_up.is_set():
                self._look_for_the_end(consumer, alone=now - started > ALONE_S)
        self._settle_all()
        self._commit(consumer)

    def _handle(self, records: Sequence[Record]) -> None:
        arrived: list[Arrived] = []
        traces: dict[int, tuple[Context, int]] = {}  # of sampled ones: by place in `arrived`, with when it was taken
        batch = Batch([], [])
        for record in records:
            try:
                check_payload(VECTORS, record.headers)
                vector = decode_vector(record.value or b"")
                trace = self._tracer.heard(record.headers)
                if trace is not None:
                    traces[len(arrived)] = trace, self._wall_ns()
                arrived.append(Arrived(vector, record.offset, sent_ns(record.headers, record.timestamp_ms * 1_000_000)))
            except MalformedMessage as error:
                batch.sends.append(self._bury(record, str(error)))
            batch.next_offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        for place, answer in enumerate(self._score(arrived) if arrived else ()):
            # all answers of one role, then all of the other: each in the order of the vectors
            traced = traces.get(place % len(arrived)) if traces else None
            hop = None if traced is None else self._tracer.hop("predict", traced[1], "CONSUMER", traced[0])
            if isinstance(answer, Unscored):
                self._notices.unscored(answer, 1)
            else:
                key, value = answer.instrument.encode(), encode_prediction(answer)
                headers = PREDICTION if hop is None else (*PREDICTION, hop.header)
                batch.sends.append(self._producer.send(PREDICTIONS, key=key, value=value, headers=headers))
                batch.predictions.append(answer)
            if hop is not None:
                self._describe(hop, arrived[place % len(arrived)].vector, answer)
        self._pending.append(batch)
        for prediction in batch.predictions:
            self._show(prediction.instrument, prediction)

    def _describe(self, hop: Hop, vector: FeatureVector, answer: Prediction | Unscored) -> None:
        known: dict[str, str | int | float] = {"instrument": vector.instrument, "vector_id": vector.id}
        if isinstance(answer, Unscored):
            known["unscored"] = answer.value
        else:
            known |= {"prediction_id": answer.id, "role": answer.role.name, "model_version": answer.model_version}
            known |= {"model_digest": answer.bundle_digest}
        hop.end(self._wall_ns(), **known)

    def _bury(self, record: Record, reason: str) -> Future[Position]:
        log.error("poison record", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)
        headers = [*record.headers, ("reason", reason.encode()), ("offset", str(record.offset).encode())]
        return self._producer.send(f"{VECTORS}.dead", key=record.key, value=record.value, headers=headers)

    def _settle(self, *, wait: bool) -> None:
        """Settle batches in order; a send that failed for good ends the task, and the next start does it again."""
        while self._pending and (wait or all(sent.done() for sent in self._pending[0].sends)):
            batch = self._pending.popleft()
            for sent in batch.sends:
                sent.result()
            if batch.predictions:
                self._notices.predicted(batch.predictions)
            self._handled |= batch.next_offsets
            self._uncommitted |= batch.next_offsets
            wait = False

    def _settle_all(self) -> None:
        while self._pending:
            self._settle(wait=True)

    def _commit(self, consumer: Consumer) -> None:
        if not self._uncommitted:
            return
        try:
            consumer.commit(self._uncommitted)
        except CommitRefused as error:
            log.info("partitions moved; their new owner scores again", error=str(error))
        self._uncommitted = {}

    def _look_for_the_end(self, consumer: Consumer, *, alone: bool) -> None:
        assigned = consumer.assignment()
        if not assigned:
            if alone:
                self._caught_up.set()
            return
        if self._targets is None or self._targets.keys() != assigned:
            try:
                self._targets = consumer.end_offsets(list(assigned))
                for part, begin in consumer.beginning_offsets(list(assigned)).items():
                    self._handled.setdefault(part, max(begin, consumer.committed(part) or 0))
            except KafkaUnavailable:
                self._targets = None  # asked again with the next poll
                return
        if all(self._handled[part] >= target for part, target in self._targets.items()):
            self._caught_up.set()
