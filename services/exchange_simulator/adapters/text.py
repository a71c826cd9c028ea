"""Numbers as the venue writes them: decimal text, never an exponent."""

from __future__ import annotations

from decimal import Decimal

NS_PER_MS = 1_000_000


class Steps:
    """Whole steps (ticks, lots) as text with a fixed number of decimals."""

    def __init__(self, step: Decimal, decimals: int) -> None:
        self._scale = 10**decimals
        self._unit = int(step * self._scale)
        self._decimals = decimals
        if self._unit != step * self._scale:
            raise ValueError(f"a step of {step} does not fit {decimals} decimals")

    def text(self, steps: int) -> str:
        whole, rest = divmod(steps * self._unit, self._scale)
        return f"{whole}.{rest:0{self._decimals}d}" if self._decimals else str(whole)


def plain(value: Decimal) -> str:
    """Shortest decimal text: `Decimal("1E+3")` is "1000", `Decimal("1.50")` is "1.5", any zero is "0"."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Decimal, places: int = 8) -> str:
    """`plain` after rounding to so many decimals."""
    return plain(value.quantize(Decimal(1).scaleb(-places)))


def fixed(value: float, places: int) -> str:
    return f"{value:.{places}f}"
