"""Orders by hand, the kill switch, the dead man's switch, and why it did what it did."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from libs.trading.decisions import DecisionKind
from libs.trading.market import NS_PER_SECOND, Side
from libs.trading.orders import Order, OrderState, Origin, TimeInForce
from libs.trading.risk import Denied, TradingState
from services.order_routing.domain import InputAt
from services.order_routing.handlers.operate import DifferentContent, InvalidRequest, NotFound, OrderWish
from services.order_routing.handlers.router import Router
from tests.builders.orders import INSTRUMENT, a_policy, a_prediction
from tests.fakes.router_world import RouterWorld

D = Decimal
WISH = OrderWish("mine-1", INSTRUMENT, Side.BUY, D("50000.5"), D("0.010"), TimeInForce.IOC, False)


def state_of(router: Router) -> TradingState:
    """Asked anew: it changes between two looks."""
    return router.account.state


def enter(world: RouterWorld, router: Router) -> Order:
    order = router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    router.tend()
    assert order is not None
    return order


def test_the_same_wish_twice_is_one_order() -> None:
    world = RouterWorld()
    router = world.started()
    first = router.operations.submit(WISH)
    second = router.operations.submit(WISH)
    assert isinstance(first, Order)
    assert isinstance(second, Order)
    assert first.client_order_id == second.client_order_id
    assert world.venue.sent["mine-1"] == 1


def test_the_same_id_with_other_content_is_refused_also_after_a_restart() -> None:
    world = RouterWorld()
    world.started().operations.submit(WISH)
    with pytest.raises(DifferentContent):
        world.started().operations.submit(replace(WISH, quantity=D("0.011")))
    assert world.venue.sent["mine-1"] == 1


def test_a_risk_denial_is_an_answer() -> None:
    world = RouterWorld()
    denied = world.started().operations.submit(replace(WISH, price=D("51000.0")))
    assert isinstance(denied, Denied)
    assert denied.code == "PRICE_COLLAR"
    assert not world.venue.sent


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (replace(WISH, client_order_id="x" * 37), "client_order_id"),
        (replace(WISH, client_order_id="sp ace"), "client_order_id"),
        (replace(WISH, price=D(0)), "price"),
        (replace(WISH, quantity=D("NaN")), "quantity"),
    ],
)
def test_a_malformed_wish_names_its_field(wish: OrderWish, field: str) -> None:
    with pytest.raises(InvalidRequest) as problem:
        RouterWorld().started().operations.submit(wish)
    assert set(problem.value.violations) == {field}


def test_unknown_things_are_not_found() -> None:
    operations = RouterWorld().started().operations
    for ask in (
        lambda: operations.submit(replace(WISH, instrument="sim.linear.NOPE")),
        lambda: operations.cancel("nobody"),
        lambda: operations.explain(prediction_id="nothing"),
    ):
        with pytest.raises(NotFound):
            ask()


def test_cancel_ends_a_resting_order() -> None:
    world = RouterWorld()
    router = world.started()
    router.operations.submit(replace(WISH, price=D("49000.0"), time_in_force=TimeInForce.GTC))
    router.operations.cancel("mine-1")
    router.tend()
    for news in world.venue.take_news():
        router.reconciliation.news(news)
    assert router.operations.order("mine-1")[0].state is OrderState.CANCELLED


def test_the_kill_switch_cancels_flattens_and_stays() -> None:
    world = RouterWorld()
    router = world.started()
    enter(world, router)
    router.operations.submit(replace(WISH, price=D("49000.0"), time_in_force=TimeInForce.GTC))
    router.operations.set_state(TradingState.HALTED, "operator", "drill")
    for _ in range(6):
        world.clock.advance(NS_PER_SECOND)
        world.keep(router)
        router.tend()
    assert world.venue.held() == 0
    assert not router.account.live
    assert router.account.holding(INSTRUMENT).position.quantity == 0
    flattening = [order for order in world.told.ordered_orders if order.origin is Origin.RISK]
    assert len(flattening) == 1
    assert flattening[0].reduce_only
    again = world.started()
    assert (again.account.state, again.account.state_by) == (TradingState.HALTED, "operator")
    denied = again.operations.submit(replace(WISH, client_order_id="mine-2"))
    assert isinstance(denied, Denied)
    assert denied.code == "TRADING_STATE"
    again.operations.set_state(TradingState.ACTIVE, "operator", "drill over")
    assert isinstance(again.operations.submit(replace(WISH, client_order_id="mine-3")), Order)


def test_a_halt_by_reconciliation_sells_nothing() -> None:
    world = RouterWorld()
    router = world.started()
    enter(world, router)
    held = world.venue.held()
    router.account.differ("position", "test", halt=True)
    for _ in range(3):
        world.clock.advance(NS_PER_SECOND)
        world.keep(router)
        router.tend()
    assert world.venue.held() == held != 0


def test_flattening_is_a_policy() -> None:
    world = RouterWorld(policy=a_policy(flatten_on_halt=False))
    router = world.started()
    enter(world, router)
    router.operations.set_state(TradingState.HALTED, "operator", "drill")
    router.tend()
    assert world.venue.held() != 0


def test_reducing_lets_exits_through_only() -> None:
    world = RouterWorld()
    router = world.started()
    enter(world, router)
    router.operations.set_state(TradingState.REDUCING, "operator", "drill")
    assert isinstance(router.operations.submit(WISH), Denied)
    out = OrderWish("out-1", INSTRUMENT, Side.SELL, D("49999.5"), D("0.010"), TimeInForce.IOC, True)
    assert isinstance(router.operations.submit(out), Order)


def test_a_state_needs_someone_and_a_reason() -> None:
    with pytest.raises(InvalidRequest) as problem:
        RouterWorld().started().operations.set_state(TradingState.HALTED, " ", "")
    assert set(problem.value.violations) == {"by", "reason"}


def test_the_dead_mans_switch() -> None:
    world = RouterWorld()
    router = world.started()
    dead_man = 60 * NS_PER_SECOND
    router.operations.halt_without_input(dead_man, {})
    enter(world, router)
    world.clock.advance(61 * NS_PER_SECOND)
    router.account.renew(world.journal.renew(router.account.lease, world.clock(), 3 * NS_PER_SECOND))
    router.operations.halt_without_input(dead_man, {INSTRUMENT: "another session"})
    assert state_of(router) is TradingState.ACTIVE
    router.operations.halt_without_input(dead_man, {INSTRUMENT: "s1"})
    assert state_of(router) is TradingState.HALTED


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ({}, TradingState.HALTED),
        ({INSTRUMENT: "s1"}, TradingState.HALTED),
        ({INSTRUMENT: "another session"}, TradingState.ACTIVE),
    ],
)
def test_the_dead_mans_switch_counts_from_the_start_when_nothing_comes(
    sessions: dict[str, str], expected: TradingState
) -> None:
    world = RouterWorld()
    enter(world, world.started())
    router = world.started()
    dead_man = 60 * NS_PER_SECOND
    router.operations.halt_without_input(dead_man, sessions)
    assert state_of(router) is TradingState.ACTIVE
    world.clock.advance(61 * NS_PER_SECOND)
    world.keep(router)
    router.operations.halt_without_input(dead_man, sessions)
    assert state_of(router) is expected


def test_the_risk_state_says_what_each_rule_would_say() -> None:
    world = RouterWorld()
    router = world.started()
    assert [rule.rule for rule in router.operations.risk_state().rules] == ["quote"]
    enter(world, router)
    risk = router.operations.risk_state()
    assert risk.lease_held
    assert risk.equity is not None
    assert {"trading_state", "position_limit", "drawdown"} <= {rule.rule for rule in risk.rules}


def test_explain_reads_stored_rows_after_a_restart() -> None:
    world = RouterWorld()
    router = world.started()
    order = enter(world, router)
    operations = world.started().operations
    for asked in (
        {"decision_key": order.decision_key},
        {"prediction_id": order.prediction_id},
        {"client_order_id": order.client_order_id},
    ):
        decision, orders, fills = operations.explain(**asked)
        assert decision.kind is DecisionKind.ENTER
        assert [found.state for found in orders] == [OrderState.FILLED]
        assert sum(fill.quantity for fill in fills) == order.quantity
