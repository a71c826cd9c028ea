"""What a topic of a real broker holds."""

from __future__ import annotations

import time

from libs.runtime.kafka import KafkaConfig, Record, TopicPartition, open_consumer

PATIENCE_S = 30.0  # without a record


def read_topic(kafka: KafkaConfig, topic: str) -> list[Record]:
    """Every record that is there now, each partition's in order. Raises TimeoutError where the broker gives no more."""
    consumer = open_consumer(kafka, "reader")
    try:
        parts = consumer.partitions_for(topic)
        begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        left = {part: end for part, end in ends.items() if end > begins[part]}
        consumer.assign(dict.fromkeys(parts, "earliest"))
        records: list[Record] = []
        limit = time.monotonic() + PATIENCE_S
        while left:
            if time.monotonic() > limit:
                raise TimeoutError(f"{topic}: nothing came for {PATIENCE_S:.0f} s, and it ends at {left}")
            for record in consumer.poll(0.2, 5000):
                records.append(record)
                limit = time.monotonic() + PATIENCE_S
                part = TopicPartition(topic, record.partition)
                if part in left and record.offset + 1 >= left[part]:
                    del left[part]
        return records
    finally:
        consumer.close()
