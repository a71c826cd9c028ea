"""The broker goes away in the middle: the archive waits, says so, and then has every record once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig, Position, open_producer
from tests.builders.processes import ServiceProcess, wait_for
from tests.integration.archive.test_kill import archived, holds, logged

PREDICTIONS = "predictions"


def write(kafka: KafkaConfig, stop: threading.Event) -> None:
    producer = open_producer(kafka, "writer")
    sent: list[Future[Position]] = []
    while not stop.is_set():
        sent.append(producer.send(PREDICTIONS, key=b"k", value=b"%d" % len(sent)))
        time.sleep(0.001)
    for one in sent:
        one.result(60)
    producer.close()


@pytest.mark.slow
def test_a_broker_that_goes_away_in_the_middle_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    broker = Broker(BrokerPlace(tmp_path / "broker", free_port(), free_port()))
    broker.start()
    create_topics(broker.bootstrap, "t.")
    kafka = KafkaConfig(broker.bootstrap, topic_prefix="t.")
    settings = {"FOLDER": str(folder), "ROLL_SECONDS": "0.05", "ROLL_ROWS": "200"}
    service = ServiceProcess("archive", kafka, tmp_path / "log", settings)
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(kafka, stop))
    try:
        service.start(wait=True)
        writer.start()
        wait_for(lambda: holds(folder, PREDICTIONS, 300), why="it archives")
        broker.kill()
        wait_for(
            lambda: broker.bootstrap in service.said() and "Connection refused" in service.said(), why="a log line"
        )
        time.sleep(1.0)
        assert service.process is not None
        assert service.process.poll() is None
        before = len(archived(folder, PREDICTIONS))
        broker.start()
        wait_for(lambda: holds(folder, PREDICTIONS, before + 300), why="it goes on")
        stop.set()
        writer.join(90.0)
        expected = logged(kafka, PREDICTIONS)
        wait_for(lambda: holds(folder, PREDICTIONS, len(expected)), why="all is archived")
        assert archived(folder, PREDICTIONS) == expected
        assert service.stop() == 0
    finally:
        stop.set()
        service.kill()
        if writer.is_alive():
            broker.start()
            writer.join(90.0)
        broker.stop()
