"""The risk rules: pure questions about one order and one account, each with an answer that can be stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from libs.trading.instrument import InstrumentRules
from libs.trading.market import NS_PER_SECOND, Provenance, Quote, Side
from libs.trading.orders import Origin
from libs.trading.scoring import LabelKind, Scope
from libs.trading.sizing import price_of


class TradingState(IntEnum):
    ACTIVE = 1
    REDUCING = 2  # exits only
    HALTED = 3  # nothing but what the operator or a risk rule does itself


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule said. `rule` is its stable name; `detail` has the figure and the limit."""

    rule: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Approved:
    rules: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """Our refusal. `code` is the first failing rule in capitals, `reason` its detail."""

    code: str
    reason: str
    rules: tuple[RuleResult, ...] = ()


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Ages in ns, notionals in quote units, spreads and collars in basis points, losses as fractions of equity."""

    max_vector_age_ns: int = 2 * NS_PER_SECOND
    max_prediction_age_ns: int = NS_PER_SECOND
    max_order_notional: Decimal = Decimal(50_000)
    collar_bps: Decimal = Decimal(10)
    max_orders_per_second: int = 10
    max_orders_per_minute: int = 100
    max_open_orders: int = 5
    max_position_share: Decimal = Decimal("0.2")
    max_total_notional: Decimal = Decimal(500_000)
    max_spread_bps: float = 10.0
    halve_at_drawdown: float = 0.05
    stop_at_drawdown: float = 0.10
    halt_at_drawdown: float = 0.20
    max_daily_loss: float = 0.05
    label_kinds: frozenset[LabelKind] = frozenset({LabelKind.DIRECTION})


@dataclass(frozen=True, slots=True)
class ModelStanding:
    """What the signed verdicts say about the bundle behind a prediction. `known` False: no verdict was found."""

    known: bool
    integrity: bool
    evidence: Scope
    provenance: Provenance | None
    detail: str


@dataclass(frozen=True, slots=True)
class Signal:
    """What a prediction brings to its rules. Ages in ns at the decision; negative: from the future."""

    vector_age: int
    prediction_age: int
    label_kind: LabelKind
    standing: ModelStanding
    provenance: Provenance
    exploring: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order as it would be sent."""

    instrument: str
    side: Side
    quantity: Decimal
    price: Decimal
    reduce_only: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Exposure:
    """The account as the rules see it. Quantities are base units; `pending` is the signed sum that open orders may add.

    `other_notional` is what all other instruments hold and may add, in quote units, never negative.
    `equity`, `peak_equity`, `day_equity` are None until the opening balance is known: nothing opens without it.
    """

    state: TradingState
    scope: Scope
    position: Decimal
    pending: Decimal
    in_flight: int
    open_orders: int
    sent_last_second: int
    sent_last_minute: int
    other_notional: Decimal
    equity: Decimal | None
    peak_equity: Decimal | None
    day_equity: Decimal | None
    paused_until: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a rule may look at. `signal` is None for orders that no prediction asked for; `now` is wall ns."""

    proposal: Proposal
    exposure: Exposure
    limits: RiskLimits
    instrument: InstrumentRules
    quote: Quote | None
    signal: Signal | None
    now: int

    @property
    def entry(self) -> bool:
        """Whether the order can make the position greater; only reduce-only orders cannot."""
        return not self.proposal.reduce_only


Rule = Callable[[Case], RuleResult | None]  # None: the rule has nothing to say about this order


def trading_state(case: Case) -> RuleResult:
    state = case.exposure.state
    own = case.proposal.origin is Origin.RISK and case.proposal.reduce_only
    passed = own or state is TradingState.ACTIVE or (state is TradingState.REDUCING and not case.entry)
    return RuleResult("trading_state", passed, f"{state.name}, {'an entry' if case.entry else 'an exit'}")


def label_kind(case: Case) -> RuleResult | None:
    if case.signal is None:
        return None
    kind = case.signal.label_kind
    accepted = ", ".join(sorted(one.name for one in case.limits.label_kinds))
    return RuleResult("label_kind", kind in case.limits.label_kinds, f"{kind.name}, accepted: {accepted}")


def stale_vector(case: Case) -> RuleResult | None:
    if case.signal is None:
        return None
    return _age("stale_vector", case.signal.vector_age, case.limits.max_vector_age_ns)


def stale_prediction(case: Case) -> RuleResult | None:
    if case.signal is None:
        return None
    return _age("stale_prediction", case.signal.prediction_age, case.limits.max_prediction_age_ns)


def _age(rule: str, age: int, limit: int) -> RuleResult:
    passed = -limit <= age <= limit
    return RuleResult(rule, passed, f"{age / 1e6:.1f} ms old, at most {limit / 1e6:.0f} ms")


def integrity(case: Case) -> RuleResult | None:
    if case.signal is None or not case.entry:
        return None
    standing = case.signal.standing
    return RuleResult("integrity", standing.known and standing.integrity, standing.detail)


def evidence(case: Case) -> RuleResult | None:
    """The model's signed evidence against the account's scope; exploring needs none, and never touches LIVE."""
    if case.signal is None or not case.entry:
        return None
    scope, standing = case.exposure.scope, case.signal.standing
    if case.signal.exploring:
        return RuleResult("evidence", scope is not Scope.LIVE, f"exploring in a {scope.name} account")
    passed = standing.known and standing.evidence is not Scope.NONE and standing.evidence >= scope
    return RuleResult("evidence", passed, f"evidence {standing.evidence.name}, the account needs {scope.name}")


def model_provenance(case: Case) -> RuleResult | None:
    """A model made from simulated data acts in simulated sessions only, whatever its alias and the account."""
    if case.signal is None or not case.entry:
        return None
    made_from, session = case.signal.standing.provenance, case.signal.provenance
    passed = made_from is not None and not (made_from is Provenance.SIMULATED and session is not Provenance.SIMULATED)
    name = made_from.name if made_from is not None else "unknown"
    return RuleResult("model_provenance", passed, f"a model made from {name} data in a {session.name} session")


def quote_present(case: Case) -> RuleResult:
    quote = case.quote
    passed = quote is not None and 0.0 < quote.bid < quote.ask
    return RuleResult("quote", passed, "no quote" if quote is None else f"bid {quote.bid}, ask {quote.ask}")


def spread(case: Case) -> RuleResult | None:
    if case.quote is None or not case.entry:
        return None
    bps = (case.quote.ask - case.quote.bid) / case.quote.mid * 1e4
    limit = case.limits.max_spread_bps
    return RuleResult("spread", bps <= limit, f"{bps:.2f} bps, at most {limit}")


def order_form(case: Case) -> RuleResult:
    proposal = case.proposal
    wrong = case.instrument.violations(proposal.price, proposal.quantity, reduce_only=proposal.reduce_only)
    return RuleResult("order_form", not wrong, "; ".join(wrong) or "tick, lot and smallest sizes fit")


def price_collar(case: Case) -> RuleResult | None:
    """The limit lies no further beyond the touch on the other side than the collar."""
    if case.quote is None:
        return None
    buy = case.proposal.side is Side.BUY
    touch = price_of(case.quote.ask if buy else case.quote.bid)
    beyond = (case.proposal.price / touch - 1) * 10_000 * (1 if buy else -1)
    limit = case.limits.collar_bps
    return RuleResult("price_collar", beyond <= limit, f"{beyond:.2f} bps beyond the touch, at most {limit}")


def order_notional(case: Case) -> RuleResult | None:
    if not case.entry:
        return None
    notional = case.proposal.quantity * case.proposal.price
    limit = case.limits.max_order_notional
    return RuleResult("order_notional", notional <= limit, f"{notional:.2f}, at most {limit}")


def order_rate(case: Case) -> RuleResult | None:
    if case.proposal.origin is Origin.RISK:
        return None
    second, minute, limits = case.exposure.sent_last_second, case.exposure.sent_last_minute, case.limits
    passed = second < limits.max_orders_per_second and minute < limits.max_orders_per_minute
    of_second, of_minute = limits.max_orders_per_second, limits.max_orders_per_minute
    return RuleResult("order_rate", passed, f"{second} of {of_second} a second, {minute} of {of_minute} a minute")


def venue_pause(case: Case) -> RuleResult:
    until = case.exposure.paused_until
    passed = until is None or case.now >= until
    return RuleResult("venue_pause", passed, "none" if until is None else f"the venue takes orders again at {until}")


def order_in_flight(case: Case) -> RuleResult | None:
    """A prediction acts only on a position that is known: not while an order of this instrument has no end yet."""
    if case.signal is None:
        return None
    return RuleResult("order_in_flight", case.exposure.in_flight == 0, f"{case.exposure.in_flight} without an end")


def open_orders(case: Case) -> RuleResult | None:
    if not case.entry:
        return None
    count, limit = case.exposure.open_orders, case.limits.max_open_orders
    return RuleResult("open_orders", count < limit, f"{count} open in {case.proposal.instrument}, fewer than {limit}")


def balance_known(case: Case) -> RuleResult | None:
    if not case.entry:
        return None
    equity = case.exposure.equity
    detail = "the opening balance is not known" if equity is None else f"equity {equity:.2f}"
    return RuleResult("balance", equity is not None and equity > 0, detail)


def position_limit(case: Case) -> RuleResult | None:
    """The instrument's position, if everything open were filled, as a share of equity."""
    if not case.entry or case.exposure.equity is None:
        return None
    after = _position_after(case) * case.proposal.price
    limit = case.limits.max_position_share * case.exposure.equity
    return RuleResult("position_limit", after <= limit, f"{after:.2f} after it, at most {limit:.2f}")


def total_limit(case: Case) -> RuleResult | None:
    if not case.entry:
        return None
    after = case.exposure.other_notional + _position_after(case) * case.proposal.price
    limit = case.limits.max_total_notional
    return RuleResult("total_limit", after <= limit, f"{after:.2f} in all after it, at most {limit}")


def _position_after(case: Case) -> Decimal:
    """Base units, unsigned, in the worse case for the side: pending orders of the other side are not counted."""
    buy = case.proposal.side is Side.BUY
    towards = max(case.exposure.pending, Decimal(0)) if buy else max(-case.exposure.pending, Decimal(0))
    held = case.exposure.position if buy else -case.exposure.position
    return abs(held + towards + case.proposal.quantity)


def drawdown(case: Case) -> RuleResult | None:
    if not case.entry or case.exposure.equity is None or case.exposure.peak_equity is None:
        return None
    down, limit = drawdown_of(case.exposure.equity, case.exposure.peak_equity), case.limits.stop_at_drawdown
    return RuleResult("drawdown", down < limit, f"{down:.4f} of the peak, entries stop at {limit}")


def daily_loss(case: Case) -> RuleResult | None:
    if not case.entry or case.exposure.equity is None or case.exposure.day_equity is None:
        return None
    loss, limit = drawdown_of(case.exposure.equity, case.exposure.day_equity), case.limits.max_daily_loss
    return RuleResult("daily_loss", loss < limit, f"{loss:.4f} of the day's opening equity, entries stop at {limit}")


def drawdown_of(equity: Decimal, peak: Decimal) -> float:
    """How far equity lies under the peak, as a fraction of it; 0 above it, 1 when the peak is not positive."""
    if peak <= 0:
        return 1.0
    return max(0.0, float((peak - equity) / peak))


RULES: tuple[Rule, ...] = (
    trading_state,
    label_kind,
    stale_vector,
    stale_prediction,
    integrity,
    evidence,
    model_provenance,
    quote_present,
    venue_pause,
    order_in_flight,
    spread,
    order_form,
    price_collar,
    order_notional,
    order_rate,
    open_orders,
    balance_known,
    position_limit,
    total_limit,
    drawdown,
    daily_loss,
)


def assess(case: Case, rules: Sequence[Rule] = RULES) -> Approved | Denied:
    """Ask every rule; the first that fails names the refusal, the answers of all of them are kept."""
    results = tuple(result for rule in rules if (result := rule(case)) is not None)
    failed = next((result for result in results if not result.passed), None)
    if failed is None:
        return Approved(results)
    return Denied(failed.rule.upper(), failed.detail, results)
