"""The place goes away or fills up in the middle: the archive waits, says so, and then has every record once."""

from __future__ import annotations

import random
import re
import resource
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from libs.runtime.kafka import KafkaConfig, Position, open_producer
from tests.builders.object_store import ObjectStore, Spot
from tests.builders.processes import ServiceProcess, wait_for
from tests.integration.archive.conftest import an_archive
from tests.integration.archive.test_kill import archived, holds, logged

PREDICTIONS = "predictions"
WAITING = "waiting for the archive's place"
BACK = "the archive's place takes files again"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path)
    store.start()
    yield store
    store.wake()
    store.stop()


@contextmanager
def writing(kafka: KafkaConfig, size: int = 10) -> Iterator[None]:
    """Predictions of `size` random bytes go on being written meanwhile; all of them are in the log at the end."""
    stop, sent, chance = threading.Event(), list[Future[Position]](), random.Random(5)
    producer = open_producer(kafka, "writer")

    def write() -> None:
        while not stop.is_set():
            sent.append(producer.send(PREDICTIONS, key=b"k", value=chance.randbytes(size)))
            time.sleep(0.002)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for one in sent:
            one.result(30)
        producer.close()


def refused(service: ServiceProcess, reason: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/metrics", timeout=5.0) as answer:
        found = re.search(rf'^archive_refused_total{{reason="{reason}"}} (\S+)$', answer.read().decode(), re.M)
    return float(found[1]) if found else 0.0


def has_everything_once(kafka: KafkaConfig, spot: Spot) -> None:
    expected = logged(kafka, PREDICTIONS)
    wait_for(partial(holds, spot.place, PREDICTIONS, len(expected)), why="all is archived")
    assert archived(spot.place, PREDICTIONS) == expected


def go_away(store: ObjectStore, how: str) -> None:
    if how == "hangs":
        store.hang()
    elif how == "refuses":
        store.cut()
    else:
        store.cut_after(20_000)


def come_back(store: ObjectStore, how: str) -> None:
    if how == "hangs":
        store.wake()
    else:
        store.mend()


@pytest.mark.parametrize("how", ["refuses", "cut in the middle", "hangs"])
def test_a_store_that_goes_away_is_waited_for(
    kafka_prefix: KafkaConfig, store: ObjectStore, tmp_path: Path, how: str
) -> None:
    spot = Spot(store.new_bucket(), store.environment())
    service = an_archive(kafka_prefix, spot, tmp_path / "log")
    try:
        service.start(wait=True)
        with writing(kafka_prefix):
            wait_for(partial(holds, spot.place, PREDICTIONS, 100), why="it archives")
            go_away(store, how)
            wait_for(lambda: WAITING in service.said(), why="it says that it waits")
            assert f"{spot.address} at {store.endpoint} does not answer" in service.said()
            wait_for(lambda: refused(service, "away") >= 2, why="it counts its tries")
            come_back(store, how)
            wait_for(lambda: BACK in service.said(), why="it goes on")
        has_everything_once(kafka_prefix, spot)
        assert service.stop() == 0
    finally:
        service.kill()


def test_a_store_that_is_not_there_yet_is_waited_for(
    kafka_prefix: KafkaConfig, store: ObjectStore, tmp_path: Path
) -> None:
    spot = Spot(store.new_bucket(), store.environment())
    service = an_archive(kafka_prefix, spot, tmp_path / "log")
    store.cut()
    try:
        service.start()
        wait_for(lambda: WAITING in service.said(), why="it says that it waits")
        store.mend()
        service.wait_ready()
    finally:
        service.kill()


def test_stopping_while_the_store_is_away_ends_soon_and_loses_nothing(
    kafka_prefix: KafkaConfig, store: ObjectStore, tmp_path: Path
) -> None:
    spot = Spot(store.new_bucket(), store.environment())
    service = an_archive(kafka_prefix, spot, tmp_path / "log")
    try:
        service.start(wait=True)
        with writing(kafka_prefix):
            wait_for(partial(holds, spot.place, PREDICTIONS, 100), why="it archives")
            store.hang()
            wait_for(lambda: WAITING in service.said(), why="it says that it waits")
            assert service.stop() == 0
        assert "the next start reads it again" in service.said()
        store.wake()
        service.start(wait=True)
        has_everything_once(kafka_prefix, spot)
    finally:
        service.kill()


def test_a_folder_without_room_is_waited_for(kafka_prefix: KafkaConfig, tmp_path: Path) -> None:
    """The limit on the size of a file stands for the full disk: what the archive writes fails in the middle."""
    spot = Spot(str(tmp_path / "archive"), {})
    service = an_archive(kafka_prefix, spot, tmp_path / "log")
    service.settings |= {"ROLL_ROWS": "100000", "ROLL_SECONDS": "0.5"}
    try:
        service.start(wait=True)
        assert service.process is not None
        with writing(kafka_prefix, size=10_000):
            wait_for(partial(holds, spot.place, PREDICTIONS, 10), why="it archives")
            room = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
            wait_for(lambda: WAITING in service.said(), why="it says that it waits")
            assert f"{spot.address}: writing: File too large" in service.said()
            wait_for(lambda: refused(service, "full") >= 2, why="it counts its tries")
            assert list(Path(spot.address).rglob("*.tmp")) == []
            resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, room)
            wait_for(lambda: BACK in service.said(), why="it goes on")
        has_everything_once(kafka_prefix, spot)
        assert service.stop() == 0
    finally:
        service.kill()
