"""The service's ends of Kafka: one producer, the group's consumers, readers of history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from libs.runtime.kafka import Consumer, KafkaConfig, Producer, open_consumer, open_producer


@dataclass(frozen=True, slots=True)
class KafkaEnds:
    """The producer is open; `open_member` gives a consumer of the group, `open_reader` one without group."""

    producer: Producer
    open_member: Callable[[], Consumer]
    open_reader: Callable[[], Consumer]


def open_ends(config: KafkaConfig, name: str, instance_id: str) -> KafkaEnds:
    """The group bears the service's name; the port puts the environment's prefix in front, as with topics."""
    return KafkaEnds(
        open_producer(config, name),
        lambda: open_consumer(config, name, group=name, instance_id=instance_id),
        lambda: open_consumer(config, f"{name}-reader"),
    )
