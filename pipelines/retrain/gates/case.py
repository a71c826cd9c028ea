"""The case of one candidate: everything that the gate looks at, and nothing that it could fetch for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.trading.backtest import QuoteRows
from libs.trading.fees import Costs
from libs.trading.market import Provenance
from libs.trading.scoring import LabelKind, Scope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Rows with what the model said and what happened; arrays of n rows sorted by `quotes.as_of`.

    `probabilities` and each of `members` are float64 (n, 3) in the order down, flat, up; `labels` int64 in 0..2;
    `label_end` ns. Raises ValueError for other shapes, labels or numbers that are no probabilities.
    """

    quotes: QuoteRows
    probabilities: Floats
    members: Mapping[str, Floats]
    labels: Ints
    label_end: Ints

    def __post_init__(self) -> None:
        n = self.quotes.as_of.size
        if n == 0:
            raise ValueError("no rows")
        for name, p in {"ensemble": self.probabilities, **self.members}.items():
            if p.shape != (n, 3) or not (np.all(p >= 0.0) and np.all(np.abs(p.sum(axis=1) - 1.0) < 1e-4)):
                raise ValueError(f"{name}: no probabilities of three classes per row")
        if self.labels.shape != (n,) or self.label_end.shape != (n,) or not np.all(np.isin(self.labels, (0, 1, 2))):
            raise ValueError("labels: one of 0, 1, 2 per row is needed")
        if np.any(self.label_end <= self.quotes.as_of):
            raise ValueError("label_end: a label ends before its row")

    @property
    def score(self) -> Floats:
        """p_up - p_down, float64 (n,)."""
        return score(self.probabilities)


def score(probabilities: Floats) -> Floats:
    difference: Floats = np.clip(probabilities[:, 2] - probabilities[:, 0], -1.0, 1.0)
    return difference


@dataclass(frozen=True, slots=True)
class Split:
    """One nested split as it was fitted: the last label end that training saw, and the first as-of it was tested on."""

    name: str
    last_label_end: int
    first_test_as_of: int


@dataclass(frozen=True, slots=True)
class Window:
    """[from_ns, to_ns) in session time."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Measured time of one inference of one row, 99th percentile, over `calls` calls."""

    p99_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class NoChampion:
    """Nobody trades under this name yet, and whoever built the case looked."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveChampion:
    """The champion's recorded live predictions on these rows: `score` float64 (n,), NaN where it said nothing."""

    digest: str
    score: Floats
    threshold: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A candidate before the gate. None means "not known", and the line that needs it then refuses.

    `needed_scope` is that of the accounts it is made for. `earlier` is out of fold (before the hold-out) and gives the
    naive forecast. `served_difference` is the largest difference between the hold-out's probabilities and those of the
    finished bundle on the same rows. `configurations` is (periods, tried configurations) of out-of-fold profit.
    """

    provenance: Provenance
    needed_scope: Scope
    gaps: int | None
    label_kind: LabelKind
    horizon_ns: int
    emission_interval_ns: int
    threshold: float | None
    costs: Costs
    window: Window | None
    earlier: Scored
    hold_out: Scored
    splits: tuple[Split, ...] | None
    served_difference: float | None
    trials: int | None
    configurations: Floats | None
    latency: Latency | None
    champion: NoChampion | LiveChampion | None
    shadow_passed: bool | None
