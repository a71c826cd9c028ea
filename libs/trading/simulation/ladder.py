"""One side of a book: sizes by price, best first, in whole ticks and lots."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from libs.trading.market import Side


class Ladder:
    """Sizes (lots > 0) by price (ticks) of one side; `touched` collects the prices set since somebody cleared it.

    Prices are kept sorted by `key` = price of an ask or minus the price of a bid, so that the best is always first.
    """

    __slots__ = ("keys", "side", "sign", "sizes", "touched")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = -1 if side is Side.BUY else 1
        self.sizes: dict[int, int] = {}
        self.keys: list[int] = []
        self.touched: set[int] = set()

    def set(self, price: int, lots: int) -> None:
        """Make the level's size `lots`; zero or less removes it."""
        if lots > 0:
            if price not in self.sizes:
                insort(self.keys, self.sign * price)
            self.sizes[price] = lots
        elif price in self.sizes:
            del self.sizes[price]
            self.keys.pop(bisect_left(self.keys, self.sign * price))
        else:
            return
        self.touched.add(price)

    def best(self) -> int | None:
        """The best price in ticks, or None for an empty side."""
        return self.sign * self.keys[0] if self.keys else None

    def reaches(self, limit: int) -> bool:
        """Whether a taker with this limit would meet the best level."""
        return bool(self.keys) and self.keys[0] <= self.sign * limit

    def levels(self, most: int) -> Iterator[tuple[int, int]]:
        """(price, lots) from the best, at most `most` of them."""
        for key in self.keys[:most]:
            price = self.sign * key
            yield price, self.sizes[price]

    def clear(self) -> None:
        self.touched.update(self.sizes)
        self.sizes.clear()
        self.keys.clear()
