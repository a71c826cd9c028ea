"""How much, and at which limit price."""

from __future__ import annotations

from decimal import Decimal

from libs.trading.instrument import InstrumentRules
from libs.trading.market import Quote, Side

BPS = Decimal("0.0001")


def price_of(value: float) -> Decimal:
    """A market-data float as the decimal its shortest text names (prices were parsed from such text)."""
    return Decimal(repr(float(value)))


def collared_limit(quote: Quote, side: Side, collar_bps: Decimal, rules: InstrumentRules) -> Decimal:
    """The worst price we take: the touch on the other side, moved by the collar and rounded to the tick inward."""
    if side is Side.BUY:
        return rules.inward(price_of(quote.ask) * (1 + collar_bps * BPS), side)
    return rules.inward(price_of(quote.bid) * (1 - collar_bps * BPS), side)


def unit_quantity(notional_quote: Decimal, price: Decimal, rules: InstrumentRules) -> Decimal:
    """A quote notional at a price in base units, rounded down to the lot; 0 when it is under the venue's smallest."""
    quantity = rules.lots_down(min(notional_quote / price, rules.max_quantity))
    too_small = quantity < rules.min_quantity or quantity * price < rules.min_notional
    return Decimal(0) if too_small else quantity


def smallest_quantity(price: Decimal, rules: InstrumentRules) -> Decimal:
    """The least the venue takes at a price, in base units."""
    return max(rules.lots_up(rules.min_quantity), rules.lots_up(rules.min_notional / price))


def drawdown_factor(drawdown: float, halve_at: float, stop_at: float) -> Decimal:
    """The share of the size left at a drawdown (fraction of the peak): all, half at `halve_at`, none at `stop_at`."""
    if drawdown >= stop_at:
        return Decimal(0)
    return Decimal("0.5") if drawdown >= halve_at else Decimal(1)
