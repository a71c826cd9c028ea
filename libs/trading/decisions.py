"""What the router decided and what became of it, as the facts that its journal tells the world in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from libs.trading.market import Provenance
from libs.trading.orders import Fill, Order, Origin
from libs.trading.risk import RuleResult, TradingState
from libs.trading.scoring import Scope


class DecisionKind(IntEnum):
    HOLD = 1
    ENTER = 2
    EXIT = 3
    REVERSE = 4
    DENIED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why the router did what it did for one prediction. `as_of` session ns, `decided_time` wall ns.

    `denied` is (code, reason) of a refusal; it stands beside another kind when only a part was refused (the entry of a
    reversal). `propensity` is the chance with which an exploring decision was taken.
    """

    decision_key: str
    prediction_id: str
    vector_id: str
    bundle_digest: str
    model_version: int
    instrument: str
    session: str
    as_of: int
    strategy: str
    kind: DecisionKind
    origin: Origin
    score: float
    threshold: float | None
    propensity: float | None
    denied: tuple[str, str] | None
    rules: tuple[RuleResult, ...]
    decided_time: int
    prediction_partition: int
    prediction_offset: int
    features_offset: int
    provenance: Provenance
    evidence: Scope


@dataclass(frozen=True, slots=True)
class TradingStateChanged:
    before: TradingState
    after: TradingState
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReconciliationDifference:
    """What the venue and the journal said differently, and what was done about it."""

    kind: str
    detail: str
    action: str


Fact = Decision | Order | Fill | TradingStateChanged | ReconciliationDifference


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """One fact under its number; numbers of one account have no holes. `time` is wall ns."""

    sequence: int
    account: str
    time: int
    fact: Fact
