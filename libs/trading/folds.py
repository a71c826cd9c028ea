"""Splits of time that keep the future out: an outer hold-out, and purged and embargoed walk-forward folds before it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Places = NDArray[np.intp]


class TooFewRows(ValueError):
    """A split that would leave a part without enough rows; the message has the figures."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Places of the rows to learn from and of the rows to judge on; the latter cover [`test_from`, `test_to`) in ns."""

    train: Places
    test: Places
    test_from: int
    test_to: int


def holdout(as_of: Ints, label_end: Ints, holdout_from: int, embargo_ns: int, least_rows: int) -> Split:
    """Split at `holdout_from` (ns): what is judged starts there, what is learnt ended `embargo_ns` before it.

    `as_of` and `label_end` (n,) may be of several instruments, in any order; the places returned are in that order.
    """
    return _split(as_of, label_end, holdout_from, int(as_of.max(initial=0)) + 1, embargo_ns, least_rows, "hold-out")


def holdout_start(as_of: Ints, share: float, least_ns: int, most_share: float) -> int:
    """Where a hold-out of `share` of the time begins, or of `least_ns` if longer, but of `most_share` at most."""
    if not 0.0 < share <= most_share < 1.0:
        raise ValueError("shares must be in (0, 1), the most at least the share")
    first, last = int(as_of.min()), int(as_of.max())
    span = last - first
    length = min(max(int(share * span), least_ns), int(most_share * span))
    return last - length


def walk_forward(
    as_of: Ints, label_end: Ints, folds: int, embargo_ns: int, least_rows: int, first_share: float | None = None
) -> tuple[Split, ...]:
    """Judge each of `folds` equally long stretches after learning from all before it whose labels ended `embargo_ns`
    before it starts. `first_share` of the rows come before the first of them (default: as many as in each stretch).
    Raises TooFewRows when a part is too small."""
    if folds < 1:
        raise ValueError(f"at least one fold is needed: {folds}")
    first = 1.0 / (folds + 1) if first_share is None else first_share
    if not 0.0 < first < 1.0:
        raise ValueError(f"first_share must be in (0, 1): {first}")
    if as_of.size == 0:
        raise TooFewRows("no rows")
    ordered = np.sort(as_of)
    shares = [first + (1.0 - first) * k / folds for k in range(folds)]
    cuts = [int(ordered[int(round(as_of.size * share, 6))]) for share in shares] + [int(ordered[-1]) + 1]
    return tuple(
        _split(as_of, label_end, begin, end, embargo_ns, least_rows, f"fold {k + 1} of {folds}")
        for k, (begin, end) in enumerate(pairwise(cuts))
    )


def _split(as_of: Ints, label_end: Ints, begin: int, end: int, embargo_ns: int, least: int, name: str) -> Split:
    if np.any(label_end < as_of):
        raise ValueError("a label ends before its row")
    train = np.flatnonzero(label_end + embargo_ns < begin)
    test = np.flatnonzero((as_of >= begin) & (as_of < end))
    for part, rows in (("to learn from", train.size), ("to judge on", test.size)):
        if rows < least:
            raise TooFewRows(f"{name}: {rows} rows {part}, at least {least} are needed")
    return Split(train, test, begin, end)
