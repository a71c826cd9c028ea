"""The router is killed at each step from recording an order to its answer: one decision, at most one order."""

from __future__ import annotations

import signal

import pytest

from protos.orders.v1 import orders_pb2
from tests.builders.processes import wait_for
from tests.fakes.dying_router import AFTER_ANSWER, AFTER_RECORD, AFTER_SEND
from tests.integration.order_routing.place import KEY, RouterPlace, VenuePlace

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(("step", "at_venue"), [(AFTER_RECORD, 0), (AFTER_SEND, 1), (AFTER_ANSWER, 1)])
def test_a_killed_router_sends_no_order_twice_and_loses_none(
    router: RouterPlace, venue: VenuePlace, step: str, at_venue: int
) -> None:
    router.start("tests.fakes.dying_router", step)
    held = _position(router)
    up, down = (0.1, 0.6) if held > 0 else (0.6, 0.1)
    prediction = router.predict(up, down)
    assert router.wait_for_death() == -signal.SIGKILL, router.log.read_text()[-2000:]

    router.start()
    explained = wait_for(lambda: router.settled(prediction), 30.0, "the order has an end")
    (order,) = explained.orders
    listed = _orders_at_venue(venue, order.client_order_id)
    assert len(listed) == at_venue
    if at_venue:
        assert order.state in {orders_pb2.ORDER_STATE_FILLED, orders_pb2.ORDER_STATE_CANCELLED}
        assert sum(float(fill.quantity) for fill in explained.fills) == pytest.approx(float(listed[0]["cumExecQty"]))
    else:
        assert order.state == orders_pb2.ORDER_STATE_NOT_ACCEPTED
    wait_for(lambda: _position(router) == _position_at_venue(router, venue), 10.0, "journal = venue")
    assert (
        router.rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0).state == orders_pb2.TRADING_STATE_ACTIVE
    )
    assert router.stop() == 0


def _position(router: RouterPlace) -> float:
    positions = router.rpc.ListPositions(orders_pb2.ListPositionsRequest(), timeout=5.0).positions
    return float(positions[0].quantity) if positions else 0.0


def _position_at_venue(router: RouterPlace, venue: VenuePlace) -> float:
    session = venue.session()
    assert session is not None
    rules = venue.asking.rules(session["instrument"])
    assert rules is not None
    return float(venue.asking.position(rules))


def _orders_at_venue(venue: VenuePlace, client_order_id: str) -> list[dict[str, str]]:
    assert KEY.key
    asked = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": client_order_id}
    found: list[dict[str, str]] = venue.asking._get("/v5/order/history", asked)["list"]
    return found
