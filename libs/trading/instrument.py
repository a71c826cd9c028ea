"""What a venue demands of an order in one instrument: tick, lot and smallest sizes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from libs.trading.market import Side


@dataclass(frozen=True, slots=True)
class InstrumentRules:
    """A venue's filters. `tick_size`, `min_notional` in quote units; `lot_size`, quantities in base units."""

    instrument: str
    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal

    def __post_init__(self) -> None:
        if self.tick_size <= 0 or self.lot_size <= 0 or self.min_quantity <= 0 or self.max_quantity < self.min_quantity:
            raise ValueError(f"the filters of {self.instrument} make no sense: {self}")

    def inward(self, price: Decimal, side: Side) -> Decimal:
        """The nearest tick that is no worse for us: down for a buy, up for a sell."""
        rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        return ((price / self.tick_size).to_integral_value(rounding) * self.tick_size).quantize(self.tick_size)

    def lots_down(self, quantity: Decimal) -> Decimal:
        """The greatest whole number of lots not above a quantity (>= 0)."""
        return ((quantity / self.lot_size).to_integral_value(ROUND_FLOOR) * self.lot_size).quantize(self.lot_size)

    def lots_up(self, quantity: Decimal) -> Decimal:
        """The smallest whole number of lots not below a quantity (>= 0)."""
        return ((quantity / self.lot_size).to_integral_value(ROUND_CEILING) * self.lot_size).quantize(self.lot_size)

    def violations(self, price: Decimal, quantity: Decimal, *, reduce_only: bool) -> list[str]:
        """What the venue would refuse, in words; empty when the order fits. Reduce-only has no smallest notional."""
        found = []
        if price <= 0 or price % self.tick_size:
            found.append(f"price {price} is no multiple of the tick {self.tick_size}")
        if quantity <= 0 or quantity % self.lot_size:
            found.append(f"quantity {quantity} is no multiple of the lot {self.lot_size}")
        if quantity < self.min_quantity or quantity > self.max_quantity:
            found.append(f"quantity {quantity} is outside {self.min_quantity} to {self.max_quantity}")
        if not reduce_only and price * quantity < self.min_notional:
            found.append(f"notional {price * quantity} is under {self.min_notional}")
        return found
