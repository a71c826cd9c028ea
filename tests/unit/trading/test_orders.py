"""The order state machine: what each event does, what none may do, and what holds in whatever order they come."""

from __future__ import annotations

import string
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.features.vector import EmissionReason
from libs.trading.market import Side
from libs.trading.orders import (
    MAX_CLIENT_ORDER_ID,
    TERMINAL,
    Acknowledged,
    CancelRequested,
    Doubted,
    Filled,
    ImpossibleTransition,
    Order,
    OrderEvent,
    OrderState,
    ProvenAbsent,
    Refused,
    Reported,
    Sent,
    VenueStatus,
    advance,
    client_order_id,
    namespace_tag,
)
from tests.builders.orders import START, a_fill, an_order

D = Decimal
NOW = START + 1


def after(order: Order, *events: OrderEvent) -> Order:
    for event in events:
        order = advance(order, event, NOW)
    return order


def report(status: VenueStatus, cumulative: str, venue_id: str = "v1", reason: str = "") -> Reported:
    return Reported(venue_id, status, D(cumulative), reason)


def fill(number: int, quantity: str, price: str = "50000") -> Filled:
    return Filled(a_fill(execution_id=f"x{number}", quantity=D(quantity), price=D(price)))


def test_the_plain_life_of_a_filled_order() -> None:
    order = after(an_order(), Sent())
    assert order.state is OrderState.SENT
    order = after(order, Acknowledged("v1"))
    assert (order.state, order.venue_order_id) == (OrderState.ACKNOWLEDGED, "v1")
    order = after(order, fill(1, "0.005", "50000"))
    assert order.state is OrderState.PARTIALLY_FILLED
    order = after(order, fill(2, "0.015", "50010"))
    assert order.state is OrderState.FILLED
    assert order.average_price == D("50007.5")
    assert order.fees_quote == D("1.10")
    assert order.updated_time == NOW


def test_fills_may_come_before_the_answer() -> None:
    order = after(an_order(), fill(1, "0.020"))
    assert order.state is OrderState.FILLED
    assert after(order, Sent(), Acknowledged("v1")) is order


def test_an_execution_counts_once() -> None:
    order = after(an_order(), Sent(), Acknowledged("v1"), fill(1, "0.005"))
    assert after(order, fill(1, "0.005")) is order


def test_cancelled_waits_for_the_executions_it_holds() -> None:
    order = after(an_order(), Sent(), Acknowledged("v1"), report(VenueStatus.CANCELLED, "0.008"))
    assert not order.terminal
    assert order.closing is OrderState.CANCELLED
    order = after(order, fill(1, "0.005"))
    assert not order.terminal
    order = after(order, fill(2, "0.003"))
    assert (order.state, order.closing, order.filled_quantity) == (OrderState.CANCELLED, None, D("0.008"))


def test_filled_by_report_waits_for_the_executions() -> None:
    order = after(an_order(), Sent(), Acknowledged("v1"), report(VenueStatus.FILLED, "0.020"))
    assert order.state is OrderState.OPEN
    assert after(order, fill(1, "0.020")).state is OrderState.FILLED


def test_a_late_report_changes_nothing_after_the_end() -> None:
    order = after(an_order(), Sent(), Acknowledged("v1"), fill(1, "0.020"))
    assert after(order, report(VenueStatus.OPEN, "0")) is order
    assert after(order, report(VenueStatus.FILLED, "0.020")) is order


def test_a_cancel_in_doubt_stays_so_until_the_venue_reports() -> None:
    order = after(an_order(), Sent(), Acknowledged("v1"), CancelRequested("asked"), Doubted("timeout"))
    assert order.state is OrderState.IN_DOUBT
    order = after(order, fill(1, "0.005"))
    assert order.state is OrderState.IN_DOUBT
    assert after(order, report(VenueStatus.OPEN, "0.005")).state is OrderState.PARTIALLY_FILLED
    assert after(order, report(VenueStatus.CANCELLED, "0.005")).state is OrderState.CANCELLED


def test_a_submit_in_doubt_is_proven_by_a_fill_or_by_absence() -> None:
    doubted = after(an_order(), Sent(), Doubted("timeout"))
    assert doubted.state is OrderState.IN_DOUBT
    assert after(doubted, fill(1, "0.005")).state is OrderState.PARTIALLY_FILLED
    assert after(doubted, ProvenAbsent("nowhere")).state is OrderState.NOT_ACCEPTED
    assert after(doubted, report(VenueStatus.REJECTED, "0", reason="EC_X")).state is OrderState.REJECTED


def test_an_open_cancel_pending_order_stays_pending_on_an_open_report() -> None:
    order = after(an_order(), Sent(), Acknowledged("v1"), CancelRequested("asked"))
    assert after(order, report(VenueStatus.OPEN, "0")).state is OrderState.CANCEL_PENDING


@pytest.mark.parametrize(
    "end",
    [
        (Acknowledged("v1"), Filled(a_fill())),
        (Acknowledged("v1"), Reported("v1", VenueStatus.CANCELLED, D(0))),
        (Refused("no"),),
        (Doubted("?"), ProvenAbsent("nowhere")),
    ],
)
def test_a_cancel_that_comes_after_the_end_changes_nothing(end: tuple[OrderEvent, ...]) -> None:
    order = after(an_order(), Sent(), *end)
    assert order.terminal
    assert after(order, CancelRequested("late")) is order


@pytest.mark.parametrize(
    ("history", "impossible"),
    [
        ((Sent(), Doubted("?"), ProvenAbsent("x")), Acknowledged("v1")),
        ((Sent(), Doubted("?"), ProvenAbsent("x")), Reported("v1", VenueStatus.OPEN, D(0))),
        ((Sent(), Doubted("?"), ProvenAbsent("x")), Filled(a_fill())),
        ((Sent(), Refused("no")), Filled(a_fill())),
        ((Sent(), Acknowledged("v1")), Refused("no")),
        ((Sent(), Acknowledged("v1")), ProvenAbsent("x")),
        ((Sent(), Acknowledged("v1"), Doubted("cancel")), ProvenAbsent("x")),
        ((Sent(), Acknowledged("v1")), Acknowledged("v2")),
        ((Sent(), Acknowledged("v1")), Reported("v1", VenueStatus.FILLED, D("0.01"))),
        ((Sent(), Acknowledged("v1")), Reported("v1", VenueStatus.OPEN, D("0.03"))),
        ((Sent(), Acknowledged("v1")), Filled(a_fill(quantity=D("0.03")))),
        ((Sent(), Acknowledged("v1")), Filled(a_fill(side=Side.SELL))),
        ((Sent(), Acknowledged("v1")), Filled(a_fill(quantity=D(0)))),
        ((Sent(), Acknowledged("v1"), Filled(a_fill())), Filled(a_fill(execution_id="x2"))),
        ((Sent(), Acknowledged("v1"), Reported("v1", VenueStatus.CANCELLED, D(0))), Filled(a_fill(quantity=D("0.01")))),
        ((Filled(a_fill(quantity=D("0.01"))),), Reported("v1", VenueStatus.REJECTED, D(0))),
    ],
)
def test_impossible_transitions_raise(history: tuple[OrderEvent, ...], impossible: OrderEvent) -> None:
    order = after(an_order(), *history)
    with pytest.raises(ImpossibleTransition):
        advance(order, impossible, NOW)


QUANTITIES = st.lists(st.integers(1, 5), min_size=0, max_size=4)


@st.composite
def venue_histories(draw: st.DrawFn) -> tuple[list[OrderEvent], Decimal, bool]:
    """What a correct venue says about one order of 0.020: some fills, an end, in any order and any number of times."""
    parts = draw(QUANTITIES)
    fills = [fill(number, str(D(part) / 1000)) for number, part in enumerate(parts)]
    total = sum((D(part) / 1000 for part in parts), D(0))
    ended = draw(st.booleans()) or total == D("0.020")
    last = VenueStatus.FILLED if total == D("0.020") else VenueStatus.CANCELLED if ended else VenueStatus.OPEN
    steps: list[OrderEvent] = [report(VenueStatus.OPEN, "0"), Acknowledged("v1"), report(last, str(total)), *fills]
    repeated = steps + draw(st.lists(st.sampled_from(steps), max_size=6))
    return draw(st.permutations(repeated)), total, ended


@given(venue_histories())
def test_any_order_of_true_news_ends_in_the_same_truth(history: tuple[list[OrderEvent], Decimal, bool]) -> None:
    events, total, ended = history
    order = after(an_order(), Sent(), *events)
    assert order.filled_quantity == total
    assert order.terminal == ended
    if ended:
        assert order.state is (OrderState.FILLED if total == order.quantity else OrderState.CANCELLED)


@given(venue_histories())
def test_no_order_is_over_before_its_executions_add_up(history: tuple[list[OrderEvent], Decimal, bool]) -> None:
    order = after(an_order(), Sent())
    for event in history[0]:
        order = advance(order, event, NOW)
        if order.state in TERMINAL:
            assert order.filled_quantity == max(order.venue_filled, order.filled_quantity)
            assert order.closing is None


TEXT = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=40)


@given(TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(0, 2**62), st.integers(0, 9), st.integers(0, 1), st.integers(0, 99))
def test_ids_fit_the_venue_and_say_whose_they_are(
    account: str, space: str, strategy: str, session: str, name: str, as_of: int, ordinal: int, leg: int, attempt: int
) -> None:
    reason = EmissionReason.BOUNDARY
    made = client_order_id(account, space, strategy, session, name, as_of, reason, ordinal, leg, attempt)
    assert made == client_order_id(account, space, strategy, session, name, as_of, reason, ordinal, leg, attempt)
    assert len(made) <= MAX_CLIENT_ORDER_ID
    assert made.startswith(namespace_tag(account, space) + "-")
    other = client_order_id(account, space, strategy, session, name, as_of, reason, ordinal, leg, attempt + 1)
    assert other != made


def test_parts_of_an_id_cannot_run_into_each_other() -> None:
    def made(strategy: str, session: str) -> str:
        return client_order_id("a", "n", strategy, session, "i", 1, EmissionReason.BOUNDARY, 0, 0, 0)

    assert made("ab", "c") != made("a", "bc")
