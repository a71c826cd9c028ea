"""What is missing is waited for with a log line, what is wrong is said in one line: no crash loop, no guess."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from infra.daemon import free_port
from libs.runtime.kafka import KafkaConfig
from protos.orders.v1 import orders_pb2
from services.order_routing.adapters.schema import newest
from tests.builders.processes import wait_for
from tests.integration.order_routing.place import RouterPlace, VenuePlace

pytestmark = pytest.mark.timeout(120)


def test_a_broker_that_is_away_is_waited_for(venue: VenuePlace, tmp_path: Path) -> None:
    router = RouterPlace(KafkaConfig(f"127.0.0.1:{free_port()}"), venue, tmp_path)
    router.start(wait=False)
    wait_for(lambda: "waiting for the topic" in router.log.read_text(), 30.0, "a log line")
    assert not router.is_ready()
    assert router.stop() == 0


def test_a_venue_that_is_away_is_waited_for(router: RouterPlace) -> None:
    router.start(wait=False, VENUE__HTTP_URL=f"http://127.0.0.1:{free_port()}")
    wait_for(lambda: "waiting for the venue's instruments" in router.log.read_text(), 30.0, "a log line")
    assert not router.is_ready()
    assert router.stop() == 0


def test_a_state_folder_of_another_version_is_refused_in_one_line(router: RouterPlace) -> None:
    router.start()
    assert router.stop() == 0
    file = router.folder / "state" / "journal.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0107'")
        connection.execute("UPDATE compatibility SET needs = '0105'")
    try:
        router.start(wait=False)
        assert router.wait_for_death() == 1
        last = router.log.read_text().splitlines()[-1]
        assert "this image is older than the journal" in last
        assert "roll forward" in last
    finally:
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (newest(),))
            connection.execute("UPDATE compatibility SET needs = '0002'")


def test_a_record_that_is_no_prediction_halts_and_is_told(router: RouterPlace) -> None:
    router.start()
    router.producer.send("predictions", key=b"x", value=b"\xff\xff\xff").result(10.0)

    def state() -> orders_pb2.GetRiskStateResponse | None:
        risk = router.rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0)
        return risk if risk.state == orders_pb2.TRADING_STATE_HALTED else None

    risk = wait_for(state, 15.0, "halted")
    assert risk.state_reason.startswith("poison at predictions/")
    time.sleep(0.5)
    assert router.is_ready()
    assert router.stop() == 0
