"""How time is cut and how a threshold is chosen, as plain values that the settings give to the steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """The hold-out is a share of the time, or at least `holdout_least_ns`, but at most `holdout_most_share` of it.
    `first_share` of the rows before it are learnt from before the first fold is judged; None: as many as a fold has."""

    folds: int
    first_share: float | None
    embargo_bars: int
    holdout_share: float
    holdout_least_ns: int
    holdout_most_share: float
    least_rows: int


@dataclass(frozen=True, slots=True)
class ThresholdPlan:
    """Candidates are quantiles of |score| out of fold; one that trades less than `least_trades` or earns in less than
    `least_winning_folds` of the folds is no candidate."""

    quantiles: tuple[float, ...]
    least_trades: int
    least_winning_folds: float
