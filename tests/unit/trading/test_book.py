"""A side of the book agrees with a dictionary that is sorted each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.trading.book import MAX_LEVELS, depth, set_level

changes = st.lists(st.tuples(st.integers(1, 40), st.sampled_from((0.0, 1.0, 2.5))), max_size=120)


@pytest.mark.parametrize("sign", [1, -1])
@settings(max_examples=60, deadline=None)
@given(changes=changes, levels=st.integers(1, 30))
def test_levels_lie_sorted_from_worst_to_best(sign: int, changes: list[tuple[int, float]], levels: int) -> None:
    prices, sizes, n = np.zeros(MAX_LEVELS), np.zeros(MAX_LEVELS), 0
    plain: dict[float, float] = {}
    for price, size in changes:
        n = set_level(prices, sizes, n, price / 10, size, sign)
        plain[price / 10] = size
        plain = {key: value for key, value in plain.items() if value > 0}
    expected = sorted(plain.items(), key=lambda level: level[0] * sign)
    assert list(zip(prices[:n].tolist(), sizes[:n].tolist(), strict=True)) == expected
    assert depth(sizes, n, levels) == sum(size for _, size in expected[-levels:])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_full_side_keeps_its_best_levels(sign: int) -> None:
    prices, sizes, n = np.zeros(8), np.zeros(8), 0
    for price in (5, 1, 9, 3, 7, 2, 8, 4, 6, 10, 11):
        n = set_level(prices, sizes, n, float(price), float(price), sign)
    best = range(4, 12) if sign > 0 else range(8, 0, -1)
    assert prices[:n].tolist() == sizes[:n].tolist() == [float(price) for price in best]
