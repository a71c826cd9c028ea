"""Orders in doubt: found at the venue, or proven absent, and never sent again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from unittest.mock import Mock

import pytest

from libs.trading.market import NS_PER_SECOND, Side
from libs.trading.orders import Order, OrderState, TimeInForce, VenueStatus
from libs.trading.risk import TradingState
from services.order_routing.domain import InputAt
from services.order_routing.handlers.router import Router
from services.order_routing.ports import JournalProblem, LeaseLost, NotTaken, VenueUnavailable
from tests.builders.orders import INSTRUMENT, RULES, START, a_policy, a_prediction, a_quote, an_order
from tests.fakes.paper_venue import CALM, FakeClock, Faults, PaperVenueInMemory
from tests.fakes.router_world import RouterWorld

SECOND = NS_PER_SECOND


def a_world(**faults: float) -> RouterWorld:
    clock = FakeClock(START)
    return RouterWorld(PaperVenueInMemory(clock, a_quote(), RULES, faults=replace(CALM, **faults)))


def submit(world: RouterWorld, router: Router) -> str:
    order = router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 0))
    assert order is not None
    return order.client_order_id


def state(world: RouterWorld, name: str) -> OrderState:
    order = world.journal.order("paper", name)
    assert order is not None
    return order.state


def later(world: RouterWorld, router: Router, seconds: float) -> None:
    world.clock.advance(int(seconds * SECOND))
    world.keep(router)


def test_a_timeout_after_accept_is_found() -> None:
    world = a_world(accept_then_timeout=1.0)
    router = world.started()
    name = submit(world, router)
    assert state(world, name) is OrderState.IN_DOUBT
    router.doubts.resolve()
    assert state(world, name) is OrderState.FILLED
    assert world.venue.sent[name] == 1


def test_absence_counts_only_after_the_window_and_twice() -> None:
    world = a_world(lost_request=1.0)
    router = world.started()
    name = submit(world, router)
    later(world, router, 2.9)
    for _ in range(5):
        router.doubts.resolve()
    assert state(world, name) is OrderState.IN_DOUBT
    later(world, router, 0.2)
    router.doubts.resolve()
    router.doubts.resolve()
    assert state(world, name) is OrderState.IN_DOUBT
    later(world, router, 0.5)
    router.doubts.resolve()
    assert state(world, name) is OrderState.NOT_ACCEPTED
    assert world.venue.sent[name] == 1


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_absence_is_judged_by_the_venues_time(jump: int) -> None:
    world = a_world(lost_request=1.0)
    router = world.started()
    name = submit(world, router)
    world.clock.advance(jump * SECOND)  # somebody set this machine's clock; the venue's goes on as before
    world.venue.offset = -jump * SECOND
    for _ in range(4):
        later(world, router, 0.6)
        router.doubts.resolve()
    assert state(world, name) is OrderState.IN_DOUBT
    for _ in range(3):
        later(world, router, 0.6)
        router.doubts.resolve()
    assert state(world, name) is OrderState.NOT_ACCEPTED


def test_an_unanswered_question_is_no_look() -> None:
    world = a_world(lost_request=1.0)
    router = world.started()
    name = submit(world, router)
    world.venue.faults = replace(CALM, question_fails=1.0)
    later(world, router, 10)
    for _ in range(3):
        with pytest.raises(VenueUnavailable):
            router.doubts.resolve()
        later(world, router, 1)
    assert state(world, name) is OrderState.IN_DOUBT


def test_a_rate_limit_is_no_order_and_a_pause() -> None:
    world = a_world(rate_limited=1.0)
    router = world.started()
    name = submit(world, router)
    assert state(world, name) is OrderState.NOT_ACCEPTED
    world.venue.faults = CALM
    router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 1))
    denied = world.told.decisions[-1].denied
    assert denied is not None
    assert denied[0] == "VENUE_PAUSE"
    later(world, router, 1.1)
    assert router.predictions.handle(a_prediction(now=world.clock.now), InputAt("predictions", 0, 2)) is not None


def test_after_a_restart_a_recorded_order_is_in_doubt_and_not_sent() -> None:
    world = a_world()
    router = world.started()
    router.account.record_order(an_order(client_order_id="lost", recorded_time=world.clock.now))
    router = world.start()
    router.doubts.recover()
    assert state(world, "lost") is OrderState.IN_DOUBT
    assert not world.venue.sent


def test_an_order_whose_sender_lost_the_lease_gets_an_end_without_a_restart() -> None:
    world = a_world()
    router = world.started()
    world.clock.advance(4 * SECOND)  # nobody renewed
    order = an_order(client_order_id="fenced", recorded_time=world.clock.now)
    router.account.record_order(order)
    with pytest.raises(LeaseLost):
        router.sender.send(order)
    world.keep(router)
    later(world, router, 8.9)
    router.doubts.resolve()
    assert state(world, "fenced") is OrderState.RECORDED
    for _ in range(3):
        later(world, router, 0.6)
        router.doubts.resolve()
    assert state(world, "fenced") is OrderState.NOT_ACCEPTED
    assert not world.venue.sent
    assert router.account.state is TradingState.ACTIVE


def test_an_order_whose_answer_could_not_be_journaled_is_found_without_a_restart() -> None:
    world = a_world()
    router = world.started()
    order = an_order(client_order_id="unwritten", recorded_time=world.clock.now, price=Decimal("50001.0"))
    router.account.record_order(order)
    commit = world.journal.commit
    world.journal.commit = Mock(side_effect=JournalProblem("disk full"))  # type: ignore[method-assign]
    with pytest.raises(JournalProblem):
        router.sender.send(order)
    world.journal.commit = commit  # type: ignore[method-assign]
    later(world, router, 9.1)
    router.doubts.resolve()
    assert state(world, "unwritten") is OrderState.FILLED
    assert world.venue.sent["unwritten"] == 1


def test_an_order_that_the_venue_accepted_and_forgot_halts() -> None:
    world = a_world()
    router = world.started()
    order = an_order(client_order_id="resting", recorded_time=world.clock.now, time_in_force=TimeInForce.GTC)
    router.account.record_order(replace(order, venue_order_id="v9", state=OrderState.OPEN))
    for _ in range(4):
        later(world, router, 4)
        router.doubts.resolve()
    assert router.account.state is TradingState.HALTED
    assert router.account.state_reason.startswith("order_vanished")
    assert state(world, "resting") is OrderState.OPEN


def test_a_doubt_older_than_a_day_halts_instead_of_proving_absence() -> None:
    world = a_world()
    router = world.started()
    router.account.record_order(an_order(client_order_id="old", recorded_time=world.clock.now - 90_000 * SECOND))
    router.doubts.recover()
    for _ in range(3):
        later(world, router, 1)
        router.doubts.resolve()
    assert router.account.state is TradingState.HALTED
    assert state(world, "old") is OrderState.IN_DOUBT


def test_a_cancel_in_doubt_is_resolved_by_asking() -> None:
    world = a_world()
    router = world.started()
    resting = an_order(
        client_order_id="resting",
        side=Side.BUY,
        price=RULES.inward(an_order().price - 1000, Side.BUY),
        time_in_force=TimeInForce.GTC,
        recorded_time=world.clock.now,
    )
    router.account.record_order(resting)
    sent = router.sender.send(resting)
    world.venue.faults = Faults(cancel_unclear=1.0, partial=0.0, nothing_filled=0.0)
    asked = router.sender.cancel(sent, "test")
    assert asked.state is OrderState.IN_DOUBT
    world.venue.faults = CALM
    router.doubts.resolve()
    at_venue = world.venue.orders["resting"].status
    expected = {VenueStatus.OPEN: OrderState.OPEN, VenueStatus.CANCELLED: OrderState.CANCELLED}
    assert state(world, "resting") is expected[at_venue]


def a_cancel_whose_end_was_not_heard(world: RouterWorld, router: Router) -> Order:
    """The venue cancelled a resting order; the journal still waits for that news."""
    price = RULES.inward(an_order().price - 1000, Side.BUY)
    resting = an_order(
        client_order_id="resting", price=price, time_in_force=TimeInForce.GTC, recorded_time=world.clock.now
    )
    router.account.record_order(resting)
    asked = router.sender.cancel(router.sender.send(resting), "test")
    assert asked.state is OrderState.CANCEL_PENDING
    world.venue.take_news()
    return asked


@pytest.mark.parametrize("restarted", [False, True])
def test_a_cancel_that_turns_out_to_be_done_is_no_reason_to_halt(restarted: bool) -> None:
    world = a_world()
    router = world.started()
    a_cancel_whose_end_was_not_heard(world, router)
    later(world, router, 4)
    if restarted:
        router = world.started()
    router.doubts.resolve()
    assert state(world, "resting") is OrderState.CANCELLED
    assert router.account.state is TradingState.ACTIVE, router.account.state_reason


def test_an_order_that_ended_meanwhile_is_not_cancelled_at_the_venue() -> None:
    world = a_world()
    router = world.started()
    stale = a_cancel_whose_end_was_not_heard(world, router)
    router.doubts.ask(stale)
    world.venue.cancel = lambda *_: pytest.fail("the venue was asked")  # type: ignore[method-assign]
    assert router.sender.cancel(stale, "old session").state is OrderState.CANCELLED
    assert router.account.state is TradingState.ACTIVE


def test_a_ban_halts_the_account() -> None:
    world = a_world()
    router = world.started()
    world.venue.submit = lambda *_: NotTaken("HTTP 403: banned", halt=True)  # type: ignore[method-assign]
    submit(world, router)
    assert (router.account.state, router.account.state_by) == (TradingState.HALTED, "venue")


def test_one_position_one_truth_after_many_doubts() -> None:
    world = RouterWorld(
        PaperVenueInMemory(FakeClock(START), a_quote(), RULES, faults=replace(CALM, accept_then_timeout=1.0)),
        policy=a_policy(),
    )
    router = world.started()
    for offset in range(6):
        up, down = ((0.6, 0.1), (0.1, 0.6))[offset % 2]
        router.predictions.handle(
            a_prediction(up=up, down=down, now=world.clock.now), InputAt("predictions", 0, offset)
        )
        router.tend()
        later(world, router, 1)
    assert router.account.holding(INSTRUMENT).position.quantity == world.venue.held() != 0
