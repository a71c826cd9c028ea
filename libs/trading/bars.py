"""The twelve classic bar indicators with their stationary twins, computed from a ring of closed bars.

Windows are summed anew at each close (14 or 20 terms), so no running sum can drift; only the exponential averages
carry state. Formulas: core12 of the platform's specification; where nothing moved RSI is 50, the band position .5, the
z-score 0, and a window without volume has the ratio 0. Epsilons are relative to the close.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from libs.trading.jit import kernel

RING = 64
N_VALUES = 19
EPSILON = 1e-8
# How many contiguous bars each value needs, in the order of the catalogue.
BARS_NEEDED = np.array([1, 1, 2, 15, 26, 34, 15, 20, 20, 50, 20, 20, 2, 20, 50, 26, 34, 15, 20], dtype=np.int64)

Floats = NDArray[np.float64]


@kernel
def next_ema(before: float, value: float, span: int, first: bool) -> float:
    """Exponential average with alpha 2/(span + 1), `adjust=False`: the first value starts it."""
    if first:
        return value
    alpha = 2.0 / (span + 1.0)
    return alpha * value + (1.0 - alpha) * before


@kernel
def rsi(closes: Floats, n: int, window: int) -> float:
    """100 - 100/(1 + g/(l + eps)) with the simple means of gains and losses of the last `window` changes."""
    gains = 0.0
    losses = 0.0
    for k in range(n - window, n):
        change = closes[k % RING] - closes[(k - 1) % RING]
        if change > 0.0:
            gains += change
        else:
            losses -= change
    if gains == 0.0 and losses == 0.0:
        return 50.0
    epsilon: float = EPSILON * closes[(n - 1) % RING]
    strength: float = (gains / window) / (losses / window + epsilon)
    return 100.0 - 100.0 / (1.0 + strength)


@kernel
def average_true_range(closes: Floats, highs: Floats, lows: Floats, n: int, window: int) -> float:
    """Simple mean of max(high - low, |high - previous close|, |low - previous close|)."""
    total = 0.0
    for k in range(n - window, n):
        high, low, before = highs[k % RING], lows[k % RING], closes[(k - 1) % RING]
        total += max(high - low, abs(high - before), abs(low - before))
    return total / window


@kernel
def mean_of_last(values: Floats, n: int, window: int) -> float:
    total = 0.0
    for k in range(n - window, n):
        total += values[k % RING]
    return total / window


@kernel
def sigma_of_last(values: Floats, n: int, window: int, mean: float) -> float:
    """Sample standard deviation of the last `window` values; exactly 0 when they are all equal."""
    total = 0.0
    moved = False
    for k in range(n - window, n):
        moved = moved or values[k % RING] != values[(n - 1) % RING]
        deviation: float = values[k % RING] - mean
        total += deviation * deviation
    return math.sqrt(total / (window - 1)) if moved else 0.0


@kernel
def bar_values(closes: Floats, highs: Floats, lows: Floats, volumes: Floats, n: int, emas: Floats, out: Floats) -> None:
    """Write the 19 values after the n-th contiguous bar (rings of `RING`, newest at (n - 1) % RING) to `out`.

    `emas` holds spans 12, 26, 9 (of the MACD), 20, 50 and is moved on by this bar. Values whose window is not whole are
    NaN.
    """
    close = closes[(n - 1) % RING]
    volume = volumes[(n - 1) % RING]
    first = n == 1
    emas[0] = next_ema(emas[0], close, 12, first)
    emas[1] = next_ema(emas[1], close, 26, first)
    macd = emas[0] - emas[1]
    emas[2] = next_ema(emas[2], macd, 9, first)
    emas[3] = next_ema(emas[3], close, 20, first)
    emas[4] = next_ema(emas[4], close, 50, first)
    out[:] = np.nan
    out[0] = close
    out[1] = volume
    if n >= 2:
        before = closes[(n - 2) % RING]
        out[2] = close / before - 1.0
        out[12] = math.log(close / before)
    if n >= 15:
        out[3] = rsi(closes, n, 14)
        out[6] = average_true_range(closes, highs, lows, n, 14)
        out[17] = out[6] / close
    if n >= 20:
        mean = mean_of_last(closes, n, 20)
        sigma = sigma_of_last(closes, n, 20, mean)
        epsilon = EPSILON * close
        lower, upper = mean - 2.0 * sigma, mean + 2.0 * sigma
        out[7] = (close - lower) / (upper - lower + epsilon) if sigma > 0.0 else 0.5
        out[11] = (close - mean) / (sigma + epsilon) if sigma > 0.0 else 0.0
        mean_volume = mean_of_last(volumes, n, 20)
        out[10] = volume / mean_volume if mean_volume > 0.0 else 0.0
        out[18] = math.log1p(out[10])
        out[8] = emas[3]
        out[13] = close / emas[3] - 1.0
    if n >= 26:
        out[4] = macd
        out[15] = macd / close
    if n >= 34:
        out[5] = emas[2]
        out[16] = emas[2] / close
    if n >= 50:
        out[9] = emas[4]
        out[14] = close / emas[4] - 1.0
