"""The broker goes away in the middle: the service waits, says so, and no vector is missing or written twice."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig
from libs.wire.features import decode_vector
from services.feature_store.adapters.event_log import LAG_INTERVAL_S
from tests.builders.processes import wait_for
from tests.integration.feature_store.place import Place
from tests.integration.feature_store.test_recovery import assert_log_equals_replay, count, recorded


def test_a_topic_that_is_not_there_for_a_while_ends_nothing(place: Place, data_dir: Path) -> None:
    """As a broker says of all of them for a moment after its start."""
    place.start(wait=True)
    place.produce(recorded(data_dir, 500))
    wait_for(lambda: count(place, "features.vectors") > 0, why="a vector")
    admin = KafkaAdminClient(bootstrap_servers=place.kafka.bootstrap)
    try:
        admin.delete_topics([place.kafka.own("market.events")])
        wait_for(lambda: "no topic 'market.events' on the broker" in place.said(), why="it says what it waits for")
        time.sleep(LAG_INTERVAL_S + 1.0)  # the next commit and the next report of the lag
        assert place.process is not None
        assert place.process.poll() is None
    finally:
        admin.close()


@pytest.mark.slow
def test_a_broker_that_goes_away_in_the_middle_is_waited_for(data_dir: Path, tmp_path: Path) -> None:
    records = recorded(data_dir, 6_000)
    half = len(records) // 2
    broker = Broker(BrokerPlace(tmp_path / "broker", free_port(), free_port()))
    broker.start()
    create_topics(broker.bootstrap, "t.")
    place = Place(KafkaConfig(broker.bootstrap, topic_prefix="t."), tmp_path / "log", {"SNAPSHOT_SECONDS": "0.5"})
    try:
        place.start(wait=True)
        producing = threading.Thread(target=place.produce, args=(records[:half],))
        producing.start()  # a producer of the test waits for the broker too
        wait_for(lambda: count(place, "features.vectors") > 5, why="some vectors")
        broker.kill()
        wait_for(lambda: broker.bootstrap in place.said() and "Connection refused" in place.said(), why="a log line")
        time.sleep(1.0)
        assert place.process is not None
        assert place.process.poll() is None
        broker.start()
        producing.join(60.0)
        place.produce(records[half:])
        marks = count(place, "features.snapshots")
        wait_for(lambda: count(place, "features.snapshots") > marks + 2, why="it goes on")
        assert place.stop() == 0
        assert assert_log_equals_replay(place) > 100
        ids = [decode_vector(record.value or b"").id for record in place.read("features.vectors")]
        assert len(ids) == len(set(ids))
    finally:
        place.kill()
        broker.stop()
