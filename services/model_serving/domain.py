"""What a served model is, which vectors it may speak about, and what is to be done about a wished-for version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

from libs.trading.features.spec import FeatureView
from libs.trading.features.vector import FeatureVector
from libs.trading.market import Provenance
from libs.trading.scoring import LabelKind, Prediction, Role, Scope, prediction_id

ALIASES: Mapping[Role, str] = {Role.CHAMPION: "champion", Role.CHALLENGER: "challenger"}
NOT_FROM_LOG = -1
ROLES: Mapping[str, Role] = {alias: role for role, alias in ALIASES.items()}


class Unscored(StrEnum):
    """Why a vector gets no prediction; stable names, counted."""

    NO_MODEL = "NO_MODEL"
    OTHER_SPEC = "OTHER_SPEC"
    OTHER_INTERVAL = "OTHER_INTERVAL"
    NOT_READY = "NOT_READY"
    SIMULATED_MODEL = "SIMULATED_MODEL"  # a model made from simulated data acts in simulated sessions only


class ChangeKind(IntEnum):
    """What happened to a version under an alias; numbered as models.v1.ModelEventKind."""

    REGISTERED = 1
    ACCEPTED = 2
    REFUSED = 3
    ROLLED_BACK = 4
    RETIRED = 5


@dataclass(frozen=True, slots=True)
class Arrived:
    """A vector with its place on the log (-1: not from the log) and the wall ns at which it was sent (0: unknown)."""

    vector: FeatureVector
    offset: int = NOT_FROM_LOG
    written: int = 0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the bundle says about itself. `horizon` in ns, `decision_threshold` None = never trade."""

    name: str
    version: int
    digest: str
    view: FeatureView
    label_kind: LabelKind
    horizon: int
    classes: tuple[str, ...]
    decision_threshold: float | None
    provenance: Provenance
    evidence: Scope


@dataclass(frozen=True, slots=True)
class Signed:
    """A verdict as it was signed, carried on for others to check."""

    payload: bytes
    signature: bytes
    key_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history of models; `time` is wall ns."""

    kind: ChangeKind
    model_name: str
    role: Role
    version: int
    digest: str
    reason: str
    time: int
    provenance: Provenance | None = None
    evidence: Scope = Scope.NONE
    integrity: Signed | None = None
    evidence_verdict: Signed | None = None


@dataclass(frozen=True, slots=True)
class Last:
    """What the history says last about one alias: who serves, and which version was refused since."""

    serving: Change | None = None
    refused: Change | None = None


@dataclass(frozen=True, slots=True)
class Try:
    role: Role
    version: int


@dataclass(frozen=True, slots=True)
class Retire:
    role: Role


def last_of(changes: list[Change]) -> dict[Role, Last]:
    """The state of each alias after its history, in the order of the log."""
    state = dict.fromkeys(Role, Last())
    for change in changes:
        before = state[change.role]
        if change.kind in (ChangeKind.ACCEPTED, ChangeKind.ROLLED_BACK):
            state[change.role] = Last(serving=change)
        elif change.kind is ChangeKind.REFUSED:
            state[change.role] = Last(before.serving, change)
        elif change.kind is ChangeKind.RETIRED:
            state[change.role] = Last()
    return state


def to_do(
    wishes: Mapping[str, int], serving: Mapping[Role, int], refused: Mapping[Role, int], *, again: bool = False
) -> list[Try | Retire]:
    """What follows from the registry's aliases (version by alias), the versions that serve and those refused last.

    A refused version is tried once, then only when asked (`again`); an alias that is gone retires its model.
    """
    steps: list[Try | Retire] = []
    for role, alias in ALIASES.items():
        wish = wishes.get(alias)
        if wish is None:
            if role in serving:
                steps.append(Retire(role))
        elif serving.get(role) != wish and (again or refused.get(role) != wish):
            steps.append(Try(role, wish))
    return steps


def accepted_kind(version: int, before: int | None) -> ChangeKind:
    """An older version that takes the alias from a newer one is a roll-back."""
    return ChangeKind.ROLLED_BACK if before is not None and version < before else ChangeKind.ACCEPTED


def why_unscored(
    vector: FeatureVector, facts: ModelFacts, spec_hash: str, positions: NDArray[np.intp]
) -> Unscored | None:
    """None when the model may speak about this vector. `positions`: where its view lies in vectors of `spec_hash`."""
    if vector.spec_hash != spec_hash or len(vector.values) <= positions.max():
        return Unscored.OTHER_SPEC
    if vector.emission_interval != facts.view.emission_interval:
        return Unscored.OTHER_INTERVAL
    if facts.provenance is Provenance.SIMULATED and vector.provenance is not Provenance.SIMULATED:
        return Unscored.SIMULATED_MODEL
    if vector.reasons[positions].any() or np.isnan(vector.values[positions]).any():
        return Unscored.NOT_READY
    return None


def prediction_of(
    vector: FeatureVector,
    facts: ModelFacts,
    role: Role,
    probabilities: NDArray[np.float64],
    *,
    view_hash: str,
    input_offset: int,
    vector_written: int,
    predicted: int,
) -> Prediction:
    """The model's word on one vector: `probabilities` has shape (len(classes),)."""
    return Prediction(
        id=prediction_id(vector.id, facts.digest),
        vector_id=vector.id,
        instrument=vector.instrument,
        session=vector.session,
        as_of=vector.as_of,
        reason=vector.reason,
        ordinal=vector.ordinal,
        view_hash=view_hash,
        bundle_digest=facts.digest,
        model_version=facts.version,
        role=role,
        label_kind=facts.label_kind,
        horizon=facts.horizon,
        classes=facts.classes,
        probabilities=tuple(probabilities.tolist()),
        decision_threshold=facts.decision_threshold,
        provenance=vector.provenance,
        model_provenance=facts.provenance,
        evidence=facts.evidence,
        received_time=vector.received_time,
        clock=vector.clock,
        quote=vector.quote,
        input_offset=input_offset,
        vector_written=vector_written,
        predicted=predicted,
    )
