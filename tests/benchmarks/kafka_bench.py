"""Three Kafka hops with acks=all through both clients, side by side on one broker, as a tick takes them."""

from __future__ import annotations

import multiprocessing
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.synchronize import Event
from pathlib import Path

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import Client, Consumer, KafkaConfig, Producer, TopicPartition, open_consumer, open_producer

CHAIN = ("market.events", "features.vectors", "predictions", "market.backfill")
CLIENTS: tuple[Client, ...] = ("confluent", "kafka-python")
RATES = (100, 1000)
SECONDS = 4
ROUNDS = 3
PADDING = bytes(200)


def forward(config: KafkaConfig, source: str, target: str, stop: Event) -> None:
    """What a service of the hot path does with a record, less its own work."""
    consumer, producer = open_consumer(config, f"read {source}"), open_producer(config, f"write {target}")
    consumer.assign({TopicPartition(source, 0): "latest"})
    while not stop.is_set():
        sent = [producer.send(target, key=one.key, value=one.value, partition=0) for one in consumer.poll(0.2)]
        for future in sent:
            future.result(30)


@contextmanager
def three_hops(config: KafkaConfig) -> Iterator[tuple[Producer, Consumer]]:
    """Forwarding processes between a producer at the start and a consumer at the end."""
    stop = multiprocessing.Event()
    hops = [multiprocessing.Process(target=forward, args=(config, *pair, stop)) for pair in pairwise(CHAIN)]
    for hop in hops:
        hop.start()
    producer, consumer = open_producer(config, "tick"), open_consumer(config, "order")
    consumer.assign({TopicPartition(CHAIN[-1], 0): "latest"})
    try:
        warm_up(producer, consumer)
        yield producer, consumer
    finally:
        stop.set()
        for hop in hops:
            hop.join(10)
        producer.close()
        consumer.close()


def warm_up(producer: Producer, consumer: Consumer) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        producer.send(CHAIN[0], key=b"k", value=b"", partition=0)
        if consumer.poll(0.5):
            while consumer.poll(0.5):
                pass
            return
    raise TimeoutError("no record came through the three hops within a minute")


def latencies(producer: Producer, consumer: Consumer, rate: int) -> list[float]:
    """Sorted milliseconds from send to receive; every record has to arrive."""
    found: list[float] = []
    wanted, sent = rate * SECONDS, 0
    start = time.perf_counter()
    while len(found) < wanted:
        assert time.perf_counter() - start < SECONDS + 30, f"{wanted - len(found)} of {wanted} records did not arrive"
        while sent < wanted and sent / rate <= time.perf_counter() - start:
            value = struct.pack("d", time.perf_counter()) + PADDING
            producer.send(CHAIN[0], key=b"k", value=value, partition=0)
            sent += 1
        for record in consumer.poll(0.001):
            if record.value:
                found.append(1e3 * (time.perf_counter() - struct.unpack("d", record.value[:8])[0]))
    return sorted(found)


def main() -> None:
    results: dict[tuple[Client, int], list[list[float]]] = {(c, r): [] for c in CLIENTS for r in RATES}
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(BrokerPlace(Path(folder) / "broker", free_port(), free_port()))
        broker.start()
        try:
            for turn in range(ROUNDS):
                for client in CLIENTS:
                    config = KafkaConfig(broker.bootstrap, client, f"{client}-{turn}.")
                    create_topics(config.bootstrap, config.topic_prefix)
                    with three_hops(config) as (producer, consumer):
                        for rate in RATES:
                            results[client, rate].append(latencies(producer, consumer, rate))
        finally:
            broker.stop()
    print(f"three Kafka hops, acks=all, median of {ROUNDS} rounds (budget tick -> order: p50 3 ms, p99 15 ms)")
    print(f"{'client':<14}{'records/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for (client, rate), rounds in results.items():
        p50, p99 = (sorted(one[int(len(one) * q)] for one in rounds)[ROUNDS // 2] for q in (0.5, 0.99))
        print(f"{client:<14}{rate:>10}{p50:>9.2f}{p99:>9.2f}")


if __name__ == "__main__":
    main()
