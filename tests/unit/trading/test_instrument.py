"""Ticks, lots and smallest sizes; limits never get worse by rounding."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Side
from libs.trading.sizing import collared_limit, drawdown_factor, price_of, smallest_quantity, unit_quantity
from tests.builders.orders import RULES, a_quote

D = Decimal
PRICES = st.integers(1_000, 100_000_000).map(lambda n: D(n) / 1000)


@given(PRICES)
def test_rounding_inward_never_makes_a_price_worse(price: Decimal) -> None:
    buy, sell = RULES.inward(price, Side.BUY), RULES.inward(price, Side.SELL)
    assert buy <= price <= sell
    assert buy % RULES.tick_size == 0 == sell % RULES.tick_size
    assert sell - buy in {D(0), RULES.tick_size}


@given(PRICES)
def test_lots(quantity: Decimal) -> None:
    assert RULES.lots_down(quantity) <= quantity <= RULES.lots_up(quantity)


def test_violations_say_everything_that_is_wrong() -> None:
    assert RULES.violations(D("50000.1"), D("0.001"), reduce_only=False) == []
    found = RULES.violations(D("50000.15"), D("0.0005"), reduce_only=False)
    assert len(found) == 3
    assert "tick" in found[0]
    assert "notional" in RULES.violations(D("10.0"), D("0.001"), reduce_only=False)[0]
    assert RULES.violations(D("10.0"), D("0.001"), reduce_only=True) == []


def test_filters_that_make_no_sense_are_an_error() -> None:
    with pytest.raises(ValueError, match="make no sense"):
        replace(RULES, tick_size=D(0))


def test_a_collared_limit_is_the_touch_plus_the_collar_rounded_inward() -> None:
    quote = a_quote(50_000.0, spread=1.0)
    assert collared_limit(quote, Side.BUY, D(10), RULES) == D("50050.5")
    assert collared_limit(quote, Side.SELL, D(10), RULES) == D("49949.6")


@given(st.integers(1, 100_000), PRICES)
def test_a_unit_costs_at_most_its_notional(notional: int, price: Decimal) -> None:
    quantity = unit_quantity(D(notional), price, RULES)
    assert quantity * price <= notional
    assert quantity == 0 or RULES.violations(RULES.inward(price, Side.SELL), quantity, reduce_only=True) == []


@given(PRICES)
def test_the_smallest_quantity_is_one_the_venue_takes(price: Decimal) -> None:
    price = RULES.inward(price, Side.SELL)
    assert RULES.violations(price, smallest_quantity(price, RULES), reduce_only=False) == []


def test_a_price_is_the_decimal_that_its_text_names() -> None:
    assert price_of(50_000.1) == D("50000.1")


def test_drawdown_halves_then_stops() -> None:
    factors = [drawdown_factor(down, 0.05, 0.10) for down in (0.0, 0.049, 0.05, 0.099, 0.10, 0.5)]
    assert factors == [D(1), D(1), D("0.5"), D("0.5"), D(0), D(0)]
