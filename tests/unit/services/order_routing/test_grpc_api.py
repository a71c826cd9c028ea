"""The rpcs over a real channel: answers, refusals as answers, and each error in its agreed status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from libs.wire import orders as wire
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1 import orders_pb2_grpc
from services.order_routing.domain import InputAt
from services.order_routing.grpc_api import OrderRoutingApi
from services.order_routing.handlers.router import Router
from services.order_routing.handlers.terms import NotLeading
from services.order_routing.ports import Keep
from tests.builders.orders import INSTRUMENT, a_prediction
from tests.fakes.router_world import RouterWorld

BUY: Any = 1
IOC: Any = 2
HALTED: Any = 3


class Desk:
    """A router in memory behind a real server."""

    def __init__(self) -> None:
        self.world = RouterWorld()
        self.router: Router | None = self.world.started()
        self.server = grpc.server(ThreadPoolExecutor(4))
        orders_pb2_grpc.add_OrderRoutingServiceServicer_to_server(OrderRoutingApi(self.leading, wire), self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.rpc = orders_pb2_grpc.OrderRoutingServiceStub(self.channel)

    def leading(self) -> Router:
        if self.router is None:
            raise NotLeading("waiting for the lease")
        return self.router

    def close(self) -> None:
        self.channel.close()
        self.server.stop(0).wait()

    def decide(self, offset: int = 0) -> str:
        assert self.router is not None
        prediction = a_prediction(now=self.world.clock.now)
        self.router.predictions.handle(prediction, InputAt("predictions", 0, offset))
        self.router.tend()
        return prediction.id


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


def wish(**parts: Any) -> pb.SubmitOrderRequest:
    known: dict[str, Any] = {
        "client_order_id": "mine-1",
        "instrument": INSTRUMENT,
        "side": BUY,
        "price": "50000.5",
        "quantity": "0.010",
        "time_in_force": IOC,
    }
    return pb.SubmitOrderRequest(**(known | parts))


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, dict[str, str], str]:
    """The status, the field violations and the reason of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    status = rpc_status.from_call(error)
    violations, reason = {}, ""
    for detail in status.details if status else ():
        request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
        if detail.Unpack(request):
            violations = {one.field: one.description for one in request.field_violations}
        if detail.Unpack(info):
            reason = info.reason
    return error.code(), violations, reason


def test_submit_get_and_list(desk: Desk) -> None:
    sent = desk.rpc.SubmitOrder(wish(), timeout=5)
    assert sent.order.client_order_id == "mine-1"
    desk.leading().tend()
    found = desk.rpc.GetOrder(pb.GetOrderRequest(client_order_id="mine-1"), timeout=5)
    assert found.order.state == pb.ORDER_STATE_FILLED
    assert sum(float(fill.quantity) for fill in found.fills) == pytest.approx(0.01)
    (position,) = desk.rpc.ListPositions(pb.ListPositionsRequest(), timeout=5).positions
    assert position.quantity == "0.01"


def test_pages_of_orders_hold_every_order_once(desk: Desk) -> None:
    for number in range(5):
        desk.rpc.SubmitOrder(wish(client_order_id=f"mine-{number}", quantity="0.001"), timeout=5)
    seen, token = [], ""
    while True:
        page = desk.rpc.ListOrders(pb.ListOrdersRequest(page_size=2, page_token=token), timeout=5)
        seen += [order.client_order_id for order in page.orders]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"mine-{number}" for number in range(5)]


def test_a_denial_is_an_answer(desk: Desk) -> None:
    answer = desk.rpc.SubmitOrder(wish(price="60000.0"), timeout=5)
    assert answer.denied.code == "PRICE_COLLAR"


def test_what_is_wrong_is_named_by_field(desk: Desk) -> None:
    code, violations, _ = refusal(
        lambda: desk.rpc.SubmitOrder(wish(price="cheap", quantity="", side=0, time_in_force=9), timeout=5)
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(violations) == {"price", "quantity", "side", "time_in_force"}


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda rpc: rpc.SubmitOrder(wish(instrument="x.y.Z"), timeout=5), grpc.StatusCode.NOT_FOUND),
        (lambda rpc: rpc.SubmitOrder(wish(client_order_id=""), timeout=5), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda rpc: rpc.GetOrder(pb.GetOrderRequest(client_order_id="no"), timeout=5), grpc.StatusCode.NOT_FOUND),
        (
            lambda rpc: rpc.CancelOrder(pb.CancelOrderRequest(client_order_id="no"), timeout=5),
            grpc.StatusCode.NOT_FOUND,
        ),
        (lambda rpc: rpc.CancelOrder(pb.CancelOrderRequest(), timeout=5), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda rpc: rpc.ListOrders(pb.ListOrdersRequest(page_token="?"), timeout=5), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda rpc: rpc.ListOrders(pb.ListOrdersRequest(page_size=-1), timeout=5), grpc.StatusCode.INVALID_ARGUMENT),
        (
            lambda rpc: rpc.ListPositions(pb.ListPositionsRequest(page_token="W10="), timeout=5),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (lambda rpc: rpc.ExplainDecision(pb.ExplainDecisionRequest(), timeout=5), grpc.StatusCode.INVALID_ARGUMENT),
        (
            lambda rpc: rpc.ExplainDecision(pb.ExplainDecisionRequest(decision_key="k"), timeout=5),
            grpc.StatusCode.NOT_FOUND,
        ),
        (
            lambda rpc: rpc.SetTradingState(pb.SetTradingStateRequest(by="a", reason="b"), timeout=5),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            lambda rpc: rpc.SetTradingState(pb.SetTradingStateRequest(state=HALTED), timeout=5),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ],
)
def test_errors_have_their_status(desk: Desk, ask: Callable[[Any], object], code: grpc.StatusCode) -> None:
    assert refusal(lambda: ask(desk.rpc))[0] is code


def test_the_same_id_with_other_content_exists_already(desk: Desk) -> None:
    desk.rpc.SubmitOrder(wish(), timeout=5)
    assert desk.rpc.SubmitOrder(wish(), timeout=5).order.client_order_id == "mine-1"
    code, _, reason = refusal(lambda: desk.rpc.SubmitOrder(wish(quantity="0.011"), timeout=5))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "DIFFERENT_CONTENT")


def test_who_does_not_lead_says_so(desk: Desk) -> None:
    desk.router = None
    code, _, reason = refusal(lambda: desk.rpc.ListOrders(pb.ListOrdersRequest(), timeout=5))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_LEADING")


def test_the_trading_state_is_set_and_shown(desk: Desk) -> None:
    desk.rpc.SetTradingState(pb.SetTradingStateRequest(state=HALTED, by="me", reason="drill"), timeout=5)
    risk = desk.rpc.GetRiskState(pb.GetRiskStateRequest(), timeout=5)
    assert (risk.state, risk.state_reason, risk.lease_held) == (pb.TRADING_STATE_HALTED, "drill", True)
    assert risk.equity_quote == "100000"


def test_a_decision_is_explained(desk: Desk) -> None:
    prediction_id = desk.decide()
    explained = desk.rpc.ExplainDecision(pb.ExplainDecisionRequest(prediction_id=prediction_id), timeout=5)
    assert explained.decision.kind == pb.DECISION_KIND_ENTER
    assert all(rule.passed for rule in explained.decision.rules)
    assert explained.orders[0].state == pb.ORDER_STATE_FILLED
    assert explained.fills


def test_a_watcher_sees_every_event_from_where_it_asks(desk: Desk) -> None:
    desk.decide()
    watched: Any = desk.rpc.WatchOrderEvents(pb.WatchOrderEventsRequest(after_sequence=1), timeout=10)
    first = next(watched).event
    assert first.sequence == 2
    assert first.WhichOneof("event") == "order"
    desk.decide(1)
    total = len(desk.world.journal.events("paper", 0, 1000))
    assert [next(watched).event.sequence for _ in range(total - 2)] == list(range(3, total + 1))
    watched.cancel()


def test_a_watcher_of_events_that_were_removed_is_told_where_they_are(desk: Desk) -> None:
    for offset in range(3):
        desk.decide(offset)
    journal, account = desk.world.journal, desk.leading().account
    journal.mark_published(account.lease, 3)
    assert journal.prune(account.lease, Keep(events=1, decisions=2 * 10**18), desk.world.clock() + 10**18).rows == 3
    watched: Any = desk.rpc.WatchOrderEvents(pb.WatchOrderEventsRequest(after_sequence=1), timeout=10)
    code, _, reason = refusal(lambda: next(watched))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "EVENTS_REMOVED")
    for after in (0, 3):
        watched = desk.rpc.WatchOrderEvents(pb.WatchOrderEventsRequest(after_sequence=after), timeout=10)
        assert next(watched).event.sequence == 4
        watched.cancel()
