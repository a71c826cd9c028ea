"""Engine states on the compacted topic features.snapshots, with a mark per partition behind each whole pass."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from google.protobuf.message import DecodeError

from libs.runtime.kafka import Consumer, Position, Producer, Record, TopicPartition
from libs.runtime.logs import get_logger
from libs.wire.malformed import MalformedMessage
from libs.wire.payload import check_payload, payload_header
from protos.features.v1 import features_pb2
from services.feature_store.domain import Start, StoredSnapshot, newest, plan_start

EVENTS, SNAPSHOTS = "market.events", "features.snapshots"
READ_SECONDS = 60.0

log = get_logger("snapshot_log")


class SnapshotLog:
    """One thread owns it. The mark is a snapshot without an instrument: its offset is the position behind the pass."""

    def __init__(
        self,
        producer: Producer,
        open_reader: Callable[[], Consumer],
        spec_hash: str,
        wall_ns: Callable[[], int],
    ) -> None:
        self._producer = producer
        self._open_reader = open_reader
        self._spec_hash = spec_hash
        self._wall_ns = wall_ns
        self._generation = 0

    def start_of(self, partition: int) -> Start:
        reader = self._open_reader()
        try:
            events = TopicPartition(EVENTS, partition)
            first = reader.beginning_offsets([events])[events]
            end = reader.end_offsets([events])[events]
            snapshots, mark = self._read(reader, partition)
        finally:
            reader.close()
        return plan_start(partition, newest(snapshots).values(), mark, first, end)

    def store(self, snapshot: StoredSnapshot) -> Future[Position]:
        return self._send(snapshot.instrument, snapshot.partition, snapshot.offset, snapshot.instrument, snapshot.state)

    def mark(self, partition: int, position: int) -> Future[Position]:
        self._generation += 1
        return self._send("", partition, position, f"partition {partition}", b"")

    def _send(self, instrument: str, partition: int, offset: int, key: str, state: bytes) -> Future[Position]:
        message = features_pb2.EngineSnapshot(
            instrument=instrument,
            spec_hash=self._spec_hash,
            input_offset=offset,
            generation=self._generation,
            state=state,
            written_time_ns=self._wall_ns(),
        )
        return self._producer.send(
            SNAPSHOTS,
            key=f"{key}|{self._spec_hash}".encode(),
            value=message.SerializeToString(),
            headers=[payload_header(SNAPSHOTS), ("partition", str(partition).encode())],
        )

    def _read(self, reader: Consumer, partition: int) -> tuple[list[StoredSnapshot], int | None]:
        """Everything of this spec and partition that the topic holds; the last mark wins."""
        parts = reader.partitions_for(SNAPSHOTS)
        ends = {part: end for part, end in reader.end_offsets(parts).items() if end > 0}
        starts = reader.beginning_offsets(list(ends))
        left = {part for part, end in ends.items() if end > starts[part]}
        snapshots: list[StoredSnapshot] = []
        mark: int | None = None
        if left:
            reader.assign(dict.fromkeys(left, "earliest"))
        while left:
            records = reader.poll(READ_SECONDS)
            if not records:
                raise TimeoutError(f"{SNAPSHOTS} gave nothing for {READ_SECONDS} s before its end")
            for record in records:
                message = self._mine(record, partition)
                if message is not None and message.instrument:
                    stored = StoredSnapshot(message.instrument, partition, message.input_offset, message.state)
                    snapshots = [*newest([*snapshots, stored]).values()]
                elif message is not None:
                    mark = message.input_offset
                part = TopicPartition(record.topic, record.partition)
                if record.offset + 1 >= ends.get(part, 0):
                    left.discard(part)
        self._generation = max(self._generation, 1)
        return snapshots, mark

    def _mine(self, record: Record, partition: int) -> features_pb2.EngineSnapshot | None:
        wanted = ("partition", str(partition).encode()) in record.headers
        if not wanted or record.key is None or not record.key.endswith(f"|{self._spec_hash}".encode()):
            return None
        try:
            check_payload(SNAPSHOTS, record.headers)
            return features_pb2.EngineSnapshot.FromString(record.value or b"")
        except (DecodeError, MalformedMessage) as error:
            log.warning("unreadable snapshot left out", offset=record.offset, error=str(error))
            return None
