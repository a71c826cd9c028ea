"""What is held in one account and what it has earned, from fills alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.trading.market import Side
from libs.trading.orders import ZERO, Fill


@dataclass(frozen=True, slots=True)
class Position:
    """Signed `quantity` in base units. In quote units: `cash` (what all fills paid and took, exact), `cost` (of what is
    held, at its average price), `fees`. Cash is exact, so realised + unrealised never drifts, whatever was averaged.
    """

    instrument: str
    quantity: Decimal = ZERO
    cash: Decimal = ZERO
    cost: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def average_price(self) -> Decimal | None:
        return self.cost / self.quantity if self.quantity else None

    @property
    def realised_pnl(self) -> Decimal:
        """After fees, quote units."""
        return self.cash + self.cost - self.fees

    def unrealised_pnl(self, mark: Decimal) -> Decimal:
        return self.quantity * mark - self.cost


def signed(side: Side, quantity: Decimal) -> Decimal:
    return quantity if side is Side.BUY else -quantity


def after_fill(position: Position, fill: Fill) -> Position:
    """The position after one fill. Raises ValueError for another instrument's fill."""
    if fill.instrument != position.instrument:
        raise ValueError(f"a fill of {fill.instrument} is none of {position.instrument}")
    change = signed(fill.side, fill.quantity)
    quantity = position.quantity + change
    if not quantity:
        cost = ZERO
    elif position.quantity * change >= 0:
        cost = position.cost + change * fill.price
    elif position.quantity * quantity > 0:
        cost = position.cost * quantity / position.quantity
    else:
        cost = quantity * fill.price
    return replace(
        position,
        quantity=quantity,
        cash=position.cash - change * fill.price,
        cost=cost,
        fees=position.fees + fill.fee_quote,
    )


def equity(opening: Decimal, positions: Iterable[Position], marks: Mapping[str, Decimal]) -> Decimal:
    """Mark-to-market equity in quote units: the opening balance, what was realised and what is open at the marks.

    Raises KeyError when something is held without a mark: there is no default price.
    """
    total = opening
    for position in positions:
        total += position.realised_pnl
        if position.quantity:
            total += position.unrealised_pnl(marks[position.instrument])
    return total
