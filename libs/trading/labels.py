"""Targets that look ahead: what a decision could have earned, known only afterwards; nothing live may import this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.trading.scoring import DIRECTION_CLASSES, LabelKind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Labels = NDArray[np.int8]

DOWN, FLAT, UP = 0, 1, 2
TRADED = (DOWN, UP)
LEAST_SHARE = 0.05


class LabelRefused(ValueError):
    """A label that cannot be learnt or traded; the message has the figures."""


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What is learnt, and from when on a decision could act.

    `threshold_sigmas` (k) times the standard deviation of the horizon's returns, at least `threshold_floor` (a simple
    return), separates flat from moved. `latency_ns` runs from `known_at` to the earliest fill; a price that comes more
    than `max_wait_ns` later than wanted is no price. All durations in ns. Raises LabelRefused for values out of range.
    """

    kind: LabelKind
    horizon_ns: int
    threshold_sigmas: float
    threshold_floor: float
    latency_ns: int
    max_wait_ns: int

    def __post_init__(self) -> None:
        if self.kind is not LabelKind.DIRECTION:
            raise LabelRefused(f"label {self.kind.name} is not available yet; DIRECTION is")
        if self.horizon_ns <= 0 or self.latency_ns < 0 or self.max_wait_ns < 0:
            raise LabelRefused("horizon must be positive, latency and wait not negative")
        if not self.threshold_sigmas > 0.0 or not self.threshold_floor >= 0.0:
            raise LabelRefused("threshold_sigmas must be positive and threshold_floor not negative")

    def check_horizon(self, bar_interval_ns: int) -> None:
        """Raises LabelRefused for a horizon shorter than the bars that the features are made of."""
        if self.horizon_ns < bar_interval_ns:
            raise LabelRefused(f"horizon {self.horizon_ns} ns is shorter than one bar of {bar_interval_ns} ns")


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What followed each row; arrays of shape (n,).

    `entry_time` and `label_end` (ns) are those of the quotes at which the position would open and close; rows whose
    prices are missing have `valid` False, NaN prices and times of 0. `future_return` is mid to mid, simple.
    """

    valid: NDArray[np.bool_]
    entry_time: Ints
    label_end: Ints
    entry_bid: Floats
    entry_ask: Floats
    exit_bid: Floats
    exit_ask: Floats
    future_return: Floats


def outcomes(known_at: Ints, times: Ints, bid: Floats, ask: Floats, spec: LabelSpec) -> Outcomes:
    """Look ahead from each `known_at` (n,) along one instrument's quotes in one session (`times` ascending, (m,)).

    Entry: the first quote at or after `known_at` + latency. Exit: the first at or after entry + horizon. Quotes that
    are not finite are skipped. Raises ValueError for times that do not ascend.
    """
    if times.size and np.diff(times).min(initial=1) <= 0:
        raise ValueError("quote times must ascend")
    usable = np.isfinite(bid) & np.isfinite(ask) & (bid > 0.0) & (ask >= bid)
    at, bids, asks = times[usable], bid[usable], ask[usable]
    wanted_entry = known_at + spec.latency_ns
    entry, entered = _first_at(at, wanted_entry, spec.max_wait_ns)
    entry_time = np.where(entered, at[entry] if at.size else 0, 0)
    leave, left = _first_at(at, entry_time + spec.horizon_ns, spec.max_wait_ns)
    valid = entered & left

    def take(values: Floats, place: Ints) -> Floats:
        return np.where(valid, values[place] if values.size else np.nan, np.nan)

    entry_bid, entry_ask = take(bids, entry), take(asks, entry)
    exit_bid, exit_ask = take(bids, leave), take(asks, leave)
    return Outcomes(
        valid=valid,
        entry_time=np.where(valid, entry_time, 0),
        label_end=np.where(valid, at[leave] if at.size else 0, 0),
        entry_bid=entry_bid,
        entry_ask=entry_ask,
        exit_bid=exit_bid,
        exit_ask=exit_ask,
        future_return=(exit_bid + exit_ask) / (entry_bid + entry_ask) - 1.0,
    )


def _first_at(times: Ints, wanted: Ints, max_wait_ns: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Place of the first time at or after each wanted one (clipped), and whether it exists within the wait."""
    place = np.searchsorted(times, wanted, side="left").astype(np.int64)
    exists = place < times.size
    place = np.minimum(place, max(times.size - 1, 0))
    if not times.size:
        return place, exists
    return place, exists & (times[place] - wanted <= max_wait_ns)


def fit_threshold(future_return: Floats, spec: LabelSpec) -> float:
    """The return that counts as moved: k sigma of these returns, at least the floor.

    Give it the rows of a training fold only: fitted on more, the label itself would know the test rows.
    """
    if future_return.size < 2 or not np.isfinite(future_return).all():
        raise LabelRefused(f"a threshold needs at least 2 finite returns, found {future_return.size}")
    sigma = float(future_return.std(ddof=1))
    if sigma <= 0.0:
        raise LabelRefused("the price never moved: no threshold separates anything")
    return max(spec.threshold_sigmas * sigma, spec.threshold_floor)


def direction(future_return: Floats, threshold: float) -> Labels:
    """0 down, 1 flat, 2 up; a return of exactly the threshold counts as moved. Raises ValueError for NaN."""
    if not np.isfinite(future_return).all():
        raise ValueError("a return is not finite")
    labels = np.full(future_return.shape, FLAT, dtype=np.int8)
    labels[future_return >= threshold] = UP
    labels[future_return <= -threshold] = DOWN
    return labels


def check_classes(labels: Labels, least_share: float = LEAST_SHARE) -> None:
    """Raises LabelRefused, with the counts, when a class that is traded has less than `least_share` of the rows."""
    counts = np.bincount(labels, minlength=len(DIRECTION_CLASSES))
    if all(counts[c] >= least_share * labels.size for c in TRADED) and labels.size:
        return
    spelled = ", ".join(f"{name} {count}" for name, count in zip(DIRECTION_CLASSES, counts, strict=True))
    raise LabelRefused(f"a traded class has under {least_share:.0%} of {labels.size} rows: {spelled}")


def uniqueness(start: Ints, end: Ints) -> Floats:
    """Mean share of its own time that each label [start, end) has for itself, in (0, 1]; labels of one instrument.

    López de Prado (2018), Advances in Financial Machine Learning, 4.4. Raises ValueError for an empty interval.
    """
    if np.any(end <= start):
        raise ValueError("a label ends before it starts")
    edges = np.unique(np.concatenate((start, end)))
    change = np.zeros(edges.size, dtype=np.int64)
    first, last = np.searchsorted(edges, start), np.searchsorted(edges, end)
    np.add.at(change, first, 1)
    np.add.at(change, last, -1)
    alive = np.cumsum(change)[:-1]
    share = np.divide(np.diff(edges).astype(np.float64), alive, out=np.zeros(alive.size), where=alive > 0)
    area = np.concatenate(([0.0], np.cumsum(share)))
    weights: Floats = (area[last] - area[first]) / (end - start)
    return weights
