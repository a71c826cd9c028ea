"""The hot path: market events from the log, vectors back to it, snapshots and commits behind what was acknowledged."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from libs.runtime.kafka import CommitRefused, Consumer, KafkaUnavailable, Producer, Record, TopicPartition
from libs.runtime.tracing import OFF, Hop, Tracer
from libs.trading.features.vector import FeatureVector
from libs.wire.features import encode_vector, sent_header
from libs.wire.malformed import MalformedMessage
from libs.wire.market import decode_record
from libs.wire.payload import check_payload, payload_header
from services.feature_store.adapters.patience import ToldToStop, until_answered
from services.feature_store.domain import Published, StoredSnapshot
from services.feature_store.ports import EngineRoom, Notices, Snapshots

EVENTS, VECTORS, LATEST = "market.events", "features.vectors", "features.latest"
POLL_S = 0.05
MAX_BATCH = 500
MAX_UNACKNOWLEDGED = 64  # batches
COMMIT_INTERVAL_S = 1.0
LAG_INTERVAL_S = 5.0
ALONE_S = 15.0  # without a partition for so long: a spare replica, which is ready too


@dataclass(slots=True)
class Batch:
    """Sends not yet acknowledged, and what may be done once they are."""

    sends: list[Future[Any]] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    then: Callable[[], None] | None = None


class EventLog:
    """One thread owns it. At least once: a vector's id and bytes are the same the second time.

    `partitions` None: share the topic with the consumer group.
    """

    def __init__(
        self,
        consumer: Consumer,
        producer: Producer,
        engines: EngineRoom,
        snapshots: Snapshots,
        notices: Notices,
        *,
        put_latest: Callable[[Published], None],
        compile_kernels: Callable[[], None],
        partitions: Sequence[int] | None,
        snapshot_seconds: float,
        wall_ns: Callable[[], int],
        tracer: Tracer = OFF,
    ) -> None:
        self._tracer = tracer
        self._consumer = consumer
        self._producer = producer
        self._engines = engines
        self._snapshots = snapshots
        self._notices = notices
        self._put_latest = put_latest
        self._compile_kernels = compile_kernels
        self._partitions = partitions
        self._snapshot_seconds = snapshot_seconds
        self._wall_ns = wall_ns
        self._pending: deque[Batch] = deque()
        self._positions: dict[int, int] = {}  # next offset to read, of every partition that is ours
        self._acknowledged: dict[int, int] = {}
        self._targets: dict[int, int] = {}
        self._caught_up = threading.Event()
        self._stop = threading.Event()

    def is_caught_up(self) -> bool:
        """True once everything that lay on the log at the start has become vectors; it stays true."""
        return self._caught_up.is_set()

    def run(self, stop: threading.Event) -> None:
        """Until the event is set; then what was read is acknowledged, snapshotted and committed. Raises SendFailed."""
        self._compile_kernels()
        self._stop = stop
        try:
            self._begin_reading()
            self._read(stop)
        except ToldToStop:
            return
        self._queue_snapshots()
        while self._pending:
            self._reap(wait=True)
        self._commit()

    def _read(self, stop: threading.Event) -> None:
        started = committed = snapshotted = reported = time.monotonic()
        while not stop.is_set():
            records = self._consumer.poll(POLL_S, MAX_BATCH)
            if self._partitions is None:
                records = self._follow_group(records)
            if records:
                self._handle(records)
            self._reap(wait=len(self._pending) >= MAX_UNACKNOWLEDGED)
            now = time.monotonic()
            if now - snapshotted >= self._snapshot_seconds:
                self._queue_snapshots()
                snapshotted = now
            if now - committed >= COMMIT_INTERVAL_S:
                self._commit()
                committed = now
            if now - reported >= LAG_INTERVAL_S:
                self._report_lag()
                reported = now
            if not self._caught_up.is_set():
                self._look_for_the_end(alone=now - started > ALONE_S)

    def _begin_reading(self) -> None:
        if self._partitions is None:
            self._consumer.subscribe([EVENTS])
            return
        parts = until_answered(lambda: self._consumer.partitions_for(EVENTS), self._stop)
        wanted = self._partitions or [part.partition for part in parts]
        starts = {partition: self._take_over(partition) for partition in wanted}
        self._consumer.assign({TopicPartition(EVENTS, partition): at for partition, at in starts.items()})

    def _take_over(self, partition: int) -> int:
        """Restore the engines of a partition; returns the offset to read from."""
        start = until_answered(lambda: self._snapshots.start_of(partition), self._stop)
        position = start.position if self._engines.begin(partition, start.states) else start.first_offset
        part = TopicPartition(EVENTS, partition)
        self._positions[partition] = position
        self._targets[partition] = until_answered(lambda: self._consumer.end_offsets([part])[part], self._stop)
        self._notices.restored(partition, position, [stored.instrument for stored in start.states])
        return position

    def _follow_group(self, records: list[Record]) -> list[Record]:
        """Take over and give up partitions as the group says; what was read of a new one too early is read again."""
        assigned = {part.partition for part in self._consumer.assignment()}
        for partition in set(self._positions) - assigned:
            self._engines.give_up(partition)
            for known in (self._positions, self._targets, self._acknowledged):
                known.pop(partition, None)
        fresh = assigned - set(self._positions)
        for partition in fresh:
            self._consumer.seek(TopicPartition(EVENTS, partition), self._take_over(partition))
        return [record for record in records if record.partition in assigned - fresh]

    def _handle(self, records: Sequence[Record]) -> None:
        batch = Batch()
        newest: dict[str, tuple[bytes, bytes]] = {}
        for record in records:
            begun = time.perf_counter()
            trace = self._tracer.heard(record.headers)
            taken = 0 if trace is None else self._wall_ns()
            batch.next_offsets[record.partition] = self._positions[record.partition] = record.offset + 1
            try:
                check_payload(EVENTS, record.headers)
                decoded = decode_record(record.value or b"")
                if record.key != decoded.head.instrument.encode():
                    raise MalformedMessage(f"key {record.key!r} is not the instrument {decoded.head.instrument!r}")
            except MalformedMessage as error:
                batch.sends.append(self._bury(record, str(error)))
                continue
            vectors = self._engines.update(record.partition, record.offset, decoded)
            for vector in vectors:
                hop = None if trace is None else self._tracer.hop("make vector", taken, "CONSUMER", trace)
                newest[vector.instrument] = self._publish(vector, batch, hop)
            if vectors:
                batch.vectors[vectors[0].instrument] = batch.vectors.get(vectors[0].instrument, 0) + len(vectors)
                self._notices.published(vectors, time.perf_counter() - begun)
            self._notices.read(decoded.head.instrument, len(decoded.rows))
        for key, value in newest.values():
            batch.sends.append(self._producer.send(LATEST, key=key, value=value, headers=[payload_header(LATEST)]))
        self._pending.append(batch)

    def _publish(self, vector: FeatureVector, batch: Batch, hop: Hop | None) -> tuple[bytes, bytes]:
        key, value = vector.instrument.encode(), encode_vector(vector)
        headers = [payload_header(VECTORS), sent_header(self._wall_ns())]
        if hop is not None:
            headers.append(hop.header)
        batch.sends.append(self._producer.send(VECTORS, key=key, value=value, headers=headers))
        self._put_latest(Published(vector, value))
        if hop is not None:
            hop.end(
                self._wall_ns(),
                instrument=vector.instrument,
                session=vector.session,
                vector_id=vector.id,
                as_of_ns=vector.as_of,
                reason=vector.reason.name,
            )
        return key, value

    def _bury(self, record: Record, reason: str) -> Future[Any]:
        self._notices.buried(record.partition, record.offset, reason)
        headers = [*record.headers, ("reason", reason.encode()), ("offset", str(record.offset).encode())]
        return self._producer.send(f"{EVENTS}.dead", key=record.key, value=record.value, headers=headers)

    def _queue_snapshots(self) -> None:
        """Take the states now; they are written when every vector before them is acknowledged."""
        for partition, position in self._positions.items():
            states = self._engines.snapshots(partition, position)
            self._pending.append(Batch(then=partial(self._write_states, partition, position, states)))

    def _write_states(self, partition: int, position: int, states: Sequence[StoredSnapshot]) -> None:
        sends = [self._snapshots.store(state) for state in states]
        self._pending.append(Batch(sends, then=partial(self._write_mark, partition, position)))

    def _write_mark(self, partition: int, position: int) -> None:
        """Behind the last state of the pass, so that a crash in its middle leaves the mark before it in force."""
        self._pending.append(Batch([self._snapshots.mark(partition, position)]))

    def _reap(self, *, wait: bool) -> None:
        """Settle batches in order; a send that failed for good ends the task, and the next start does it again."""
        while self._pending and (wait or all(sent.done() for sent in self._pending[0].sends)):
            batch = self._pending.popleft()
            for sent in batch.sends:
                sent.result()
            for instrument, count in batch.vectors.items():
                self._notices.acknowledged(instrument, count)
            self._acknowledged |= {p: at for p, at in batch.next_offsets.items() if p in self._positions}
            if batch.then is not None:
                batch.then()
            wait = False

    def _commit(self) -> None:
        if not self._acknowledged:
            return
        done = {TopicPartition(EVENTS, partition): at for partition, at in self._acknowledged.items()}
        try:
            self._consumer.commit(done)
        except (CommitRefused, KafkaUnavailable):
            return  # another owner reads from the snapshots; a broker that is away is asked again
        self._acknowledged = {}

    def _look_for_the_end(self, *, alone: bool) -> None:
        if not self._positions:
            if alone:
                self._caught_up.set()
        elif all(at >= self._targets[partition] for partition, at in self._positions.items()):
            self._caught_up.set()

    def _report_lag(self) -> None:
        try:
            ends = self._consumer.end_offsets([TopicPartition(EVENTS, partition) for partition in self._positions])
        except KafkaUnavailable as error:
            self._notices.lag_unknown(str(error))
            return
        for part, end in ends.items():
            self._notices.lag(part.partition, max(end - self._positions[part.partition], 0))
