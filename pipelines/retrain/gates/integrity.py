"""The lines of integrity: the bundle is what it says it is, and cannot see the future; needed for any alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.retrain.gates.lines import Line, figure, unchecked

Floats = NDArray[np.float64]

PARITY_ROWS = 10_000
PARITY_BEFORE, PARITY_AFTER = 1e-6, 1e-5
LEAST_SPREAD = 1e-6  # of p_up - p_down over real rows: below it the outputs are a constant


@dataclass(frozen=True, slots=True)
class Parity:
    """The graph against the native members: rows compared, largest |difference| before and after calibration, flips."""

    rows: int
    before: float
    after: float
    flips: int


@dataclass(frozen=True, slots=True)
class Canary:
    """How many of `compared` past vectors changed when the future was shuffled, and when a feature that looks ahead was
    planted on purpose (that one must be found)."""

    compared: int
    changed: int
    planted_changed: int


def view_servable(problem: str | None) -> Line:
    """`problem`: why the feature spec in force cannot serve the bundle's view exactly; None when it can."""
    return Line("view_servable", problem is None, problem or "yes", "yes", "the current spec serves exactly this view")


def files(problem: str | None) -> Line:
    """`problem`: the first file that is missing, changed, unlisted or not data only; None when all are as written."""
    return Line("files", problem is None, problem or "as written", "as written", "data-only files, each by its digest")


def golden_rows(problem: str | None) -> Line:
    reason = "the graph gives the outputs that the bundle keeps for any service to check"
    return Line("golden_rows", problem is None, problem or "equal", "equal", reason)


def parity(found: Parity | None) -> Line:
    asked = f"{PARITY_ROWS} rows, {PARITY_BEFORE:g} before, {PARITY_AFTER:g} after calibration, 0 flips"
    if found is None:
        return unchecked("parity", asked, "the graph was not compared with the native members")
    ok = found.rows >= PARITY_ROWS and found.before <= PARITY_BEFORE and found.after <= PARITY_AFTER and not found.flips
    value = f"{found.rows} rows, {found.before:.2g}, {found.after:.2g}, {found.flips} flips"
    return Line(
        "parity", ok, value, asked, "largest difference of one probability between the graph and the native members"
    )


def outputs_vary(probabilities: Floats) -> Line:
    """`probabilities` (n, 3) of the finished bundle on real rows."""
    spread = float(np.ptp(probabilities[:, 2] - probabilities[:, 0])) if len(probabilities) else 0.0
    asked = f"above {LEAST_SPREAD:g}"
    return Line(
        "outputs_vary", spread > LEAST_SPREAD, figure(spread), asked, "range of p_up - p_down over the hold-out"
    )


def both_classes(probabilities: Floats) -> Line:
    """Up is the likelier of the two traded classes on some real rows, and down on others."""
    up = int(np.sum(probabilities[:, 2] > probabilities[:, 0]))
    down = int(np.sum(probabilities[:, 2] < probabilities[:, 0]))
    return Line(
        "both_classes",
        up > 0 and down > 0,
        f"{up} up, {down} down",
        "both above 0",
        "both traded classes are predicted",
    )


def leakage(found: Canary | None) -> Line:
    asked = "0 changed, the planted one found"
    if found is None:
        return unchecked("leakage", asked, "features were not replayed with a shuffled future")
    value = f"{found.changed} of {found.compared} changed, planted: {found.planted_changed}"
    ok = found.compared > 0 and found.changed == 0 and found.planted_changed > 0
    if found.changed:
        reason = "shuffling the future changed features of the past"
    else:
        reason = (
            "the canary works"
            if found.planted_changed
            else "the canary did not see a feature that was made to look ahead"
        )
    return Line("leakage", ok, value, asked, reason)


Rows = NDArray[np.void]
Replay = Callable[[Rows], tuple[NDArray[np.int64], NDArray[np.float32]]]  # events -> (as-of, float32 values) by vector


def canary(replay: Replay, rows: Rows, times: NDArray[np.int64], cut: int, order: NDArray[np.intp]) -> Canary:
    """Shuffle what comes after `cut` (ns) and count the vectors as of `cut` or earlier that changed by a byte.

    `rows` are the events in log order with their event `times`; `order` is a permutation of the rows after the cut, so
    chance stays with the caller. Shuffled events take over the times of those they replace, so the log stays in order.
    The planted feature is the first vector value after each as-of: it must change, or the canary is blind.
    """
    future = np.flatnonzero(times > cut)
    if future.size != order.size:
        raise ValueError(f"{order.size} places for {future.size} events after the cut")
    shuffled = rows.copy()
    shuffled[future] = rows[future[order]]
    if rows.dtype.names and "event_time" in rows.dtype.names:
        shuffled["event_time"] = rows["event_time"]
    as_of, values = replay(rows)
    other_as_of, other = replay(shuffled)
    past, other_past = as_of <= cut, other_as_of <= cut
    if not np.array_equal(as_of[past], other_as_of[other_past]):
        return Canary(int(past.sum()), int(past.sum()), 0)
    changed = _changed(values[past], other[other_past])
    return Canary(int(past.sum()), changed, _changed(_ahead(values)[past], _ahead(other)[other_past]))


def _ahead(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A feature that looks ahead: the values of the next vector (the last one looks at itself)."""
    return np.concatenate((values[1:], values[-1:]))


def _changed(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    width = first.shape[1] if first.ndim == 2 else 1
    left, right = (np.ascontiguousarray(a).view(np.uint32).reshape(-1, width) for a in (first, second))
    return int(np.any(left != right, axis=1).sum())
