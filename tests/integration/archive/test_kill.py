"""An archive killed at any moment and started again has every record once, byte for byte."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.market import SessionEnd, Tick
from libs.wire.archive import ArchivedRecord, ArchiveReader, ArchiveWriter, archived_until
from libs.wire.market import encode_events
from tests.builders import market as build
from tests.builders.processes import ServiceProcess, wait_for
from tests.integration.data_ingestion.topic import Topic

MARKET, PREDICTIONS = "market.events", "predictions"
S = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def service(kafka_prefix: KafkaConfig, folder: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    settings = {"FOLDER": str(folder), "ROLL_SECONDS": "0.05", "ROLL_ROWS": "200"}
    service = ServiceProcess("archive", kafka_prefix, tmp_path / "log", settings)
    yield service
    service.stop()


def archived(folder: Path, topic: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
    """Raises ArchiveDamaged for anything missing or doubled."""
    return [(r.partition, r.offset, r.key, r.value) for r in ArchiveReader(folder).records(topic)]


def holds(folder: Path, topic: str, records: int) -> bool:
    return len(archived(folder, topic)) >= records


def logged(kafka: KafkaConfig, name: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
    topic = Topic(kafka, name)
    found = sorted((r.partition, r.offset, r.key, r.value) for r in topic.read())
    topic.close()
    return found


def test_killed_again_and_again_it_has_every_record_once(
    kafka_prefix: KafkaConfig, service: ServiceProcess, folder: Path
) -> None:
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
            wait_for(lambda: service.process and list(folder.rglob("*.parquet")), why="it archives")
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
        wait_for(partial(holds, folder, topic, len(expected)), why=f"{topic} is archived")
        assert archived(folder, topic) == expected
    assert list(folder.rglob("*.tmp")) == []


def test_stopping_writes_what_is_held_and_says_how_far_each_session_is(
    kafka_prefix: KafkaConfig, service: ServiceProcess, folder: Path
) -> None:
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
    assert archived_until(folder, "i.j.k", "s1") is None
    assert service.stop() == 0
    assert len(archived(folder, MARKET)) == 5
    assert archived_until(folder, "i.j.k", "s1") == 9 * S


def test_a_folder_of_another_environment_is_refused(
    kafka_prefix: KafkaConfig, service: ServiceProcess, folder: Path
) -> None:
    ArchiveWriter(folder).write([ArchivedRecord(PREDICTIONS, 0, 1000, 1, b"k", b"v")])
    service.start()
    assert service.process is not None
    assert service.process.wait(30) == 1
    assert "files reach to offset 1000, the log only to -1" in service.said()


def test_a_folder_has_one_writer(
    kafka_prefix: KafkaConfig, service: ServiceProcess, folder: Path, tmp_path: Path
) -> None:
    service.start()
    service.wait_ready()
    second = ServiceProcess("archive", kafka_prefix, tmp_path / "second", dict(service.settings))
    second.start()
    assert second.process is not None
    assert second.process.wait(30) == 1
    assert "another process writes into" in second.said()


def test_it_waits_for_topics_and_says_so(kafka: KafkaConfig, folder: Path, tmp_path: Path) -> None:
    config = replace(kafka, topic_prefix="later.")
    service = ServiceProcess("archive", config, tmp_path / "log", {"FOLDER": str(folder)})
    service.start()
    try:
        wait_for(lambda: "waiting for the broker and its topics" in service.said(), 30.0)
        create_topics(config.bootstrap, config.topic_prefix)
        service.wait_ready()
    finally:
        assert service.stop() == 0
