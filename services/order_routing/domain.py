"""From a prediction and the account to a decision and at most one order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.trading.decisions import Decision, DecisionKind
from libs.trading.instrument import InstrumentRules
from libs.trading.market import Side
from libs.trading.orders import ZERO, Fill, Order, Origin, TimeInForce, client_order_id
from libs.trading.portfolio import Position, after_fill
from libs.trading.risk import (
    Approved,
    Case,
    Denied,
    Exposure,
    ModelStanding,
    Proposal,
    RiskLimits,
    RuleResult,
    Signal,
    assess,
    drawdown_of,
)
from libs.trading.scoring import Prediction, Role, Scope
from libs.trading.sizing import collared_limit, drawdown_factor, smallest_quantity, unit_quantity
from libs.trading.strategy import Holding, Target, direction_target

DIRECTION = "direction"
EXPLORE = "explore"
MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class ExplorePolicy:
    """Explore the top `1 - quantile` of |score| among the last `window` rows (at least `minimum`), with `chance`."""

    window: int = 400
    minimum: int = 40
    quantile: float = 0.9
    chance: float = 0.5
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Policy:
    """One account's standing orders to the router. `unit_notional` in quote units; `explore` None: off."""

    account: str
    namespace: str
    scope: Scope
    unit_notional: Decimal
    limits: RiskLimits
    explore: ExplorePolicy | None
    flatten_on_halt: bool = True
    halt_on_foreign: bool = True


@dataclass(frozen=True, slots=True)
class Opening:
    """Whose decision opened a position. `as_of` and `horizon` in ns of that session's time."""

    strategy: str
    session: str
    as_of: int
    horizon: int


@dataclass(frozen=True, slots=True)
class Held:
    """A position and the opening it comes from; None when flat, or when the venue had it before the journal."""

    position: Position
    opening: Opening | None = None

    @property
    def direction(self) -> Target:
        quantity = self.position.quantity
        return Target.FLAT if not quantity else Target.LONG if quantity > 0 else Target.SHORT


def opening_of(order: Order) -> Opening:
    return Opening(order.strategy, order.session, order.as_of, order.horizon)


def held_after(held: Held, fill: Fill, opening: Opening | None) -> Held:
    """A fill that starts or flips a position makes it the fill's; one that adds or reduces leaves its owner."""
    after = Held(after_fill(held.position, fill), held.opening)
    if after.direction is Target.FLAT:
        return replace(after, opening=None)
    return after if after.direction is held.direction else replace(after, opening=opening)


@dataclass(frozen=True, slots=True)
class InputAt:
    """Where a prediction lies in its topic."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Question:
    """A prediction and everything that its decision depends on; `now` is wall ns."""

    prediction: Prediction
    at: InputAt
    now: int
    held: Held
    exposure: Exposure
    policy: Policy
    standing: ModelStanding
    instrument: InstrumentRules
    explore_cut: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    decision: Decision
    order: Order | None


def strategy_of(role: Role) -> str:
    return DIRECTION if role is Role.CHAMPION else EXPLORE


def decision_key(policy: Policy, prediction: Prediction) -> str:
    p = prediction
    strategy = strategy_of(p.role)
    return client_order_id(
        policy.account, policy.namespace, strategy, p.session, p.instrument, p.as_of, p.reason, p.ordinal, 0, 0
    )


def cut_of(scores: list[float], policy: ExplorePolicy) -> float | None:
    """The quantile of |score| over a window of rows; None while there are too few to know it."""
    if len(scores) < policy.minimum:
        return None
    ranked = sorted(scores)
    return ranked[min(len(ranked) - 1, int(policy.quantile * len(ranked)))]


def drawn(policy: ExplorePolicy, key: str) -> bool:
    """Whether chance explores this decision: a function of the seed and the decision's key alone."""
    digest = hashlib.sha256(f"{policy.seed}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < policy.chance


def plan(question: Question) -> Plan:
    """Decide on one prediction. Pure: the same question gives the same decision, rule answers included."""
    prediction = question.prediction
    score = _score(question)
    if prediction.clock.rate != 1.0:
        rate = RuleResult(
            "clock", False, f"the session's clock runs at {prediction.clock.rate:g}, not 1: this is history"
        )
        return _held(question, score or 0.0, None, (rate,))
    if score is None:
        detail = f"{prediction.label_kind.name} with classes {', '.join(prediction.classes)} gives no direction"
        return _refused(question, 0.0, None, ("LABEL_KIND", detail), (RuleResult("label_kind", False, detail),))
    threshold = _threshold(question)
    if threshold is None:
        seen = RuleResult("signal", False, "no threshold: never")
    else:
        seen = RuleResult("signal", abs(score) >= threshold, f"|{score:.6f}| against {threshold:.6f}")
    target = _target(question, score, threshold)
    if target is question.held.direction:
        return _held(question, score, threshold, (seen,))
    if prediction.role is Role.CHALLENGER and target is not Target.FLAT:
        return _explore(question, score, threshold, target, seen)
    return _act(question, score, threshold, target, (seen,), None)


def _score(question: Question) -> float | None:
    prediction = question.prediction
    declared = prediction.label_kind in question.policy.limits.label_kinds
    return prediction.score if declared and {"up", "down"} <= set(prediction.classes) else None


def _threshold(question: Question) -> float | None:
    """The bundle's threshold for the champion; the cut of the top decile for a challenger that may be explored."""
    if question.prediction.role is Role.CHAMPION:
        return question.prediction.decision_threshold
    exploring = question.policy.explore is not None and question.policy.scope is not Scope.LIVE
    return question.explore_cut if exploring else None


def _target(question: Question, score: float, threshold: float | None) -> Target:
    """What is wanted. A position of another strategy is left to it until its horizon; a manual one is left alone."""
    prediction, held = question.prediction, question.held
    strategy, opening = strategy_of(prediction.role), held.opening
    same_session = opening is not None and opening.session == prediction.session
    opened = opening.as_of if opening is not None and same_session else None
    horizon = opening.horizon if opening is not None and same_session else prediction.horizon
    holding = Holding(held.direction, opened)
    if held.direction is Target.FLAT or (opening is not None and opening.strategy == strategy):
        target = direction_target(score, threshold, holding, prediction.as_of, horizon)
        reverses = target is not Target.FLAT and held.direction is not Target.FLAT and target is not held.direction
        return Target.FLAT if reverses and strategy == EXPLORE else target
    if opening is not None and opening.strategy == MANUAL:
        return held.direction
    return direction_target(0.0, None, holding, prediction.as_of, horizon)


def _explore(question: Question, score: float, threshold: float | None, target: Target, seen: RuleResult) -> Plan:
    explore = question.policy.explore
    assert explore is not None, "a challenger has a threshold only where exploring is on"
    taken = drawn(explore, decision_key(question.policy, question.prediction))
    draw = RuleResult("explore_draw", taken, f"taken with chance {explore.chance}")
    if not taken:
        return _held(question, score, threshold, (seen, draw), explore.chance)
    return _act(question, score, threshold, target, (seen, draw), explore.chance)


def _act(
    question: Question,
    score: float,
    threshold: float | None,
    target: Target,
    notes: tuple[RuleResult, ...],
    propensity: float | None,
) -> Plan:
    if question.prediction.quote is None:
        rules = (*notes, RuleResult("quote", False, "no quote"))
        return _refused(question, score, threshold, ("QUOTE", "no quote"), rules, propensity)
    proposal = _proposal(question, target)
    verdict = assess(_case(question, proposal))
    held = question.held.direction
    if isinstance(verdict, Approved):
        kind = _kind(held, target)
        return _planned(question, score, threshold, kind, proposal, None, (*notes, *verdict.rules), propensity)
    if held is not Target.FLAT and target is not Target.FLAT:
        return _exit_alone(question, score, threshold, verdict, notes, propensity)
    denied = (verdict.code, verdict.reason)
    return _refused(question, score, threshold, denied, (*notes, *verdict.rules), propensity)


def _exit_alone(
    question: Question,
    score: float,
    threshold: float | None,
    refused: Denied,
    notes: tuple[RuleResult, ...],
    propensity: float | None,
) -> Plan:
    """The entry of a reversal was refused: what is held still leaves, reduce-only, by the rules of an exit."""
    proposal = _proposal(question, Target.FLAT)
    verdict = assess(_case(question, proposal))
    denied = (refused.code, refused.reason)
    rules = (*notes, *refused.rules)
    if isinstance(verdict, Denied):
        return _refused(question, score, threshold, (verdict.code, verdict.reason), rules, propensity)
    return _planned(question, score, threshold, DecisionKind.EXIT, proposal, denied, rules, propensity)


def _kind(held: Target, target: Target) -> DecisionKind:
    if target is Target.FLAT:
        return DecisionKind.EXIT
    return DecisionKind.ENTER if held is Target.FLAT else DecisionKind.REVERSE


def _proposal(question: Question, target: Target) -> Proposal:
    """The one order from what is held to the target; it goes through zero when it reverses (see the README)."""
    quote, rules, held = question.prediction.quote, question.instrument, question.held.position.quantity
    assert quote is not None, "the caller looked"
    side = (Side.BUY if held < 0 else Side.SELL) if target is Target.FLAT else Side.BUY if target > 0 else Side.SELL
    price = collared_limit(quote, side, question.policy.limits.collar_bps, rules)
    leaving = rules.lots_down(abs(held))
    entering = ZERO if target is Target.FLAT else _unit(question, price)
    origin = Origin.EXPLORATION if question.prediction.role is Role.CHALLENGER else Origin.MODEL
    return Proposal(rules.instrument, side, leaving + entering, price, target is Target.FLAT, origin)


def _unit(question: Question, price: Decimal) -> Decimal:
    if question.prediction.role is Role.CHALLENGER:
        return smallest_quantity(price, question.instrument)
    limits, exposure = question.policy.limits, question.exposure
    notional = question.policy.unit_notional
    if exposure.equity is not None and exposure.peak_equity is not None:
        down = drawdown_of(exposure.equity, exposure.peak_equity)
        # At the stop the rule `drawdown` refuses by its own name, so the size is left as it is.
        notional *= drawdown_factor(down, limits.halve_at_drawdown, limits.stop_at_drawdown) or Decimal(1)
    return unit_quantity(notional, price, question.instrument)


def _case(question: Question, proposal: Proposal) -> Case:
    prediction, now = question.prediction, question.now
    signal = Signal(
        vector_age=prediction.clock.session_time(now) - prediction.received_time,
        prediction_age=now - prediction.predicted,
        label_kind=prediction.label_kind,
        standing=question.standing,
        provenance=prediction.provenance,
        exploring=prediction.role is Role.CHALLENGER,
    )
    limits, quote = question.policy.limits, prediction.quote
    return Case(proposal, question.exposure, limits, question.instrument, quote, signal, now)


def _held(
    question: Question,
    score: float,
    threshold: float | None,
    rules: tuple[RuleResult, ...],
    propensity: float | None = None,
) -> Plan:
    return Plan(_decision(question, score, threshold, DecisionKind.HOLD, None, rules, propensity), None)


def _refused(
    question: Question,
    score: float,
    threshold: float | None,
    denied: tuple[str, str],
    rules: tuple[RuleResult, ...],
    propensity: float | None = None,
) -> Plan:
    return Plan(_decision(question, score, threshold, DecisionKind.DENIED, denied, rules, propensity), None)


def _planned(
    question: Question,
    score: float,
    threshold: float | None,
    kind: DecisionKind,
    proposal: Proposal,
    denied: tuple[str, str] | None,
    rules: tuple[RuleResult, ...],
    propensity: float | None,
) -> Plan:
    decision = _decision(question, score, threshold, kind, denied, rules, propensity)
    prediction = question.prediction
    order = Order(
        client_order_id=decision.decision_key,
        account=question.policy.account,
        instrument=prediction.instrument,
        side=proposal.side,
        price=proposal.price,
        quantity=proposal.quantity,
        time_in_force=TimeInForce.IOC,
        reduce_only=proposal.reduce_only,
        origin=proposal.origin,
        recorded_time=question.now,
        updated_time=question.now,
        strategy=decision.strategy,
        decision_key=decision.decision_key,
        prediction_id=prediction.id,
        bundle_digest=prediction.bundle_digest,
        provenance=prediction.provenance,
        session=prediction.session,
        as_of=prediction.as_of,
        horizon=prediction.horizon,
    )
    return Plan(decision, order)


def _decision(
    question: Question,
    score: float,
    threshold: float | None,
    kind: DecisionKind,
    denied: tuple[str, str] | None,
    rules: tuple[RuleResult, ...],
    propensity: float | None,
) -> Decision:
    prediction = question.prediction
    return Decision(
        decision_key=decision_key(question.policy, prediction),
        prediction_id=prediction.id,
        vector_id=prediction.vector_id,
        bundle_digest=prediction.bundle_digest,
        model_version=prediction.model_version,
        instrument=prediction.instrument,
        session=prediction.session,
        as_of=prediction.as_of,
        strategy=strategy_of(prediction.role),
        kind=kind,
        origin=Origin.EXPLORATION if prediction.role is Role.CHALLENGER else Origin.MODEL,
        score=score,
        threshold=threshold,
        propensity=propensity,
        denied=denied,
        rules=rules,
        decided_time=question.now,
        prediction_partition=question.at.partition,
        prediction_offset=question.at.offset,
        features_offset=prediction.input_offset,
        provenance=prediction.provenance,
        evidence=question.standing.evidence,
    )
