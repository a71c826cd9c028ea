"""The real router among the real venue's faults: answers lost, late or wrong, streams dropped, executions twice."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
import pytest

from libs.runtime.kafka import TopicPartition, open_consumer
from protos.orders.v1 import orders_pb2
from tests.builders.processes import wait_for
from tests.integration.order_routing.place import RouterPlace, VenuePlace

pytestmark = pytest.mark.timeout(180)
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop_after_accept"},
    {"kind": "error_after_accept"},
    {"kind": "delay_answer", "seconds": 3.0},
    {"kind": "duplicate_executions"},
    {"kind": "drop_orders"},
)


def test_no_fault_of_the_venue_loses_or_doubles_an_order(router: RouterPlace, venue: VenuePlace) -> None:
    router.start()
    made = []
    for number, fault in enumerate(FAULTS):
        venue.fault(**fault)
        up, down = ((0.6, 0.1), (0.1, 0.6))[number % 2]
        prediction = router.predict(up, down)
        explained = wait_for(partial(router.settled, prediction), 30.0, f"an end after {fault}")
        (order,) = explained.orders
        made.append(order.client_order_id)
        assert order.state in {orders_pb2.ORDER_STATE_FILLED, orders_pb2.ORDER_STATE_CANCELLED}, fault
    venue.fault(kind="drop_streams")
    time.sleep(1.0)
    prediction = router.predict(0.1, 0.6)
    wait_for(lambda: router.settled(prediction), 30.0, "an end after the streams were dropped")
    wait_for(lambda: _quantity(router) == _at_venue(router, venue), 10.0, "journal = venue")
    risk = router.rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0)
    assert risk.state == orders_pb2.TRADING_STATE_ACTIVE, risk.state_reason
    assert len(set(made)) == len(FAULTS)


def test_the_topic_tells_every_event_once_also_after_a_kill(router: RouterPlace) -> None:
    if router.process is None:
        router.start()
    prediction = router.predict(0.6, 0.1)
    wait_for(lambda: router.settled(prediction), 30.0)
    assert router.process is not None
    router.process.send_signal(signal.SIGKILL)
    router.wait_for_death()
    router.start()
    prediction = router.predict(0.1, 0.6)
    wait_for(lambda: router.settled(prediction), 30.0)
    told = wait_for(partial(_told_as_watched, router), why="the topic has as many events as a watcher sees")
    assert told == list(range(1, len(told) + 1))


def test_a_second_router_waits_and_takes_over(router: RouterPlace) -> None:
    if router.process is None:
        router.start()
    first, rpc = router.process, router.rpc
    router.start(wait=False)
    time.sleep(3.0)
    assert not router.is_ready()
    assert rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0).lease_held
    assert first is not None
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    wait_for(router.is_ready, 20.0, "the second one leads")
    assert router.rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0).lease_epoch > 1


def test_the_kill_switch_flattens_at_the_venue_and_outlives_the_process(router: RouterPlace, venue: VenuePlace) -> None:
    if router.process is None:
        router.start()
    up, down = (0.6, 0.1) if _quantity(router) <= 0 else (0.1, 0.6)
    prediction = router.predict(up, down)
    wait_for(lambda: router.settled(prediction), 30.0)
    halted = orders_pb2.TRADING_STATE_HALTED
    router.rpc.SetTradingState(orders_pb2.SetTradingStateRequest(state=halted, by="test", reason="drill"), timeout=10.0)
    wait_for(lambda: _at_venue(router, venue) == 0.0, 30.0, "flat at the venue")
    wait_for(lambda: _quantity(router) == 0.0, 10.0, "flat in the journal")
    assert router.stop() == 0
    router.start()
    assert router.rpc.GetRiskState(orders_pb2.GetRiskStateRequest(), timeout=5.0).state == halted
    denied = wait_for(lambda: router.explain(router.predict(0.6, 0.1)), 10.0).decision
    assert denied.denied.code == "TRADING_STATE"


def _quantity(router: RouterPlace) -> float:
    positions = router.rpc.ListPositions(orders_pb2.ListPositionsRequest(), timeout=5.0).positions
    return float(positions[0].quantity) if positions else 0.0


def _at_venue(router: RouterPlace, venue: VenuePlace) -> float:
    session = venue.session()
    assert session is not None
    rules = venue.asking.rules(session["instrument"])
    assert rules is not None
    return float(venue.asking.position(rules))


def _told_as_watched(router: RouterPlace) -> list[int] | None:
    told, watched = _on_topic(router), _watched(router)
    return told if len(told) == len(watched) > 0 else None


def _watched(router: RouterPlace) -> list[int]:
    """Every sequence in the journal, as a watcher sees it within two seconds."""
    seen: list[int] = []
    with suppress(grpc.RpcError):
        for answer in router.rpc.WatchOrderEvents(orders_pb2.WatchOrderEventsRequest(), timeout=2.0):
            seen.append(answer.event.sequence)
    return seen


def _on_topic(router: RouterPlace) -> list[int]:
    consumer = open_consumer(router.kafka, "test-reader")
    try:
        part = TopicPartition("orders.events", 0)
        end = consumer.end_offsets([part])[part]
        consumer.assign({part: "earliest"})
        seen: list[int] = []
        while len(seen) < end:
            seen += [orders_pb2.OrderEvent.FromString(record.value or b"").sequence for record in consumer.poll(1.0)]
        return seen
    finally:
        consumer.close()
