"""The service's ends of Kafka: one producer, the group's consumer, a reader of history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from libs.runtime.kafka import Consumer, KafkaConfig, Producer, open_consumer, open_producer


@dataclass(frozen=True, slots=True)
class KafkaEnds:
    """Opened once; `open_reader` gives a consumer without group each time."""

    producer: Producer
    consumer: Consumer
    open_reader: Callable[[], Consumer]

    def close(self) -> None:
        self.consumer.close()
        self.producer.close()


def open_ends(config: KafkaConfig, name: str, instance_id: str) -> KafkaEnds:
    """The group carries the environment's prefix, as topics do."""
    group = f"{config.topic_prefix}{name}"
    return KafkaEnds(
        open_producer(config, name),
        open_consumer(config, name, group=group, instance_id=instance_id),
        lambda: open_consumer(config, f"{name}-reader"),
    )
