"""Reads every partition of one topic from given offsets, in one thread, without a group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Literal

from libs.runtime.kafka import Consumer, KafkaUnavailable, Record, TopicPartition
from libs.runtime.logs import get_logger

POLL_S = 0.05
RETRY_S = 1.0
LOOKS = 5  # a broker that just came back may show an older end for a moment

log = get_logger("kafka_log")


class AnotherTopic(SystemExit):
    """The topic ends before what was read of it: it is not the one that the journal knows. A person has to look."""

    def __init__(self, part: TopicPartition, journal: int, end: int) -> None:
        super().__init__(
            f"topic {part.topic} partition {part.partition} ends at offset {end}, the journal goes on at {journal}: "
            "this is another broker, or the topic was wiped. Point the router to the broker that it read before, or "
            "give it another journal to begin anew, after a person has looked at what is held"
        )


class InputLog:
    """Every partition of one topic, read by one thread without a group: the lease keeps other readers from acting."""

    def __init__(self, open_reader: Callable[[], Consumer], topic: str) -> None:
        self._open_reader = open_reader
        self._topic = topic
        self._caught_up = threading.Event()

    def is_caught_up(self) -> bool:
        """True once what lay on the topic when this reading began was handled, until the next begins."""
        return self._caught_up.is_set()

    def run(
        self, stop: threading.Event, next_offsets: Mapping[tuple[str, int], int], handle: Callable[[Record, bool], None]
    ) -> None:
        """Hand over records one by one, each with whether more were read with it, until the event is set.

        What `handle` raises ends the reading."""
        self._caught_up.clear()
        consumer = self._open_reader()
        try:
            targets = self._assign(consumer, stop, next_offsets)
            while not stop.is_set():
                records = consumer.poll(POLL_S)
                for place, record in enumerate(records, start=1):
                    if stop.is_set():
                        return
                    handle(record, place < len(records))
                    if record.offset + 1 >= targets.get(record.partition, 0):
                        targets.pop(record.partition, None)
                if not targets:
                    self._caught_up.set()
        finally:
            consumer.close()

    def _assign(
        self, consumer: Consumer, stop: threading.Event, next_offsets: Mapping[tuple[str, int], int]
    ) -> dict[int, int]:
        """Take all partitions; the offsets that have to be handled before this log is caught up, by partition.

        Raises AnotherTopic when the journal is ahead: reading from there would be deaf for as long as it stays so."""
        short = 0
        while not stop.is_set():
            try:
                parts = consumer.partitions_for(self._topic)
                ends, begins = consumer.end_offsets(parts), consumer.beginning_offsets(parts)
            except KafkaUnavailable as error:
                log.warning("waiting for the topic", topic=self._topic, reason=str(error))
                stop.wait(RETRY_S)
                continue
            ahead = next(
                (part for part in parts if next_offsets.get((part.topic, part.partition), 0) > ends[part]), None
            )
            if ahead is not None:
                short += 1
                if short >= LOOKS:
                    raise AnotherTopic(ahead, next_offsets[ahead.topic, ahead.partition], ends[ahead])
                stop.wait(RETRY_S)
                continue
            start: dict[TopicPartition, int | Literal["earliest", "latest", "committed"]] = {}
            for part in parts:
                start[part] = max(next_offsets.get((self._topic, part.partition), 0), begins[part])
            consumer.assign(start)
            return {part.partition: end for part, end in ends.items() if end > int(start[part])}
        return {}
