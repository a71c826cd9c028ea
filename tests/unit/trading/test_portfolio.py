"""Positions are what fills add up to: quantity, average price, realised PnL and equity, exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Side
from libs.trading.orders import Fill
from libs.trading.portfolio import Position, after_fill, equity, signed
from tests.builders.orders import INSTRUMENT, a_fill

D = Decimal


def held(*fills: Fill) -> Position:
    position = Position(INSTRUMENT)
    for fill in fills:
        position = after_fill(position, fill)
    return position


def trade(side: Side, quantity: str, price: str, fee: str = "0") -> Fill:
    return a_fill(side=side, quantity=D(quantity), price=D(price), fee_quote=D(fee))


def test_buying_twice_averages() -> None:
    position = held(trade(Side.BUY, "1", "100"), trade(Side.BUY, "3", "108"))
    assert (position.quantity, position.average_price, position.realised_pnl) == (D(4), D(106), D(0))


def test_selling_part_realises_its_part_and_keeps_the_average() -> None:
    position = held(trade(Side.BUY, "4", "106"), trade(Side.SELL, "1", "110", "0.5"))
    assert (position.quantity, position.average_price) == (D(3), D(106))
    assert position.realised_pnl == D("3.5")


def test_through_zero_starts_a_new_average() -> None:
    position = held(trade(Side.BUY, "1", "100"), trade(Side.SELL, "3", "110"))
    assert (position.quantity, position.average_price, position.realised_pnl) == (D(-2), D(110), D(10))
    assert position.unrealised_pnl(D(105)) == D(10)


def test_flat_has_no_average_price() -> None:
    position = held(trade(Side.SELL, "1", "100"), trade(Side.BUY, "1", "90", "1"))
    assert (position.quantity, position.average_price, position.realised_pnl) == (D(0), None, D(9))


def test_a_fill_of_another_instrument_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of"):
        after_fill(Position("other.linear.X"), trade(Side.BUY, "1", "100"))


def test_equity_without_a_mark_is_an_error_not_a_guess() -> None:
    with pytest.raises(KeyError):
        equity(D(1000), [held(trade(Side.BUY, "1", "100"))], {})


FILLS = st.lists(
    st.builds(
        trade,
        st.sampled_from(list(Side)),
        st.integers(1, 5_000).map(lambda n: str(D(n) / 1000)),
        st.integers(1, 10_000_000).map(lambda n: str(D(n) / 100)),
        st.integers(-100, 1_000).map(lambda n: str(D(n) / 10_000)),
    ),
    max_size=30,
)


@given(FILLS, st.integers(1, 10_000_000).map(lambda n: D(n) / 100))
def test_money_adds_up(fills: list[Fill], mark: Decimal) -> None:
    """Equity is the opening balance, minus what was paid, minus fees, plus what is held at the mark."""
    position = held(*fills)
    paid = sum((signed(fill.side, fill.quantity) * fill.price for fill in fills), D(0))
    fees = sum((fill.fee_quote for fill in fills), D(0))
    expected = D(1000) - paid - fees + position.quantity * mark
    assert abs(equity(D(1000), [position], {INSTRUMENT: mark}) - expected) < D("1e-15")


@given(FILLS)
def test_quantity_is_the_sum_of_the_fills(fills: list[Fill]) -> None:
    position = held(*fills)
    assert position.quantity == sum((signed(fill.side, fill.quantity) for fill in fills), D(0))
    assert (position.average_price is None) == (position.quantity == 0)
    if position.average_price is not None:
        assert position.average_price > 0


@given(FILLS)
def test_a_flat_position_has_realised_everything(fills: list[Fill]) -> None:
    position = held(*fills)
    if position.quantity:
        side = Side.SELL if position.quantity > 0 else Side.BUY
        position = after_fill(position, trade(side, str(abs(position.quantity)), "100"))
    assert position.cost == 0
    assert position.realised_pnl == position.cash - position.fees
