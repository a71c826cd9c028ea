"""What a service wrote on the real broker."""

from __future__ import annotations

from typing import Any

from libs.runtime.kafka import KafkaConfig, Record, open_consumer
from libs.trading.market import MarketEvent, RecordHead
from libs.wire.market import decode_events


class Topic:
    """Everything that a topic holds, as it grows."""

    def __init__(self, kafka: KafkaConfig, name: str) -> None:
        self._consumer = open_consumer(kafka, "test")
        parts = self._consumer.partitions_for(name)
        self._consumer.assign(dict.fromkeys(parts, "earliest"))
        self.records: list[Record] = []

    def read(self) -> list[Record]:
        while found := self._consumer.poll(0.2):
            self.records += found
        return self.records

    def market(self) -> list[tuple[int, RecordHead, list[MarketEvent]]]:
        """(offset, head, events) of every record so far."""
        return [(record.offset, *decode_events(record.value or b"")) for record in self.read()]

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for _, _, events in self.market() for event in events if isinstance(event, kind)]

    def close(self) -> None:
        self._consumer.close()
