"""OrderRoutingService over gRPC: checks what was asked, asks the router, and answers in the contract's codes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

import grpc

from libs.runtime.grpc_errors import abort
from libs.runtime.service import StreamCap
from libs.trading.decisions import Decision
from libs.trading.market import Side
from libs.trading.orders import Fill, Order, OrderState, TimeInForce
from libs.trading.portfolio import Position
from libs.trading.risk import Denied, RuleResult, TradingState
from libs.trading.sizing import price_of
from protos.orders.v1 import orders_pb2, orders_pb2_grpc
from services.order_routing.handlers.account import Account
from services.order_routing.handlers.operate import (
    DifferentContent,
    InvalidRequest,
    NotFound,
    OrderWish,
)
from services.order_routing.handlers.router import Router
from services.order_routing.handlers.terms import NotLeading
from services.order_routing.ports import JournalProblem, LeaseLost, VenueUnavailable

SERVICE = "orders.v1.OrderRoutingService"
DEFAULT_PAGE, LARGEST_PAGE = 100, 1_000
WATCH_WAIT_S = 0.25
RETRY_S = 1.0
E = TypeVar("E", bound=IntEnum)
T = TypeVar("T")


class Wire(Protocol):
    """How values become messages (libs.wire.orders)."""

    def order_message(self, order: Order) -> orders_pb2.Order: ...
    def fill_message(self, fill: Fill) -> orders_pb2.Fill: ...
    def decision_message(self, decision: Decision) -> orders_pb2.Decision: ...
    def rule_message(self, result: RuleResult) -> orders_pb2.RuleResult: ...
    def decimal_text(self, value: Decimal) -> str: ...
    def position_message(self, account: str, position: Position, mark: Decimal | None) -> orders_pb2.Position: ...


class OrderRoutingApi(orders_pb2_grpc.OrderRoutingServiceServicer):
    """`router` raises NotLeading while another process, or nobody yet, acts for the account."""

    def __init__(self, router: Callable[[], Router], wire: Wire) -> None:
        self._router = router
        self._wire = wire
        self._streams = StreamCap()

    def SubmitOrder(
        self, request: orders_pb2.SubmitOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.SubmitOrderResponse:
        outcome = self._answer(context, lambda router: router.operations.submit(_wish(request)))
        if isinstance(outcome, Denied):
            denied = orders_pb2.Denied(code=outcome.code, reason=outcome.reason)
            return orders_pb2.SubmitOrderResponse(denied=denied)
        return orders_pb2.SubmitOrderResponse(order=self._wire.order_message(outcome))

    def CancelOrder(
        self, request: orders_pb2.CancelOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.CancelOrderResponse:
        order = self._answer(context, lambda router: router.operations.cancel(_id(request.client_order_id)))
        return orders_pb2.CancelOrderResponse(order=self._wire.order_message(order))

    def GetOrder(
        self, request: orders_pb2.GetOrderRequest, context: grpc.ServicerContext
    ) -> orders_pb2.GetOrderResponse:
        order, fills = self._answer(context, lambda router: router.operations.order(_id(request.client_order_id)))
        messages = [self._wire.fill_message(fill) for fill in fills]
        return orders_pb2.GetOrderResponse(order=self._wire.order_message(order), fills=messages)

    def ListOrders(
        self, request: orders_pb2.ListOrdersRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ListOrdersResponse:
        def ask(router: Router) -> tuple[Order, ...]:
            states = [_member(OrderState, state, "states") for state in request.states]
            after = _order_token(request.page_token)
            account = router.account
            return account.journal.orders(account.policy.account, request.instrument, states, after, size + 1)

        size = self._page_size(request.page_size, context)
        found = self._answer(context, ask)
        page = found[:size]
        token = _token([page[-1].recorded_time, page[-1].client_order_id]) if len(found) > size else ""
        messages = [self._wire.order_message(order) for order in page]
        return orders_pb2.ListOrdersResponse(orders=messages, next_page_token=token)

    def ListPositions(
        self, request: orders_pb2.ListPositionsRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ListPositionsResponse:
        size = self._page_size(request.page_size, context)
        account = self._answer(context, lambda router: router.account)
        after = self._answer(context, lambda _: _name_token(request.page_token))
        with account.lock:
            names = sorted(name for name in account.held if name > after)
            messages = [self._position(account, name) for name in names[:size]]
        token = _token([names[size - 1]]) if len(names) > size else ""
        return orders_pb2.ListPositionsResponse(positions=messages, next_page_token=token)

    def _position(self, account: Account, name: str) -> orders_pb2.Position:
        mark = account.marks.get(name)
        price = None if mark is None else price_of(mark.quote.mid)
        return self._wire.position_message(account.policy.account, account.held[name].position, price)

    def GetRiskState(
        self, request: orders_pb2.GetRiskStateRequest, context: grpc.ServicerContext
    ) -> orders_pb2.GetRiskStateResponse:
        risk = self._answer(context, lambda router: router.operations.risk_state())
        text = self._wire.decimal_text
        return orders_pb2.GetRiskStateResponse(
            state=_number(risk.state),
            state_reason=risk.reason,
            equity_quote="" if risk.equity is None else text(risk.equity),
            peak_equity_quote="" if risk.peak is None else text(risk.peak),
            drawdown=risk.drawdown,
            rules=[self._wire.rule_message(result) for result in risk.rules],
            lease_epoch=risk.epoch,
            lease_held=risk.lease_held,
        )

    def SetTradingState(
        self, request: orders_pb2.SetTradingStateRequest, context: grpc.ServicerContext
    ) -> orders_pb2.SetTradingStateResponse:
        def ask(router: Router) -> TradingState:
            state = _member(TradingState, request.state, "state")
            return router.operations.set_state(state, request.by, request.reason)

        return orders_pb2.SetTradingStateResponse(state=_number(self._answer(context, ask)))

    def WatchOrderEvents(
        self, request: orders_pb2.WatchOrderEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[orders_pb2.WatchOrderEventsResponse]:
        with self._streams.hold(context):
            after = request.after_sequence
            first = self._answer(context, self._first_event)
            if 0 < after < first - 1:  # 0: from what there is
                message = f"events up to {first - 1} are no longer kept here; read the topic orders.events for them"
                abort(context, grpc.StatusCode.OUT_OF_RANGE, message, reason="EVENTS_REMOVED")
            while context.is_active():
                account, events = self._answer(context, partial(self._events, after))
                for sequence, payload in events:
                    yield orders_pb2.WatchOrderEventsResponse(event=orders_pb2.OrderEvent.FromString(payload))
                    after = sequence
                if not events:
                    with account.changed:
                        account.changed.wait(WATCH_WAIT_S)

    @staticmethod
    def _first_event(router: Router) -> int:
        return router.account.journal.first_event(router.account.policy.account)

    @staticmethod
    def _events(after: int, router: Router) -> tuple[Account, tuple[tuple[int, bytes], ...]]:
        """With the account that tells of later ones, which is another in each term."""
        account = router.account
        return account, account.journal.events(account.policy.account, after, 500)

    def ExplainDecision(
        self, request: orders_pb2.ExplainDecisionRequest, context: grpc.ServicerContext
    ) -> orders_pb2.ExplainDecisionResponse:
        key = request.WhichOneof("key")
        if key is None or not getattr(request, key):
            _invalid(context, InvalidRequest({"key": "decision_key, prediction_id or client_order_id is needed"}))
        asked = {key: getattr(request, key)}
        decision, orders, fills = self._answer(context, lambda router: router.operations.explain(**asked))
        return orders_pb2.ExplainDecisionResponse(
            decision=self._wire.decision_message(decision),
            orders=[self._wire.order_message(order) for order in orders],
            fills=[self._wire.fill_message(fill) for fill in fills],
        )

    # --- inside

    def _answer(self, context: grpc.ServicerContext, ask: Callable[[Router], T]) -> T:
        """The one place where the router's words become statuses."""
        try:
            return ask(self._router())
        except InvalidRequest as problem:
            _invalid(context, problem)
        except NotFound as problem:
            abort(context, grpc.StatusCode.NOT_FOUND, str(problem), reason="NOT_FOUND")
        except DifferentContent as problem:
            abort(context, grpc.StatusCode.ALREADY_EXISTS, str(problem), reason="DIFFERENT_CONTENT")
        except (NotLeading, LeaseLost) as problem:
            abort(context, grpc.StatusCode.UNAVAILABLE, str(problem), reason="NOT_LEADING", retry_s=RETRY_S)
        except VenueUnavailable as problem:
            abort(context, grpc.StatusCode.UNAVAILABLE, str(problem), reason="VENUE_AWAY", retry_s=RETRY_S)
        except JournalProblem as problem:
            abort(context, grpc.StatusCode.UNAVAILABLE, str(problem), reason="JOURNAL", retry_s=RETRY_S)

    @staticmethod
    def _page_size(asked: int, context: grpc.ServicerContext) -> int:
        if asked < 0:
            _invalid(context, InvalidRequest({"page_size": "must not be negative"}))
        return min(asked or DEFAULT_PAGE, LARGEST_PAGE)


def door(router: Callable[[], Router], wire: Wire) -> Callable[[grpc.Server], list[str]]:
    """What opens the service on a server and says its name."""

    def open_on(server: grpc.Server) -> list[str]:
        orders_pb2_grpc.add_OrderRoutingServiceServicer_to_server(OrderRoutingApi(router, wire), server)
        return [SERVICE]

    return open_on


def _invalid(context: grpc.ServicerContext, problem: InvalidRequest) -> NoReturn:
    abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(problem), violations=problem.violations)


def _number(value: IntEnum) -> Any:
    return int(value)  # the generated stubs disagree about what an enum field wants


def _member(kind: type[E], value: int, field: str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidRequest({field: f"{value} is none of {', '.join(one.name for one in kind)}"}) from error


def _wish(request: orders_pb2.SubmitOrderRequest) -> OrderWish:
    violations: dict[str, str] = {}

    def decimal(field: str, text: str) -> Decimal:
        try:
            return Decimal(text)
        except InvalidOperation:
            violations[field] = f"{text!r} is no decimal"
            return Decimal(0)

    price, quantity = decimal("price", request.price), decimal("quantity", request.quantity)
    for field, kind in (("side", Side), ("time_in_force", TimeInForce)):
        if getattr(request, field) not in set(kind):
            violations[field] = f"{getattr(request, field)} is none of {', '.join(one.name for one in kind)}"
    if violations:
        raise InvalidRequest(violations)
    return OrderWish(
        request.client_order_id,
        request.instrument,
        Side(request.side),
        price,
        quantity,
        TimeInForce(request.time_in_force),
        request.reduce_only,
    )


def _id(client_order_id: str) -> str:
    if not client_order_id:
        raise InvalidRequest({"client_order_id": "must not be empty"})
    return client_order_id


def _token(parts: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def _parts(token: str) -> list[Any]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest({"page_token": "not one of this service's"}) from error
    if not isinstance(parts, list):
        raise InvalidRequest({"page_token": "not one of this service's"})
    return parts


def _order_token(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    match _parts(token):
        case [int(recorded), str(name)]:
            return recorded, name
        case _:
            raise InvalidRequest({"page_token": "not one of this service's"})


def _name_token(token: str) -> str:
    if not token:
        return ""
    match _parts(token):
        case [str(name)]:
            return name
        case _:
            raise InvalidRequest({"page_token": "not one of this service's"})
