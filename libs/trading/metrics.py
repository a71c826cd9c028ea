"""Figures that judge a forecast and a run of trades; each says None where it has no meaning."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from libs.trading.bootstrap import Blocks, Interval, TooShort, Uniform, draw_blocks, percentile_interval, row_counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DOWN, FLAT, UP = 0, 1, 2
EULER_GAMMA = 0.5772156649015329
SHORT_RUN_TRADES = 30
_TINY = 1e-12


# --- returns -------------------------------------------------------------------------------------------------


def sharpe(returns: Floats) -> float | None:
    """Mean over sample standard deviation, per period; None for a constant or fewer than 2 periods."""
    if returns.size < 2:
        return None
    spread = float(returns.std(ddof=1))
    if spread <= _TINY * max(1.0, float(np.abs(returns).max())):
        return None
    return float(returns.mean()) / spread


def sortino(returns: Floats) -> float | None:
    """Mean over the root mean square of the losses, per period; None without a loss or fewer than 2 periods."""
    if returns.size < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(returns.mean()) / downside if downside > 0.0 else None


def max_drawdown(equity: Floats) -> float:
    """Largest fall from a peak as a fraction of the peak, at least 0. ValueError unless equity starts above 0."""
    if equity.size == 0 or equity[0] <= 0.0:
        raise ValueError("equity must begin above zero")
    peak = np.maximum.accumulate(equity)
    return float(np.max(1.0 - equity / peak))


def calmar(equity: Floats, years: float) -> float | None:
    """Simple yearly return over the largest drawdown; None without a drawdown or without time."""
    fall = max_drawdown(equity)
    if fall <= 0.0 or years <= 0.0:
        return None
    return (float(equity[-1]) / float(equity[0]) - 1.0) / years / fall


def profit_factor(net: Floats) -> float | None:
    """Sum of the winning trades over the sum of the losing ones; None without a losing trade."""
    lost = -float(net[net < 0.0].sum())
    return float(net[net > 0.0].sum()) / lost if lost > 0.0 else None


def win_rate(net: Floats) -> float | None:
    """Share of trades that earned something after costs; None without trades."""
    return float(np.mean(net > 0.0)) if net.size else None


def turnover(traded_notional: float, mean_equity: float) -> float:
    """Notional bought and sold, in multiples of the mean equity (both in quote units)."""
    if mean_equity <= 0.0:
        raise ValueError("mean equity must be above zero")
    return traded_notional / mean_equity


def exposure(held_ns: float, span_ns: float) -> float | None:
    """Share of the time with a position; None without time."""
    return held_ns / span_ns if span_ns > 0.0 else None


def per_period(times: Ints, values: Floats, period_ns: int) -> Floats:
    """Totals of `values` in consecutive periods of `period_ns` from the first time on, empty ones included."""
    if times.size == 0:
        return np.zeros(0)
    place = (times - times[0]) // period_ns
    totals = np.bincount(place, weights=values, minlength=int(place[-1]) + 1)
    return np.asarray(totals, dtype=np.float64)


# --- forecasts -----------------------------------------------------------------------------------------------


def class_frequencies(labels: Ints, classes: int = 3) -> Floats:
    """Share of each class, float64 (classes,). Raises ValueError without labels."""
    if labels.size == 0:
        raise ValueError("no labels")
    return np.asarray(np.bincount(labels, minlength=classes) / labels.size, dtype=np.float64)


def brier(probabilities: Floats, labels: Ints) -> float:
    """Mean squared distance between `probabilities` (n, classes) and the outcome as a unit vector, in [0, 2]."""
    rows = np.arange(labels.size)
    squares = (probabilities**2).sum(axis=1)
    return float(np.mean(squares - 2.0 * probabilities[rows, labels] + 1.0))


def brier_skill(probabilities: Floats, labels: Ints, climatology: Floats) -> float | None:
    """1 - Brier / Brier of the constant forecast `climatology` (classes,); None where that one is perfect."""
    plain = brier(np.broadcast_to(climatology, probabilities.shape), labels)
    return 1.0 - brier(probabilities, labels) / plain if plain > 0.0 else None


def calibration_error(probabilities: Floats, labels: Ints, bins: int) -> float:
    """Mean over classes of |said - happened| over `bins` equally filled bins of what was said (classwise ECE)."""
    errors = []
    for k in range(probabilities.shape[1]):
        order = np.argsort(probabilities[:, k], kind="stable")
        gap = probabilities[order, k] - (labels[order] == k)
        errors.append(sum(abs(float(part.sum())) for part in np.array_split(gap, bins)) / labels.size)
    return float(np.mean(errors))


def directional(probabilities: Floats, labels: Ints) -> tuple[Bools, Floats, Bools]:
    """(rows that moved, p_up / (p_up + p_down) of those, whether those went up); volatility alone cannot help here."""
    moved = labels != FLAT
    up, down = probabilities[moved, UP], probabilities[moved, DOWN]
    both = up + down
    share = np.divide(up, both, out=np.full(both.shape, 0.5), where=both > 0.0)
    return moved, share, labels[moved] == UP


def auc(scores: Floats, positive: Bools) -> float | None:
    """Chance that a positive row scores above a negative one, ties half; None unless both kinds exist."""
    return _weighted_auc(np.argsort(scores, kind="stable"), scores, positive, np.ones(scores.size))


def directional_auc(
    probabilities: Floats, labels: Ints, times: Ints, block_ns: int, draws: int, confidence: float, uniform: Uniform
) -> Interval | TooShort:
    """AUC of the direction on moved rows with a block bootstrap interval; `times` (ns) sorted, one per row.

    `block_ns` must be at least the label's horizon, as labels overlap that far. TooShort when all went one way.
    """
    moved, share, up = directional(probabilities, labels)
    blocks = draw_blocks(times, block_ns, draws, uniform)
    if isinstance(blocks, TooShort):
        return blocks
    point = auc(share, up)
    if point is None:
        return TooShort(0)
    return percentile_interval(point, _auc_draws(share, up, times[moved], blocks), confidence, blocks.count)


def _auc_draws(share: Floats, up: Bools, times: Ints, blocks: Blocks) -> Floats:
    order = np.argsort(share, kind="stable")
    found = []
    for draw in range(blocks.starts.shape[0]):
        value = _weighted_auc(order, share, up, row_counts(times, blocks, draw))
        found.append(0.5 if value is None else value)  # a draw that went one way only says nothing about direction
    return np.array(found)


def _weighted_auc(order: Ints, scores: Floats, positive: Bools, weights: Floats) -> float | None:
    """AUC with a weight per row; `order` sorts `scores`."""
    if scores.size == 0:
        return None
    ranked, sign, w = scores[order], positive[order], weights[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    above = np.add.reduceat(w * sign, starts)
    below = np.add.reduceat(w * ~sign, starts)
    total = float(above.sum()) * float(below.sum())
    if total <= 0.0:
        return None
    lower = np.cumsum(below) - below
    return float(np.dot(above, lower + 0.5 * below)) / total


# --- many trials ---------------------------------------------------------------------------------------------


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The Sharpe ratio expected of the best of `trials` worthless rules, given its variance over trials."""
    if trials <= 1:
        return 0.0
    normal = NormalDist()
    first = normal.inv_cdf(1.0 - 1.0 / trials)
    second = normal.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(returns: Floats, trials: int, variance_over_trials: float | None = None) -> float | None:
    """Chance that the true Sharpe ratio beats the best of `trials` worthless rules; None where Sharpe is None.

    Bailey & López de Prado (2014), "The Deflated Sharpe Ratio": with skew g3 and kurtosis g4 of the T returns,
    DSR = Phi((SR - SR0) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)). Without a variance over trials, that of an
    estimate under no skill is taken: 1 / (T - 1). Returns should be nearly independent: use whole blocks or days.
    """
    ratio = sharpe(returns)
    if ratio is None or trials < 1:
        return None
    z = (returns - returns.mean()) / returns.std()
    skew, kurtosis = float(np.mean(z**3)), float(np.mean(z**4))
    periods = returns.size
    variance = 1.0 / (periods - 1) if variance_over_trials is None else variance_over_trials
    hurdle = expected_best_sharpe(trials, variance)
    spread = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if spread <= 0.0:
        return None
    return NormalDist().cdf((ratio - hurdle) * math.sqrt(periods - 1) / math.sqrt(spread))


def overfitting_probability(returns: Floats, splits: int = 8) -> float | None:
    """Share of splits in which the configuration that was best in one half is below the median in the other.

    `returns` is (periods, configurations). Combinatorially symmetric cross-validation of Bailey, Borwein, López de
    Prado and Zhu (2015), "The Probability of Backtest Overfitting". None for one configuration or < 2 periods a part.
    """
    periods, configurations = returns.shape
    if configurations < 2 or periods < 2 * splits:
        return None
    parts = np.array_split(np.arange(periods), splits)
    below = 0
    chosen = list(itertools.combinations(range(splits), splits // 2))
    for inside in chosen:
        seen = np.concatenate([parts[k] for k in inside])
        unseen = np.concatenate([parts[k] for k in range(splits) if k not in inside])
        best = int(np.argmax(_sharpes(returns[seen])))
        outside = _sharpes(returns[unseen])
        rank = float(np.sum(outside < outside[best])) + 0.5 * float(np.sum(outside == outside[best]) - 1)
        below += rank / (configurations - 1) < 0.5
    return below / len(chosen)


def _sharpes(returns: Floats) -> Floats:
    spread = returns.std(axis=0, ddof=1)
    ratios: Floats = np.divide(returns.mean(axis=0), spread, out=np.zeros(spread.shape), where=spread > 0.0)
    return ratios


# --- one summary ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Performance:
    """What a run did. Ratios are per `period_ns`, not annualised; money in quote units; `note`: the run is short."""

    net: float
    trades: int
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    profit_factor: float | None
    win_rate: float | None
    max_drawdown: float
    turnover: float
    exposure: float | None
    period_ns: int
    note: str


def short_run_note(trades: int, periods: int) -> str:
    """A sentence when a run is too short for its ratios to mean much, else nothing."""
    if trades < SHORT_RUN_TRADES or periods < SHORT_RUN_TRADES:
        return f"a short run ({trades} trades, {periods} periods; {SHORT_RUN_TRADES} are few): ratios are mostly noise"
    return ""
