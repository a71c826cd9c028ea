"""The manifest: everything that must be known about a model before one of its numbers may be believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from libs.bundle.canonical import from_bytes, to_bytes
from libs.bundle.trust import Provenance

FORMAT_VERSION = 1
MODEL_NAME = "ProductionEnsemble"
MEMBER_FILE = re.compile(r"members/[a-z0-9_]+\.(txt|json)")
HEX = re.compile(r"[0-9a-f]{8,64}")


class LabelKind(IntEnum):
    """predictions.v1.LabelKind; what the probabilities mean."""

    DIRECTION = 1
    TRIPLE_BARRIER = 2
    EXPECTED_PNL = 3
    META = 4


@dataclass(frozen=True, slots=True)
class View:
    """The ordered features that the model reads, exactly as the feature spec named them. Intervals in ns."""

    names: tuple[str, ...]
    formula_versions: tuple[int, ...]
    view_hash: str
    spec_hash: str
    bar_interval_ns: int
    emission_interval_ns: int

    def __post_init__(self) -> None:
        _demand(len(self.names) > 0, "names: empty")
        _demand(len(set(self.names)) == len(self.names), "names: a feature twice")
        _demand(len(self.formula_versions) == len(self.names), "formula_versions: not one per feature")
        _demand(bool(HEX.fullmatch(self.view_hash)), "view_hash: not hex")
        _demand(bool(HEX.fullmatch(self.spec_hash)), "spec_hash: not hex")
        _demand(self.bar_interval_ns > 0, "bar_interval_ns: not positive")
        _demand(self.emission_interval_ns > 0, "emission_interval_ns: not positive")


@dataclass(frozen=True, slots=True)
class Label:
    """What was learnt. `params`: scalars of the label spec, as {"threshold": 0.0004, "latency_ns": 50000000}."""

    kind: LabelKind
    horizon_ns: int
    classes: tuple[str, ...]
    params: Mapping[str, Any]

    def __post_init__(self) -> None:
        _demand(self.horizon_ns > 0, "horizon_ns: not positive")
        different = len(set(self.classes)) == len(self.classes)
        _demand(len(self.classes) >= 2 and different, "classes: not two or more different ones")


@dataclass(frozen=True, slots=True)
class Member:
    """One model of the ensemble. `digest`: SHA-256 (hex) of its canonical tree arrays, `weight`: share of the vote."""

    name: str
    file: str
    format: str
    weight: float
    digest: str

    def __post_init__(self) -> None:
        _demand(bool(MEMBER_FILE.fullmatch(self.file)), "file: not members/<name>.txt or .json")
        _demand(math.isfinite(self.weight) and 0.0 <= self.weight <= 1.0, "weight: not in [0, 1]")
        _demand(bool(HEX.fullmatch(self.digest)), "digest: not hex")


@dataclass(frozen=True, slots=True)
class Dataset:
    """What it learnt from. `digest` covers rows and labels; times in ns since 1970 UTC, session time, end exclusive."""

    id: str
    digest: str
    provenance: Provenance
    rows: int
    instruments: tuple[str, ...]
    sessions: tuple[str, ...]
    from_ns: int
    to_ns: int

    def __post_init__(self) -> None:
        _demand(bool(HEX.fullmatch(self.digest)), "digest: not hex")
        _demand(self.rows > 0, "rows: none")
        _demand(len(self.instruments) > 0, "instruments: none")
        _demand(self.to_ns > self.from_ns, "to_ns: not after from_ns")


@dataclass(frozen=True, slots=True)
class EvaluationWindow:
    """The outer hold-out that nothing was fitted on; ns since 1970 UTC, session time, end exclusive."""

    from_ns: int
    to_ns: int

    def __post_init__(self) -> None:
        _demand(self.to_ns > self.from_ns, "to_ns: not after from_ns")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`decision_threshold`: |p_up - p_down| from which the model trades, None = never. `calibration`: free JSON, with
    its "method". Weights sum to 1."""

    view: View
    label: Label
    members: tuple[Member, ...]
    calibration: Mapping[str, Any]
    decision_threshold: float | None
    dataset: Dataset
    code_version: str
    seed: int
    evaluation: EvaluationWindow | None
    model_name: str = MODEL_NAME
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        version, name = self.format_version, self.model_name
        _demand(version == FORMAT_VERSION, f"format_version: {version}, this code reads {FORMAT_VERSION}")
        _demand(name == MODEL_NAME, f"model_name: {name!r}, expected {MODEL_NAME}")
        _demand(len(self.members) > 0, "members: none")
        _demand(len({member.file for member in self.members}) == len(self.members), "members: a file twice")
        _demand(abs(sum(member.weight for member in self.members) - 1.0) <= 1e-9, "members: weights do not sum to 1")
        _demand(isinstance(self.calibration.get("method"), str), "calibration: no method")
        threshold = self.decision_threshold
        fits = threshold is None or (math.isfinite(threshold) and 0.0 <= threshold <= 1.0)
        _demand(fits, "decision_threshold: not in [0, 1]")

    def to_bytes(self) -> bytes:
        """Canonical JSON. Raises BundleError for a number that JSON cannot spell."""
        return to_bytes(self)

    @staticmethod
    def from_bytes(data: bytes) -> Manifest:
        """Raises BundleError naming the field that is unknown, missing, mistyped or out of range."""
        return from_bytes(Manifest, data, "manifest.json")


def _demand(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
