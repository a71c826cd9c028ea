"""The place goes away or fills up in the middle: the archive waits, says so, and then has every record once."""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
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
def spot(own_store: ObjectStore) -> Spot:
    """Of `service`: in a bucket that can go away."""
    return Spot(own_store.new_bucket(), own_store.environment())


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
    return service.metric("archive_refused_total", reason=reason)


def archives_and_then_waits(service: ServiceProcess, spot: Spot, leaves: Callable[[], object]) -> None:
    wait_for(partial(holds, spot.place, PREDICTIONS, 100), why="it archives")
    leaves()
    wait_for(lambda: WAITING in service.said(), why="it says that it waits")


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
    kafka_prefix: KafkaConfig, own_store: ObjectStore, service: ServiceProcess, spot: Spot, how: str
) -> None:
    service.start(wait=True)
    with writing(kafka_prefix):
        archives_and_then_waits(service, spot, partial(go_away, own_store, how))
        assert f"{spot.address} at {own_store.endpoint} does not answer" in service.said()
        wait_for(lambda: refused(service, "away") >= 2, why="it counts its tries")
        come_back(own_store, how)
        wait_for(lambda: BACK in service.said(), why="it goes on")
    has_everything_once(kafka_prefix, spot)
    assert service.stop() == 0


def test_a_store_that_is_not_there_yet_is_waited_for(
    own_store: ObjectStore, service: ServiceProcess, spot: Spot
) -> None:
    own_store.cut()
    service.start()
    wait_for(lambda: WAITING in service.said(), why="it says that it waits")
    own_store.mend()
    service.wait_ready()


def test_stopping_while_the_store_is_away_ends_soon_and_loses_nothing(
    kafka_prefix: KafkaConfig, own_store: ObjectStore, service: ServiceProcess, spot: Spot
) -> None:
    service.start(wait=True)
    with writing(kafka_prefix):
        archives_and_then_waits(service, spot, own_store.hang)
        assert service.stop() == 0
    assert "the next start reads it again" in service.said()
    own_store.wake()
    service.start(wait=True)
    has_everything_once(kafka_prefix, spot)


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
