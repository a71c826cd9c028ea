"""What an operator or a client asks of the router: orders by hand, cancels, the trading state, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from libs.trading.decisions import Decision
from libs.trading.instrument import InstrumentRules
from libs.trading.market import Quote, Side
from libs.trading.orders import Fill, Order, OrderState, Origin, TimeInForce, namespace_tag
from libs.trading.risk import Case, Denied, Proposal, RuleResult, TradingState, assess, drawdown_of
from libs.trading.sizing import collared_limit
from services.order_routing.domain import MANUAL
from services.order_routing.handlers.account import Account
from services.order_routing.handlers.sending import Sender
from services.order_routing.ports import Venue

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,36}")
FLATTEN = "flatten"
FIRST_WAIT, LONGEST_WAIT = 500_000_000, 60_000_000_000  # ns between two attempts to flatten, doubling


class InvalidRequest(Exception):
    """A request that means nothing; `violations` maps a field to what is wrong with it."""

    def __init__(self, violations: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations.items()))
        self.violations = dict(violations)


class NotFound(Exception):
    """An order, a decision or an instrument that is not here."""


class DifferentContent(Exception):
    """The client order id was used before for another order."""


@dataclass(frozen=True, slots=True)
class OrderWish:
    """An order as a client asks for it."""

    client_order_id: str
    instrument: str
    side: Side
    price: Decimal
    quantity: Decimal
    time_in_force: TimeInForce
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class RiskState:
    """The trading state and what each rule would say now to the smallest entry; drawdown is a fraction of the peak."""

    state: TradingState
    reason: str
    equity: Decimal | None
    peak: Decimal | None
    drawdown: float
    rules: tuple[RuleResult, ...]
    epoch: int
    lease_held: bool


class Operations:
    """The rpcs' data plane, free of any wire format."""

    def __init__(
        self,
        account: Account,
        venue: Venue,
        sender: Sender,
        instruments: Mapping[str, InstrumentRules],
    ) -> None:
        self._account = account
        self._venue = venue
        self._sender = sender
        self._instruments = instruments
        self._flatten_after, self._wait = 0, FIRST_WAIT

    # --- orders

    def submit(self, wish: OrderWish) -> Order | Denied:
        """The order after the venue's answer, or why it was refused. The same wish twice is one order.

        Raises InvalidRequest, NotFound (instrument), DifferentContent, VenueUnavailable (no quote), LeaseLost.
        """
        _check(wish)
        rules = self._rules(wish.instrument)
        known = self._known(wish)
        if known is not None:
            return known
        quote = self._venue.quote(rules)
        account = self._account
        with account.lock:
            known = self._known(wish)
            if known is not None:
                return known
            now = account.clock()
            proposal = Proposal(wish.instrument, wish.side, wish.quantity, wish.price, wish.reduce_only, Origin.MANUAL)
            exposure = account.exposure(wish.instrument, now)
            verdict = assess(Case(proposal, exposure, account.policy.limits, rules, quote, None, now))
            if isinstance(verdict, Denied):
                return verdict
            order = self._order(wish, now)
            account.record_order(order)
        return self._sender.send(order)

    def cancel(self, client_order_id: str) -> Order:
        """Ask for the cancel of a live order. Raises NotFound; a terminal order is returned as it is."""
        order = self.order(client_order_id)[0]
        return order if order.terminal else self._sender.cancel(order, "asked for")

    def order(self, client_order_id: str) -> tuple[Order, tuple[Fill, ...]]:
        """Raises NotFound."""
        account = self._account
        order = account.journal.order(account.policy.account, client_order_id)
        if order is None:
            raise NotFound(f"no order {client_order_id}")
        return order, account.journal.fills(account.policy.account, client_order_id)

    def _known(self, wish: OrderWish) -> Order | None:
        account = self._account
        order = account.journal.order(account.policy.account, wish.client_order_id)
        if order is None:
            return None
        if (order.instrument, order.side, order.price, order.quantity, order.time_in_force, order.reduce_only) != (
            wish.instrument,
            wish.side,
            wish.price,
            wish.quantity,
            wish.time_in_force,
            wish.reduce_only,
        ):
            raise DifferentContent(f"{wish.client_order_id} is another order: {order.side.name} {order.quantity}")
        return order

    def _order(self, wish: OrderWish, now: int) -> Order:
        mark = self._account.marks.get(wish.instrument)
        return Order(
            client_order_id=wish.client_order_id,
            account=self._account.policy.account,
            instrument=wish.instrument,
            side=wish.side,
            price=wish.price,
            quantity=wish.quantity,
            time_in_force=wish.time_in_force,
            reduce_only=wish.reduce_only,
            origin=Origin.MANUAL,
            recorded_time=now,
            updated_time=now,
            strategy=MANUAL,
            session=mark.session if mark is not None else "",
        )

    def _rules(self, instrument: str) -> InstrumentRules:
        rules = self._instruments.get(instrument)
        if rules is None:
            raise NotFound(f"{instrument or '(empty)'} is not traded by this account")
        return rules

    # --- the trading state

    def set_state(self, state: TradingState, by: str, reason: str) -> TradingState:
        """Latch a state. HALTED is the kill switch: latch, then cancel everything; `tend` sees to the rest."""
        violations = {
            name: "must say who or why" for name, value in (("by", by), ("reason", reason)) if not value.strip()
        }
        if violations:
            raise InvalidRequest(violations)
        self._account.set_state(state, by.strip(), reason.strip())
        if state is TradingState.HALTED:
            self.cancel_everything(f"halted by {by}: {reason}")
        return self._account.state

    def cancel_everything(self, reason: str) -> None:
        """Cancel all open orders at the venue, then each one of ours. Best effort: `flatten_if_due` does it again."""
        account = self._account
        for rules in self._instruments.values():
            account.fence(account.clock())
            self._venue.cancel_all(rules, account.clock())
        with account.lock:
            live = [order for order in account.live.values() if order.venue_order_id]
        for order in live:
            self._sender.cancel(order, reason)

    def halt_without_input(self, dead_man: int, sessions: Mapping[str, str]) -> None:
        """The dead man's switch: halt when something is held or open and no prediction came for `dead_man` ns (0: off).

        Before the first prediction the time counts from the router's start. Not when the venue says that the session of
        the last prediction, or before it of all that is held and open, is over: then nobody is expected to predict.
        """
        account = self._account
        with account.lock:
            last, exposed = account.last_input, self._exposed()
        if not exposed or not dead_man or account.state is TradingState.HALTED:
            return
        if last is not None:
            exposed = {(last[1], last[2])}
        over = bool(sessions) and all(session and sessions.get(name) != session for name, session in exposed)
        silent = account.clock() - (account.began if last is None else last[0])
        if not over and silent > dead_man:
            account.set_state(TradingState.HALTED, "dead man's switch", f"no prediction for {silent / 1e9:.0f} s")

    def _exposed(self) -> set[tuple[str, str]]:
        """(instrument, session) of everything held or open; an empty session where it is not known."""
        held = [one for one in self._account.held.values() if one.position.quantity]
        return {(order.instrument, order.session) for order in self._account.live.values()} | {
            (one.position.instrument, "" if one.opening is None else one.opening.session) for one in held
        }

    def flatten_if_due(self) -> None:
        """While halted: cancel what is still open and, where the policy says so, sell off what is held.

        After a halt for a difference with the venue nothing is sold: what is held is not known for sure.
        """
        account = self._account
        if account.state is not TradingState.HALTED:
            self._flatten_after, self._wait = 0, FIRST_WAIT
            return
        with account.lock:
            live = list(account.live.values())
        for order in live:
            if (
                order.state not in {OrderState.CANCEL_PENDING, OrderState.RECORDED, OrderState.SENT}
                and order.venue_order_id
            ):
                self._sender.cancel(order, "halted")
        if not account.policy.flatten_on_halt or account.state_by == "reconciliation":
            return
        for name, rules in self._instruments.items():
            if not any(order.instrument == name for order in live):
                self._flatten(rules)

    def _flatten(self, rules: InstrumentRules) -> None:
        account = self._account
        if not rules.lots_down(abs(account.holding(rules.instrument).position.quantity)):
            return
        if account.clock() < self._flatten_after:
            return
        quote = self._venue.quote(rules)
        with account.lock:
            order = self._exit(rules, quote)
            if order is None:
                return
            account.record_order(order)
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._flatten_after = account.clock() + self._wait
        self._sender.send(order)

    def _exit(self, rules: InstrumentRules, quote: Quote) -> Order | None:
        account = self._account
        held = account.holding(rules.instrument).position.quantity
        quantity = rules.lots_down(abs(held))
        busy = any(order.instrument == rules.instrument for order in account.live.values())
        if not quantity or busy or account.state is not TradingState.HALTED:
            return None
        side = Side.SELL if held > 0 else Side.BUY
        now = account.clock()
        tag = namespace_tag(account.policy.account, account.policy.namespace)
        return Order(
            client_order_id=f"{tag}-{account.sequence + 1:x}-{now // 1_000_000:x}",
            account=account.policy.account,
            instrument=rules.instrument,
            side=side,
            price=collared_limit(quote, side, account.policy.limits.collar_bps, rules),
            quantity=quantity,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            origin=Origin.RISK,
            recorded_time=now,
            updated_time=now,
            strategy=FLATTEN,
            reason="flattened: halted",
        )

    def risk_state(self) -> RiskState:
        account = self._account
        with account.lock:
            now = account.clock()
            worth = account.equity()
            peak = account.balances.peak if account.balances is not None else None
            down = drawdown_of(worth, peak) if worth is not None and peak is not None else 0.0
            rules = tuple(result for name in self._instruments for result in self._would_say(name, now))
            held = now < account.lease.expires
            return RiskState(account.state, account.state_reason, worth, peak, down, rules, account.lease.epoch, held)

    def _would_say(self, name: str, now: int) -> tuple[RuleResult, ...]:
        """What the rules would say to the smallest buy of an instrument at its last mark."""
        account, rules, mark = self._account, self._instruments[name], self._account.marks.get(name)
        if mark is None:
            return (RuleResult("quote", False, f"no quote of {name} yet"),)
        price = collared_limit(mark.quote, Side.BUY, account.policy.limits.collar_bps, rules)
        quantity = max(rules.lots_up(rules.min_quantity), rules.lots_up(rules.min_notional / price))
        proposal = Proposal(name, Side.BUY, quantity, price, False, Origin.MANUAL)
        exposure = account.exposure(name, now)
        return assess(Case(proposal, exposure, account.policy.limits, rules, mark.quote, None, now)).rules

    # --- why

    def explain(
        self, *, decision_key: str = "", prediction_id: str = "", client_order_id: str = ""
    ) -> tuple[Decision, tuple[Order, ...], tuple[Fill, ...]]:
        """The stored decision, its orders and their fills. Raises NotFound."""
        journal, name = self._account.journal, self._account.policy.account
        if client_order_id:
            decision_key = self.order(client_order_id)[0].decision_key
        found = (
            journal.decision_of_prediction(name, prediction_id)
            if prediction_id
            else journal.decision(name, decision_key)
        )
        if found is None:
            raise NotFound(f"no decision for {prediction_id or client_order_id or decision_key or '(nothing)'}")
        orders = journal.orders_of_decision(name, found.decision_key)
        fills = tuple(fill for order in orders for fill in journal.fills(name, order.client_order_id))
        return found, orders, fills


def _check(wish: OrderWish) -> None:
    violations = {}
    if not ID_PATTERN.fullmatch(wish.client_order_id):
        violations["client_order_id"] = "1 to 36 characters of [A-Za-z0-9_-]"
    for name, value in (("price", wish.price), ("quantity", wish.quantity)):
        if not value.is_finite() or value <= 0:
            violations[name] = f"{value} is not greater than 0"
    if violations:
        raise InvalidRequest(violations)
