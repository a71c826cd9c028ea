"""What every member library has in common: rows in, a data-only model out, and its trees as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from libs.bundle.digest import array_digest

CLASSES = 3
Comparison = Literal["<=", "<"]

Features = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How trees are grown. `least_rows` is the fewest (weighted) rows of a leaf; shares are in (0, 1]."""

    trees: int
    depth: int
    learning_rate: float
    least_rows: float
    row_share: float
    column_share: float
    l2: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """`features` float32 (n, F), `labels` 0..2 (n,), `weights` (n,) of mean 1."""

    features: Features
    labels: NDArray[np.int8]
    weights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees whose leaves add to one raw score per class; softmax of the scores are the probabilities.

    Nodes, in order of `tree` and `node` with each root first: a branch goes to `yes` when its feature compares to the
    float32 `threshold`, to `no` otherwise, and a NaN goes to `yes` where `nan_to_yes`; `feature` is -1 at a leaf.
    Leaf values are (tree, node, class, value). `offset` (3,) is added once.
    """

    comparison: Comparison
    tree: NDArray[np.int64]
    node: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]
    nan_to_yes: NDArray[np.bool_]
    leaf_tree: NDArray[np.int64]
    leaf_node: NDArray[np.int64]
    leaf_class: NDArray[np.int64]
    leaf_value: NDArray[np.float32]
    offset: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """SHA-256 over the arrays: the same trees give the same digest, whatever file their library wrote."""
        strict = np.array([self.comparison == "<"])
        return array_digest(
            strict, self.tree, self.node, self.feature, self.threshold, self.yes, self.no, self.nan_to_yes,
            self.leaf_tree, self.leaf_node, self.leaf_class, self.leaf_value, self.offset,
        )  # fmt: skip


class Member(Protocol):
    """One model of the ensemble. A model is bytes of a text or JSON file: nothing in it can be executed."""

    @property
    def name(self) -> str: ...

    @property
    def ending(self) -> Literal["txt", "json"]: ...

    def fit(self, rows: TrainingRows, recipe: Recipe) -> bytes:
        """Train on one thread; the same rows and recipe give the same trees."""
        ...

    def raw_scores(self, model: bytes, features: Features) -> Floats:
        """The library's own scores before softmax, float64 (n, 3): the oracle of parity."""
        ...

    def forest(self, model: bytes) -> Forest: ...


def round_down(thresholds: Floats) -> NDArray[np.float32]:
    """The greatest float32 that is not above each threshold, so that `x <= t` decides the same for every float32 x.

    Rounding to nearest instead moves rows that lie exactly on a threshold to the other side.
    """
    nearest = thresholds.astype(np.float32)
    above = nearest.astype(np.float64) > thresholds
    return np.where(above, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def softmax(scores: Floats) -> Floats:
    """Probabilities (n, classes) of raw scores, float64."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    total: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return total
