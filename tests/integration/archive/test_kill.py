"""An archive killed at any moment and started again has every record once, byte for byte."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.market import SessionEnd, Tick
from libs.wire.archive import ArchiveReader, archived_until
from libs.wire.market import encode_events
from libs.wire.places import Where
from tests.builders import market as build
from tests.builders.object_store import Spot
from tests.builders.processes import ServiceProcess, wait_for
from tests.builders.topics import read_topic
from tests.integration.archive.conftest import an_archive

MARKET, PREDICTIONS = "market.events", "predictions"
S = 1_000_000_000


def archived(place: Where, topic: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
    """Raises ArchiveDamaged for anything missing or doubled."""
    return [(r.partition, r.offset, r.key, r.value) for r in ArchiveReader(place).records(topic)]


def holds(place: Where, topic: str, records: int) -> bool:
    """Judged by where the files end, which asks little of the place."""
    ends = ArchiveReader(place).ends(topic).values()
    return sum(end.next_offset for end in ends) >= records


def logged(kafka: KafkaConfig, name: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
    return sorted((r.partition, r.offset, r.key, r.value) for r in read_topic(kafka, name))


def test_killed_again_and_again_it_has_every_record_once(
    kafka_prefix: KafkaConfig, service: ServiceProcess, spot: Spot
) -> None:
    place = spot.place
    stop = threading.Event()

    def write() -> None:
        producer, number = open_producer(kafka_prefix, "writer"), 0
        while not stop.is_set():
            event = build.a_trade(event_time=number * S, trade_id=str(number))
            instrument = f"sim.linear.S{number % 7}"
            value = encode_events(build.a_head(instrument=instrument, seq=number), [event])
            producer.send(MARKET, key=instrument.encode(), value=value)
            producer.send(
                PREDICTIONS, key=b"k", value=b"\xffnot a message" if number % 3 else None, headers=[("h", b"v")]
            )
            number += 1
            time.sleep(0.0005)
        producer.close()

    writer = threading.Thread(target=write)
    writer.start()
    chance = random.Random(7)
    try:
        for _ in range(4):
            service.start()
            wait_for(lambda: service.process and holds(place, PREDICTIONS, 1), why="it archives")
            time.sleep(chance.uniform(0.3, 1.0))
            service.kill()
    finally:
        stop.set()
        writer.join()
    service.start()
    service.wait_ready()
    for topic in (MARKET, PREDICTIONS):
        expected = logged(kafka_prefix, topic)
        assert len(expected) > 500
        wait_for(partial(holds, place, topic, len(expected)), why=f"{topic} is archived")
        assert archived(place, topic) == expected
    assert place.tidy() == 0


def test_stopping_writes_what_is_held_and_says_how_far_each_session_is(
    kafka_prefix: KafkaConfig, service: ServiceProcess, spot: Spot
) -> None:
    place = spot.place
    service.settings["ROLL_SECONDS"] = "600"
    service.start()
    service.wait_ready()
    producer = open_producer(kafka_prefix, "writer")
    head = build.a_head(instrument="i.j.k", session="s1")
    for event in (build.a_trade(event_time=5 * S), Tick(9 * S), build.a_trade(event_time=8 * S), SessionEnd(9 * S)):
        producer.send(MARKET, key=b"i.j.k", value=encode_events(head, [event])).result(10)
    producer.send(MARKET, key=b"i.j.k", value=b"\xffgarbage").result(10)
    producer.close()
    time.sleep(1.0)
    assert archived_until(place, "i.j.k", "s1") is None
    assert service.stop() == 0
    assert len(archived(place, MARKET)) == 5
    assert archived_until(place, "i.j.k", "s1") == 9 * S


def test_a_place_has_one_writer(kafka_prefix: KafkaConfig, service: ServiceProcess, spot: Spot, tmp_path: Path) -> None:
    """A folder's lock keeps the second out; in a bucket the second takes over, and the first ends at its next file."""
    service.start()
    service.wait_ready()
    second = an_archive(kafka_prefix, spot, tmp_path / "second")
    producer = open_producer(kafka_prefix, "writer")
    second.start()
    try:
        assert second.process is not None
        assert service.process is not None
        if spot.environment:
            second.wait_ready()
            producer.send(PREDICTIONS, key=b"k", value=b"v").result(10)
            assert service.process.wait(30) == 1
            assert "names another writer" in service.said()
            assert "taking over from a writer that did not give up" in second.said()
        else:
            assert second.process.wait(30) == 1
            assert "another process writes into" in second.said()
            producer.send(PREDICTIONS, key=b"k", value=b"v").result(10)
        wait_for(lambda: holds(spot.place, PREDICTIONS, 1), why="the one that is left archives")
        assert len(archived(spot.place, PREDICTIONS)) == 1
    finally:
        producer.close()
        second.kill()


def test_it_waits_for_topics_and_says_so(kafka: KafkaConfig, tmp_path: Path) -> None:
    config = replace(kafka, topic_prefix="later.")
    service = an_archive(config, Spot(str(tmp_path / "archive"), {}), tmp_path / "log")
    service.start()
    try:
        wait_for(lambda: "waiting for the broker and its topics" in service.said())
        create_topics(config.bootstrap, config.topic_prefix)
        service.wait_ready()
    finally:
        assert service.stop() == 0
