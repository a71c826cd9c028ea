"""What a service wrote on the real broker."""

from __future__ import annotations

from typing import Any

from libs.runtime.kafka import KafkaConfig, Record, TopicPartition, open_consumer
from libs.trading.market import MarketEvent, RecordHead
from libs.wire.market import decode_events


class Topic:
    """Everything that a topic holds, as it grows."""

    def __init__(self, kafka: KafkaConfig, name: str) -> None:
        self._consumer = open_consumer(kafka, "test")
        self._parts = self._consumer.partitions_for(name)
        self._consumer.assign(dict.fromkeys(self._parts, "earliest"))
        self._next = dict.fromkeys(self._parts, 0)
        self.records: list[Record] = []

    def read(self) -> list[Record]:
        """All that is there now, however long it takes to come."""
        ends = self._consumer.end_offsets(self._parts)
        while any(self._next[part] < end for part, end in ends.items()):
            for record in self._consumer.poll(0.2):
                self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
                self.records.append(record)
        return self.records

    def market(self) -> list[tuple[int, RecordHead, list[MarketEvent]]]:
        """(offset, head, events) of every record so far."""
        return [(record.offset, *decode_events(record.value or b"")) for record in self.read()]

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for _, _, events in self.market() for event in events if isinstance(event, kind)]

    def close(self) -> None:
        self._consumer.close()
