"""What fills do to a position and to cash."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Side
from libs.trading.simulation.account import Position, apply_fill, signed

FEE = Decimal("0.00055")
FILLS = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 500), st.integers(90_000, 110_000)), max_size=30
)


def filled(position: Position, side: Side, quantity: str, price: str) -> Position:
    return apply_fill(position, side, Decimal(quantity), Decimal(price), FEE).position


def test_fills_on_one_side_average_the_entry() -> None:
    position = filled(filled(Position(), Side.BUY, "0.1", "100"), Side.BUY, "0.3", "104")
    assert position == Position(Decimal("0.4"), Decimal(103))


def test_a_closing_fill_realises_against_the_entry_and_keeps_it() -> None:
    effect = apply_fill(Position(Decimal(2), Decimal(100)), Side.SELL, Decimal("0.5"), Decimal(110), FEE)
    assert effect.position == Position(Decimal("1.5"), Decimal(100))
    assert (effect.closed, effect.realised, effect.fee) == (Decimal("0.5"), Decimal(5), Decimal("0.030250"))


def test_a_fill_beyond_flat_opens_the_other_way_at_its_price() -> None:
    effect = apply_fill(Position(Decimal(-1), Decimal(100)), Side.BUY, Decimal(3), Decimal(90), FEE)
    assert effect.position == Position(Decimal(2), Decimal(90))
    assert effect.realised == Decimal(10)


def test_a_rebate_adds_to_cash() -> None:
    effect = apply_fill(Position(), Side.BUY, Decimal(1), Decimal(100), Decimal("-0.0001"))
    assert effect.cash == Decimal("0.01")


@pytest.mark.parametrize(("quantity", "price"), [("0", "1"), ("1", "0"), ("-1", "1")])
def test_a_fill_of_nothing_is_refused(quantity: str, price: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        apply_fill(Position(), Side.BUY, Decimal(quantity), Decimal(price), FEE)


@given(FILLS, st.integers(90_000, 110_000))
def test_cash_and_position_are_worth_what_was_paid_and_got(fills: list[tuple[Side, int, int]], mark: int) -> None:
    """The naive account: every fill pays its price and the position is worth the mark."""
    position, cash, naive, size = Position(), Decimal(0), Decimal(0), Decimal(0)
    for side, lots, ticks in fills:
        quantity, price = Decimal(lots) / 1000, Decimal(ticks) / 10
        effect = apply_fill(position, side, quantity, price, FEE)
        position, cash = effect.position, cash + effect.cash
        naive -= signed(side, quantity) * price + quantity * price * FEE
        size += signed(side, quantity)
    assert position.size == size
    price = Decimal(mark) / 10
    assert abs(cash + position.unrealised(price) - (naive + size * price)) < Decimal("1e-8")
