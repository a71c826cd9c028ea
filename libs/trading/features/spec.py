"""What a feature is, the ordered and hashed set that an engine computes, and the views that models bind to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class NotReady(IntEnum):
    """Why a value is NaN. READY is 0, so that a vector without any reason is whole."""

    READY = 0
    WARMING = 1  # fewer events, bars or seconds than the window needs since the session began
    GAP = 2  # the feed lost something inside the window
    NO_DATA = 3  # the instrument has never had this input, or one side of the book is empty
    CROSSED = 4  # the best bid is not below the best ask
    NOT_FINITE = 5  # the formula has no finite float32 here


class ViewMismatch(ValueError):
    """A view that a spec cannot serve exactly; the message names every feature or interval that does not fit."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One named number. `window` says how much history it reads ("14 bars", "5 s", "now"), `unit` what it counts."""

    name: str
    formula_version: int
    window: str
    inputs: tuple[str, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class FeatureView:
    """What a model reads: ordered (name, formula version), and the intervals (ns) at which it was taught."""

    features: tuple[tuple[str, int], ...]
    bar_interval: int
    emission_interval: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.features)

    @property
    def hash(self) -> str:
        """32 hex digits over names, order, formula versions and intervals."""
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What one engine computes, in order. Intervals in ns: the length of a bar, the distance of two vectors."""

    features: tuple[Feature, ...]
    bar_interval: int
    emission_interval: int

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"features named twice: {', '.join(doubled)}")
        if not names:
            raise ValueError("a spec needs at least one feature")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def hash(self) -> str:
        """32 hex digits over everything: order, names, formula versions, windows, inputs, units and intervals."""
        return _digest(asdict(self))

    def view(self, names: Sequence[str]) -> FeatureView:
        """The view of these features in this order. Raises `ViewMismatch` that names the unknown ones."""
        versions = {feature.name: feature.formula_version for feature in self.features}
        unknown = [name for name in names if name not in versions]
        if unknown or not names:
            raise ViewMismatch(f"the spec has no feature {', '.join(unknown)}" if unknown else "a view needs a feature")
        if len(set(names)) != len(names):
            raise ViewMismatch("a view names a feature twice")
        return FeatureView(tuple((name, versions[name]) for name in names), self.bar_interval, self.emission_interval)

    def project(self, view: FeatureView) -> NDArray[np.intp]:
        """Positions in a vector of this spec, shape (len(view.features),), so that `values[positions]` is the view.

        Nothing is adapted, padded or reordered: a view that does not fit exactly raises `ViewMismatch`.
        """
        problems = [
            f"{label} {theirs} ns, the spec has {ours} ns"
            for label, theirs, ours in (
                ("bar interval", view.bar_interval, self.bar_interval),
                ("emission interval", view.emission_interval, self.emission_interval),
            )
            if theirs != ours
        ]
        place = {feature.name: index for index, feature in enumerate(self.features)}
        for name, version in view.features:
            if name not in place:
                problems.append(f"feature {name} is not in the spec")
            elif self.features[place[name]].formula_version != version:
                problems.append(
                    f"feature {name} version {version}, spec has {self.features[place[name]].formula_version}"
                )
        if problems:
            raise ViewMismatch(f"view {view.hash} cannot be served: " + "; ".join(problems))
        return np.array([place[name] for name, _ in view.features], dtype=np.intp)


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
