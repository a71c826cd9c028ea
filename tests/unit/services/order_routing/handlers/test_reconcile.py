"""The venue is the truth: what it has and the journal lacks is adopted or halts, and is told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from libs.trading.decisions import ReconciliationDifference
from libs.trading.market import NS_PER_SECOND
from libs.trading.orders import OrderState, Reported, TimeInForce, VenueStatus, namespace_tag
from libs.trading.risk import TradingState
from libs.wire.orders import decode_event
from services.order_routing.domain import InputAt
from services.order_routing.handlers.router import Router
from services.order_routing.ports import OrderNews
from tests.builders.orders import INSTRUMENT, a_policy, a_prediction, an_order
from tests.fakes.router_world import RouterWorld

D = Decimal
TAG = namespace_tag("paper", "test")


def state_of(router: Router) -> TradingState:
    """Asked anew: it changes between two looks."""
    return router.account.state


def differences(world: RouterWorld) -> list[str]:
    facts = [decode_event(payload).fact for _, payload in world.journal.events("paper", 0, 1000)]
    return [fact.kind for fact in facts if isinstance(fact, ReconciliationDifference)]


def resting(world: RouterWorld, name: str, **parts: object) -> None:
    order = an_order(
        client_order_id=name, price=D("49000.0"), time_in_force=TimeInForce.GTC, recorded_time=world.clock.now
    )
    world.venue.place_by_hand(replace(order, **parts))  # type: ignore[arg-type]


def test_an_unknown_order_of_ours_is_adopted_and_cancelled() -> None:
    world = RouterWorld()
    router = world.started()
    resting(world, f"{TAG}-forgotten")
    router.tend()
    for news in world.venue.take_news():
        router.reconciliation.news(news)
    order = world.journal.order("paper", f"{TAG}-forgotten")
    assert order is not None
    assert order.state is OrderState.CANCELLED
    assert differences(world) == ["unknown_order_of_ours"]
    assert state_of(router) is TradingState.ACTIVE


def test_a_foreign_order_halts_by_default_and_only_is_told_where_allowed() -> None:
    for allowed, expected in ((False, TradingState.HALTED), (True, TradingState.ACTIVE)):
        world = RouterWorld(policy=a_policy(halt_on_foreign=not allowed))
        router = world.started()
        resting(world, "by-hand")
        router.reconciliation.cycle()
        router.reconciliation.cycle()
        assert router.account.state is expected
        assert differences(world) == ["foreign_order"]


def test_a_foreign_fill_is_held_all_the_same() -> None:
    world = RouterWorld()
    router = world.started()
    world.venue.place_by_hand(an_order(client_order_id="", recorded_time=world.clock.now, price=D("60000.0")))
    router.reconciliation.cycle()
    assert router.account.holding(INSTRUMENT).position.quantity == world.venue.held() == D("0.020")
    assert state_of(router) is TradingState.HALTED
    assert differences(world) == ["foreign_fill"]
    assert world.started().account.holding(INSTRUMENT).position.quantity == D("0.020")


def test_executions_that_the_stream_lost_are_found() -> None:
    world = RouterWorld()
    router = world.started()
    order = router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    world.venue.take_news()
    assert order is not None
    router.reconciliation.cycle()
    assert router.account.holding(INSTRUMENT).position.quantity == world.venue.held() != 0


def test_news_twice_and_late_counts_once() -> None:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    news = world.venue.take_news()
    for one in [*reversed(news), *news]:
        router.reconciliation.news(one)
    assert router.account.holding(INSTRUMENT).position.quantity == world.venue.held()
    assert len(world.told.fills) == len(world.venue.all_executions())
    assert not router.account.live


def test_a_position_that_differs_twice_halts_once_it_is_quiet() -> None:
    world = RouterWorld()
    router = world.started()
    world.venue.position = lambda rules: D("0.5")  # type: ignore[method-assign]
    router.reconciliation.cycle()
    assert state_of(router) is TradingState.ACTIVE
    router.reconciliation.cycle()
    router.reconciliation.cycle()
    assert state_of(router) is TradingState.HALTED
    assert differences(world) == ["position"]


def test_orders_of_an_old_session_are_cancelled() -> None:
    world = RouterWorld()
    router = world.started()
    order = an_order(client_order_id="old", price=D("49000.0"), time_in_force=TimeInForce.GTC, session="s0")
    order = replace(order, recorded_time=world.clock.now)
    router.account.record_order(order)
    router.sender.send(order)
    router.reconciliation.cancel_old_sessions({INSTRUMENT: "s0"})
    assert world.venue.orders["old"].status is VenueStatus.OPEN
    router.reconciliation.cancel_old_sessions({INSTRUMENT: "s1"})
    router.tend()
    for news in world.venue.take_news():
        router.reconciliation.news(news)
    stored = world.journal.order("paper", "old")
    assert stored is not None
    assert stored.state is OrderState.CANCELLED


@pytest.mark.parametrize("over", [True, False])
def test_a_fill_that_its_order_cannot_have_is_booked_and_told_once(over: bool) -> None:
    world = RouterWorld()
    router = world.started()
    order = router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    router.tend()
    assert order is not None
    name = order.client_order_id
    if not over:
        resting(world, f"{TAG}-resting")
        router.account.record_order(world.venue.orders[f"{TAG}-resting"].order)
        name = f"{TAG}-resting"
        router.tend()
    at = world.venue.orders[name]
    held = world.venue.held()
    world.venue._fill(at, at.order.quantity + D("0.005"), D("50000.5"))
    at.status = VenueStatus.FILLED
    for _ in range(3):
        router.tend()
        world.clock.advance(2 * NS_PER_SECOND)
        world.keep(router)
        for news in world.venue.take_news():
            router.reconciliation.news(news)
    assert state_of(router) is TradingState.HALTED
    assert router.account.holding(INSTRUMENT).position.quantity == world.venue.held() > held
    stored = world.journal.order("paper", name)
    assert stored is not None
    assert stored.terminal is over
    assert len([kind for kind in differences(world) if kind == "impossible_transition"]) <= 2  # the fill, its report
    assert set(differences(world)) == {"impossible_transition"}
    before = len(differences(world))
    for _ in range(3):
        router.tend()
    router.reconciliation.check_invariants()
    assert len(differences(world)) == before
    again = world.started()
    again.reconciliation.check_invariants()
    assert again.account.holding(INSTRUMENT) == router.account.holding(INSTRUMENT)


def test_news_of_nobodys_order_is_left_to_reconciliation() -> None:
    world = RouterWorld()
    router = world.started()
    router.reconciliation.news(OrderNews("", Reported("v7", VenueStatus.OPEN, D(0))))
    router.reconciliation.news(OrderNews("unknown", Reported("v7", VenueStatus.OPEN, D(0))))
    assert state_of(router) is TradingState.ACTIVE


def test_the_invariants_are_checked_against_new_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    world = RouterWorld()
    router = world.started()
    monkeypatch.setattr(world.journal, "load", lambda *_: pytest.fail("read as a whole"))
    for offset in range(3):
        up, down = ((0.6, 0.1), (0.1, 0.6))[offset % 2]
        router.predictions.handle(
            a_prediction(up=up, down=down, now=world.clock.now), InputAt("predictions", 0, offset)
        )
        router.tend()
        router.reconciliation.check_invariants()
        world.clock.advance(NS_PER_SECOND)
        world.keep(router)
    checked = router.reconciliation._checked
    assert checked.sequence == router.account.sequence
    assert checked.held == (router.account.holding(INSTRUMENT),)
    assert differences(world) == []


@pytest.mark.parametrize("broken", ["position", "order too much", "order missing"])
def test_memory_that_differs_from_the_journal_halts(broken: str) -> None:
    world = RouterWorld()
    router = world.started()
    order = router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    assert order is not None
    if broken == "position":
        router.tend()
        del router.account.held[INSTRUMENT]
    elif broken == "order too much":
        router.account.live["nobody's"] = order
    else:
        router.account.live.clear()
    router.reconciliation.check_invariants()
    assert state_of(router) is TradingState.HALTED
    assert "invariant" in differences(world)


def test_the_invariants_hold_after_a_day_of_trading() -> None:
    world = RouterWorld()
    router = world.started()
    for offset in range(20):
        up, down = ((0.6, 0.1), (0.3, 0.3), (0.1, 0.6))[offset % 3]
        router.predictions.handle(
            a_prediction(up=up, down=down, now=world.clock.now), InputAt("predictions", 0, offset)
        )
        router.tend()
        world.clock.advance(NS_PER_SECOND)
        world.keep(router)
    router.reconciliation.check_invariants()
    assert differences(world) == []
