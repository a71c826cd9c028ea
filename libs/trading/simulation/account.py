"""What a fill does to a one-way linear position and to cash, exactly, in Decimal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.trading.market import Side

ZERO = Decimal(0)
_ENTRY_STEP = Decimal("1E-12")


@dataclass(frozen=True, slots=True)
class Position:
    """Signed size (base units, long > 0) and average entry price (quote units); a flat position has entry 0."""

    size: Decimal = ZERO
    entry: Decimal = ZERO

    def notional(self, price: Decimal) -> Decimal:
        return abs(self.size) * price

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.size * (mark - self.entry)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one fill did: the position after it, the quantity it closed, its profit before fees, and its fee (quote)."""

    position: Position
    closed: Decimal
    realised: Decimal
    fee: Decimal

    @property
    def cash(self) -> Decimal:
        """What the fill adds to the wallet."""
        return self.realised - self.fee


def signed(side: Side, quantity: Decimal) -> Decimal:
    return quantity if side is Side.BUY else -quantity


def apply_fill(position: Position, side: Side, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> Effect:
    """The effect of one fill. `fee_rate` is a fraction of notional, negative for a rebate.

    A fill on the position's side averages the entry; on the other side it closes at the entry first, and what is left
    opens the other way at the fill's price. Raises ValueError for a quantity or price that is not positive.
    """
    if quantity <= 0 or price <= 0:
        raise ValueError(f"a fill needs a positive quantity and price: {quantity} at {price}")
    change = signed(side, quantity)
    size = position.size + change
    fee = quantity * price * fee_rate
    if position.size == 0 or (position.size > 0) == (change > 0):
        paid = position.size * position.entry + change * price
        return Effect(Position(size, (paid / size).quantize(_ENTRY_STEP)), ZERO, ZERO, fee)
    closed = min(quantity, abs(position.size))
    direction = 1 if position.size > 0 else -1
    realised = direction * closed * (price - position.entry)
    if size == 0:
        left = Position()
    elif (size > 0) == (position.size > 0):
        left = Position(size, position.entry)
    else:
        left = Position(size, price)
    return Effect(left, closed, realised, fee)
