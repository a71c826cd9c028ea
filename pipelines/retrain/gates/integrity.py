"""The lines of integrity: the bundle is what it says it is, and cannot see the future; needed for any alias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.retrain.gates.lines import Line, figure, unchecked

Floats = NDArray[np.float64]

PARITY_ROWS = 10_000
PARITY_BEFORE, PARITY_AFTER = 1e-6, 1e-5
LOOK_AHEAD = 8  # vectors
LEAST_SPREAD = 1e-6  # of p_up - p_down over real rows: below it the outputs are a constant


@dataclass(frozen=True, slots=True)
class Parity:
    """The graph against the native members: rows compared, largest |difference| before and after calibration, flips."""

    rows: int
    before: float
    after: float
    flips: int


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """A replay's vectors in order: `as_of` int64 (n,) in ns, `values` float32 (n, features)."""

    as_of: NDArray[np.int64]
    values: NDArray[np.float32]


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


def both_classes(probabilities: Floats, climatology: Floats) -> Line:
    """A class is predicted where it is called likelier than its frequency `climatology` (3,) before the hold-out.

    Whether one class is called likelier than the other is a question of evidence: after a rise an honest model without
    an edge leans up everywhere.
    """
    down, up = (int(np.sum(probabilities[:, k] > climatology[k])) for k in (0, 2))
    reason = "rows on which a traded class is called likelier than it was before"
    return Line("both_classes", up > 0 and down > 0, f"{up} up, {down} down", "both above 0", reason)


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


def canary(before: Vectors, after: Vectors, cut: int) -> Canary:
    """Compare two replays of one log, the second with everything after `cut` (ns) shuffled.

    Vectors as of `cut` or earlier must not change by a byte. The planted feature looks `LOOK_AHEAD` vectors ahead: it
    must change, or the shuffle was too weak to show anything.
    """
    past, other_past = before.as_of <= cut, after.as_of <= cut
    compared = int(past.sum())
    if not np.array_equal(before.as_of[past], after.as_of[other_past]):
        return Canary(compared, compared, 0)
    changed = _changed(before.values[past], after.values[other_past])
    planted = _changed(_ahead(before.values)[past], _ahead(after.values)[other_past])
    return Canary(compared, changed, planted)


def _ahead(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A feature that looks ahead; the last vectors look at themselves."""
    return np.concatenate((values[LOOK_AHEAD:], values[-LOOK_AHEAD:]))[: len(values)]


def _changed(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    left, right = (np.ascontiguousarray(values).view(np.uint32) for values in (first, second))
    return int(np.any(left != right, axis=1).sum())
