"""The broker dies under a router that trades: orders by hand go on, decisions wait, and every event is told once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig
from libs.trading.market import Side
from libs.trading.sizing import collared_limit
from protos.market.v1 import market_pb2
from protos.orders.v1 import orders_pb2
from tests.builders.processes import wait_for
from tests.integration.order_routing.place import RouterPlace, VenuePlace

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]
AWAY_S = 12.0  # longer than any wait for one answer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own: it dies."""
    own = Broker(BrokerPlace(tmp_path / "broker", free_port(), free_port()))
    own.start()
    try:
        yield own
    finally:
        own.stop()


def test_nothing_is_lost_or_doubled_when_the_broker_goes_and_comes(
    venue: VenuePlace, broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "router").mkdir()
    create_topics(broker.bootstrap, "t.")
    router = RouterPlace(KafkaConfig(broker.bootstrap, topic_prefix="t."), venue, tmp_path / "router")
    router.vouch()
    try:
        router.start(wait=True)
        before = router.predict(0.6, 0.1)
        wait_for(lambda: router.settled(before), 30.0, "an end before the outage")
        process = router.process
        broker.kill()
        by_hand = [submit(router, venue, f"outage-{number}") for number in range(3)]
        assert all(order.client_order_id for order in by_hand)
        time.sleep(AWAY_S)
        assert router.is_ready()
        broker.start()
        after = [router.predict(*signal) for signal in ((0.1, 0.6), (0.6, 0.1))]
        for prediction in after:
            wait_for(partial(router.settled, prediction), 30.0, "an end after the outage")
        wait_for(lambda: told(router) == journaled(router) or None, 30.0, "the topic has what the journal has")
        time.sleep(3.0)  # what was sent twice would land by now
        sequences = told(router)
        assert sequences == journaled(router) == list(range(1, len(sequences) + 1))
        explained = [router.explain(prediction) for prediction in (before, *after)]
        assert all(found is not None and len(found.orders) <= 1 for found in explained)
        assert held(router) == at_venue(venue)
        risk = router.rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0)
        assert risk.state == orders_pb2.TRADING_STATE_ACTIVE, risk.state_reason
        assert router.process is process
        assert router.stop() == 0
    finally:
        router.kill()
        router.producer.close()


def submit(router: RouterPlace, venue: VenuePlace, name: str) -> orders_pb2.Order:
    session = venue.session()
    assert session is not None
    rules = venue.asking.rules(session["instrument"])
    assert rules is not None
    price = collared_limit(venue.quote(), Side.BUY, Decimal(5), rules)
    quantity = rules.lots_up(rules.min_notional / price) + rules.lot_size
    request = orders_pb2.SubmitOrderRequest(
        client_order_id=name,
        instrument=rules.instrument,
        side=market_pb2.SIDE_BUY,
        price=str(price),
        quantity=str(quantity),
        time_in_force=orders_pb2.TIME_IN_FORCE_IOC,
    )
    return router.rpc.SubmitOrder(request, timeout=10.0).order


def told(router: RouterPlace) -> list[int]:
    return [orders_pb2.OrderEvent.FromString(record.value or b"").sequence for record in router.read("orders.events")]


def journaled(router: RouterPlace) -> list[int]:
    with closing(sqlite3.connect(router.folder / "state" / "journal.sqlite")) as connection:
        return [row[0] for row in connection.execute("SELECT sequence FROM outbox ORDER BY sequence")]


def held(router: RouterPlace) -> Decimal:
    positions = router.rpc.ListPositions(orders_pb2.ListPositionsRequest(), timeout=5.0).positions
    return Decimal(positions[0].quantity) if positions else Decimal(0)


def at_venue(venue: VenuePlace) -> Decimal:
    session = venue.session()
    assert session is not None
    rules = venue.asking.rules(session["instrument"])
    assert rules is not None
    return venue.asking.position(rules)
