"""What a model says about one vector, and what its numbers mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from libs.trading.features.vector import EmissionReason
from libs.trading.market import Provenance, Quote, SessionClock


class LabelKind(IntEnum):
    DIRECTION = 1
    TRIPLE_BARRIER = 2
    EXPECTED_PNL = 3
    META = 4


class Scope(IntEnum):
    """What evidence is good for; the order is the order of trust. NONE: evidence was refused or is missing."""

    NONE = 0
    SIMULATED = 1
    PAPER = 2
    LIVE = 3


class Role(IntEnum):
    CHAMPION = 1
    CHALLENGER = 2


DIRECTION_CLASSES = ("down", "flat", "up")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Calibrated `probabilities`, parallel to `classes`, sum 1. `decision_threshold` None means "never trade".

    Times in ns since 1970 UTC: `as_of`, `received_time`, `horizon` in session time, `vector_written`, `predicted` wall.
    """

    id: str
    vector_id: str
    instrument: str
    session: str
    as_of: int
    reason: EmissionReason
    ordinal: int
    view_hash: str
    bundle_digest: str
    model_version: int
    role: Role
    label_kind: LabelKind
    horizon: int
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    decision_threshold: float | None
    provenance: Provenance
    model_provenance: Provenance
    evidence: Scope
    received_time: int
    clock: SessionClock
    quote: Quote | None
    input_offset: int
    vector_written: int
    predicted: int

    @property
    def score(self) -> float:
        """p_up - p_down, in [-1, 1]. Raises ValueError for labels without these classes."""
        return self.probabilities[self.classes.index("up")] - self.probabilities[self.classes.index("down")]


def prediction_id(vector_id: str, bundle_digest: str) -> str:
    """The identity of a prediction: 32 hex digits of hash(vector id, bundle digest)."""
    return hashlib.sha256(f"{vector_id}|{bundle_digest}".encode()).hexdigest()[:32]


def scope_of_data(provenance: Provenance) -> Scope:
    """The best evidence that data of this provenance can give (contracts: scope is never above the data's)."""
    best = {Provenance.SIMULATED: Scope.SIMULATED, Provenance.RECORDED: Scope.PAPER, Provenance.LIVE: Scope.LIVE}
    return best[provenance]
