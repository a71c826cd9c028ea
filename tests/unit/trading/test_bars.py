"""The bar indicators: neutral where nothing moves, and twins that do not see the price's level."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from libs.trading.bars import BARS_NEEDED, N_VALUES, RING, bar_values
from libs.trading.features.catalogue import BAR_FEATURES, BARS_VIEW

NAMES = [feature.name for feature in BAR_FEATURES]
steps = st.lists(st.integers(-3, 3), min_size=1, max_size=70)


def after(closes: NDArray[np.float64], volume: float = 1.0) -> NDArray[np.float64]:
    """The values after these closes; each bar reaches a tenth of a percent above and below its close."""
    rings = np.zeros(RING), np.zeros(RING), np.zeros(RING), np.zeros(RING)
    emas, out = np.zeros(5), np.zeros(N_VALUES)
    for n, close in enumerate(closes, start=1):
        for ring, value in zip(rings, (close, close * 1.001, close * 0.999, volume), strict=True):
            ring[(n - 1) % RING] = value
        bar_values(*rings, n, emas, out)
    return out


def test_the_catalogue_and_the_kernel_name_the_same_windows() -> None:
    assert [f"{n} bar{'s' if n > 1 else ''}" for n in BARS_NEEDED] == [feature.window for feature in BAR_FEATURES]


def test_where_nothing_moves_nothing_leans() -> None:
    out = dict(zip(NAMES, after(np.full(60, 0.1), volume=0.0), strict=True))
    assert (out["rsi_14"], out["bb_position"], out["zscore"]) == (50.0, 0.5, 0.0)
    assert out["volume_ratio"] == out["log_volume_ratio"] == 0.0


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_a_value_is_there_exactly_when_its_window_is_whole(steps: list[int]) -> None:
    out = after(100.0 + np.cumsum(steps))
    assert np.array_equal(np.isfinite(out), len(steps) >= BARS_NEEDED)


@settings(max_examples=60, deadline=None)
@given(steps=steps, scale=st.sampled_from((1e-6, 0.5, 3.0, 1e6)))
def test_the_twins_do_not_see_the_level_of_the_price(steps: list[int], scale: float) -> None:
    closes = 1000.0 + np.cumsum(steps)
    twins = [NAMES.index(name) for name in BARS_VIEW]
    np.testing.assert_allclose(after(closes * scale)[twins], after(closes)[twins], rtol=1e-6, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.integers(-3, 3), min_size=20, max_size=60))
def test_rsi_and_its_mirror_add_up(steps: list[int]) -> None:
    up, down = after(1000.0 + np.cumsum(steps)), after(1000.0 - np.cumsum(steps))
    rsi = NAMES.index("rsi_14")
    assert 0.0 <= up[rsi] <= 100.0
    assert abs(up[rsi] + down[rsi] - 100.0) < 0.1
