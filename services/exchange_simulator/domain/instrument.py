"""What the venue lists: an instrument's steps, limits and fees."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

CATEGORY = "linear"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A linear contract. Prices in quote, sizes in base units; fees are fractions of notional (negative: a rebate).

    `origin` names whose market it plays (`sim.linear.BTCUSDT`, `binance.spot.BTCUSDT`); `symbol` is traded here.
    """

    symbol: str
    origin: str
    tick: Decimal
    lot: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    min_notional: Decimal = Decimal(5)
    max_lots: int = 10_000_000
    max_leverage: Decimal = Decimal(100)
    quote: str = "USDT"

    @property
    def base(self) -> str:
        return self.symbol.removesuffix(self.quote)

    @property
    def price_decimals(self) -> int:
        return max(2, -int(self.tick.as_tuple().exponent))

    @property
    def lot_decimals(self) -> int:
        return max(0, -int(self.lot.as_tuple().exponent))

    def price(self, ticks: int) -> Decimal:
        return self.tick * ticks

    def quantity(self, lots: int) -> Decimal:
        return self.lot * lots

    def ticks(self, price: Decimal) -> int | None:
        """Whole ticks, or None when the price is not a positive multiple of the tick."""
        return _steps(price, self.tick)

    def lots(self, quantity: Decimal) -> int | None:
        """Whole lots, or None when the quantity is not a positive multiple of the lot."""
        return _steps(quantity, self.lot)


def _steps(value: Decimal, step: Decimal) -> int | None:
    if not value.is_finite() or value <= 0 or value >= Decimal("1E15"):
        return None
    whole, rest = divmod(value, step)
    return int(whole) if rest == 0 else None
