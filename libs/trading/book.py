"""One side of an order book in sorted arrays of bounded length, as kernels.

Levels lie from the worst (index 0) to the best (index n - 1), because most changes happen near the best price. `sign`
is +1 for bids (a higher price is better) and -1 for asks. Prices are compared exactly: they come from decimal text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from libs.trading.jit import kernel

MAX_LEVELS = 1024

Floats = NDArray[np.float64]


@kernel
def find_level(prices: Floats, n: int, price: float, sign: int) -> int:
    """The index of the first level that is not worse than `price`; n when all are worse."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if prices[middle] * sign < price * sign:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def set_level(prices: Floats, sizes: Floats, n: int, price: float, size: float, sign: int) -> int:
    """Set, add or (size 0) delete a level; returns the new number of levels.

    A full side forgets its worst level, and ignores a level that is worse than all it has: what lies deeper than
    `MAX_LEVELS` is not known until the next snapshot.
    """
    at = find_level(prices, n, price, sign)
    exists = at < n and prices[at] == price
    if size <= 0.0:
        if exists:
            for i in range(at, n - 1):
                prices[i] = prices[i + 1]
                sizes[i] = sizes[i + 1]
            return n - 1
        return n
    if exists:
        sizes[at] = size
        return n
    if n == len(prices):
        if at == 0:
            return n
        for i in range(at - 1):
            prices[i] = prices[i + 1]
            sizes[i] = sizes[i + 1]
        prices[at - 1] = price
        sizes[at - 1] = size
        return n
    for i in range(n, at, -1):
        prices[i] = prices[i - 1]
        sizes[i] = sizes[i - 1]
    prices[at] = price
    sizes[at] = size
    return n + 1


@kernel
def depth(sizes: Floats, n: int, levels: int) -> float:
    """The size (base units) that lies in the best `levels` levels; a thinner side gives all it has."""
    total = 0.0
    for i in range(n - 1, max(n - levels, 0) - 1, -1):
        total += sizes[i]
    return total
