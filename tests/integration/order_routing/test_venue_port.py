"""One suite for the fake and for the Bybit adapter against the real simulator: what ports.Venue promises."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from libs.trading.instrument import InstrumentRules
from libs.trading.market import Side
from libs.trading.orders import Order, TimeInForce, VenueStatus
from libs.trading.sizing import collared_limit
from services.order_routing.adapters.bybit_rest import BybitVenue
from services.order_routing.adapters.bybit_signing import Credentials
from services.order_routing.ports import Accepted, CancelTaken, NotTaken, Unclear, Venue, VenueUnavailable
from tests.builders.orders import RULES, START, a_quote, an_order
from tests.fakes.paper_venue import FakeClock, PaperVenueInMemory
from tests.integration.order_routing.place import KEY, VenuePlace

LATE_S = 10


@dataclass
class Desk:
    venue: Venue
    rules: InstrumentRules
    clock: Any

    def order(self, **parts: Any) -> Order:
        quote = self.venue.quote(self.rules)
        side = parts.get("side", Side.BUY)
        known = {
            "client_order_id": f"port-{uuid4().hex[:20]}",
            "instrument": self.rules.instrument,
            "price": collared_limit(quote, side, Decimal(20), self.rules),
            "quantity": self.rules.lots_up(self.rules.min_notional / Decimal(str(quote.bid))) + self.rules.lot_size,
            "recorded_time": self.clock(),
        }
        return an_order(**(known | parts))

    def resting(self) -> Order:
        price = self.rules.inward(Decimal(str(self.venue.quote(self.rules).bid)) * Decimal("0.98"), Side.BUY)
        quantity = self.rules.lots_up(self.rules.min_notional / price) + self.rules.lot_size
        return self.order(price=price, quantity=quantity, time_in_force=TimeInForce.GTC)


@pytest.fixture(params=["fake", "bybit"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    if request.param == "fake":
        clock = FakeClock(START)
        fake: Any = PaperVenueInMemory(clock, a_quote(), RULES)
        yield Desk(fake, RULES, clock)
        return
    place: VenuePlace = request.getfixturevalue("venue")
    session = place.session()
    assert session is not None
    venue = BybitVenue(place.url, KEY, time.time_ns)
    venue.time_offset()
    rules = venue.rules(session["instrument"])
    assert rules is not None
    yield Desk(venue, rules, time.time_ns)
    venue.close()


def test_a_crossing_order_fills_and_is_seen(desk: Desk) -> None:
    before = desk.venue.position(desk.rules)
    order, written = desk.order(), list[int]()
    outcome = desk.venue.submit(order, desk.rules, lambda: written.append(1))
    assert isinstance(outcome, Accepted)
    assert written == [1]
    seen = desk.venue.look(order, desk.rules)
    assert seen.report is not None
    assert seen.report.venue_order_id == outcome.venue_order_id
    assert seen.report.status in {VenueStatus.FILLED, VenueStatus.CANCELLED}
    assert sum((fill.quantity for fill in seen.fills), Decimal(0)) == seen.report.cumulative_quantity > 0
    assert {fill.execution_id for fill in seen.fills} <= {
        fill.execution_id for fill in desk.venue.executions(desk.rules, ())
    }
    assert desk.venue.position(desk.rules) - before == seen.report.cumulative_quantity


def test_known_executions_are_not_told_again(desk: Desk) -> None:
    desk.venue.submit(desk.order(), desk.rules, lambda: None)
    known = {fill.execution_id for fill in desk.venue.executions(desk.rules, ())}
    assert known
    assert list(desk.venue.executions(desk.rules, known)) == []


def test_an_id_is_one_order(desk: Desk) -> None:
    order = desk.order()
    desk.venue.submit(order, desk.rules, lambda: None)
    first = desk.venue.look(order, desk.rules)
    assert not isinstance(desk.venue.submit(order, desk.rules, lambda: None), Accepted)
    assert desk.venue.look(order, desk.rules) == first


def test_an_order_that_was_never_sent_is_shown_nowhere(desk: Desk) -> None:
    seen = desk.venue.look(desk.order(), desk.rules)
    assert (seen.report, seen.fills) == (None, ())


def test_a_request_that_slept_is_refused_by_the_venue_itself(desk: Desk) -> None:
    order = replace(desk.order(), recorded_time=desk.clock() - LATE_S * 1_000_000_000)
    assert isinstance(desk.venue.submit(order, desk.rules, lambda: None), NotTaken)
    assert desk.venue.look(order, desk.rules).report is None


def test_a_resting_order_is_listed_and_cancelled(desk: Desk) -> None:
    order = desk.resting()
    desk.venue.submit(order, desk.rules, lambda: None)
    listed = {one.details.client_order_id: one for one in desk.venue.open_orders(desk.rules)}
    assert listed[order.client_order_id].details.price == order.price
    assert desk.venue.cancel(order, desk.rules, desk.clock()) == CancelTaken()
    seen = desk.venue.look(order, desk.rules)
    assert seen.report is not None
    assert seen.report.status is VenueStatus.CANCELLED
    assert isinstance(desk.venue.cancel(order, desk.rules, desk.clock()), Unclear)


def test_cancel_all_leaves_nothing_open(desk: Desk) -> None:
    for _ in range(3):
        desk.venue.submit(desk.resting(), desk.rules, lambda: None)
    assert desk.venue.cancel_all(desk.rules, desk.clock()) == CancelTaken()
    assert list(desk.venue.open_orders(desk.rules)) == []


def test_the_wallet_the_quote_and_the_filters(desk: Desk) -> None:
    assert desk.venue.balance() > 0
    quote = desk.venue.quote(desk.rules)
    assert 0 < quote.bid < quote.ask
    assert desk.venue.rules(desk.rules.instrument) == desk.rules
    assert abs(desk.venue.time_offset()) < 1_000_000_000


def test_a_venue_that_is_away_says_nothing_about_any_order(venue: VenuePlace) -> None:
    away = BybitVenue("http://127.0.0.1:9", KEY, time.time_ns, timeout_s=0.5)
    order = an_order(recorded_time=time.time_ns())
    assert isinstance(away.submit(order, RULES, lambda: None), NotTaken)
    with pytest.raises(VenueUnavailable):
        away.look(order, RULES)
    away.close()


def test_a_wrong_signature_is_no_order(venue: VenuePlace) -> None:
    stranger = BybitVenue(venue.url, Credentials(KEY.key, "wrong"), time.time_ns)
    order = an_order(client_order_id=f"port-{uuid4().hex[:20]}", recorded_time=time.time_ns())
    assert not isinstance(stranger.submit(order, RULES, lambda: None), Accepted)
    with pytest.raises(VenueUnavailable):
        stranger.position(RULES)
    stranger.close()
