"""One fee and slippage model for labels, backtest and live."""

from __future__ import annotations

from dataclasses import dataclass

BPS = 1e-4


@dataclass(frozen=True, slots=True)
class Costs:
    """Fees per side in basis points of notional (negative: a rebate) and the slippage of a taker, per side, in bps."""

    maker_fee_bps: float
    taker_fee_bps: float
    slippage_bps: float

    def __post_init__(self) -> None:
        if self.slippage_bps < 0:
            raise ValueError(f"slippage_bps must not be negative: {self.slippage_bps}")
        if abs(self.maker_fee_bps) > 100 or abs(self.taker_fee_bps) > 100:
            raise ValueError("a fee above 100 bps is a unit error")

    def taker_round_trip(self) -> float:
        """Fraction of notional that entering and leaving as a taker costs, the spread not included."""
        return 2.0 * (self.taker_fee_bps + self.slippage_bps) * BPS

    def times(self, factor: float) -> Costs:
        """The same model with every cost multiplied, for the gate's test at twice the costs."""
        return Costs(self.maker_fee_bps * factor, self.taker_fee_bps * factor, self.slippage_bps * factor)


BYBIT_BASE = Costs(maker_fee_bps=2.0, taker_fee_bps=5.5, slippage_bps=2.0)
