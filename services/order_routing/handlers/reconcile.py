"""Keeps the journal equal to the venue: open orders, executions and positions, at start and ever after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from libs.trading.instrument import InstrumentRules
from libs.trading.orders import Fill, Filled, Order, Origin, namespace_tag
from libs.trading.portfolio import signed
from services.order_routing.handlers.account import Account
from services.order_routing.handlers.sending import Sender
from services.order_routing.ports import FillNews, News, OrderNews, Standing, StreamBack, Venue, VenueOrder


class Reconciliation:
    """The venue is the truth; what differs is adopted, or halts the account, and is told."""

    def __init__(
        self, account: Account, venue: Venue, sender: Sender, instruments: Mapping[str, InstrumentRules]
    ) -> None:
        self._account = account
        self._venue = venue
        self._sender = sender
        self._instruments = instruments
        self._differs: dict[str, Decimal] = {}
        self._told: set[str] = set()
        self._checked = Standing(account.sequence, (), tuple(account.held.values()))  # the start read everything

    def cycle(self) -> None:
        """One comparison. Raises VenueUnavailable when the venue is away, ValueError never."""
        for rules in self._instruments.values():
            for listed in self._venue.open_orders(rules):
                self._listed(listed)
            self.catch_up(rules)
            self._compare(rules)

    def catch_up(self, rules: InstrumentRules) -> None:
        """Executions that the stream did not bring."""
        with self._account.lock:
            known = frozenset(self._account.execution_ids)
        for fill in self._venue.executions(rules, known):
            self._fill(fill)

    def cancel_old_sessions(self, current: Mapping[str, str]) -> None:
        """Cancel what is still open from another session than its instrument's current one."""
        with self._account.lock:
            live = list(self._account.live.values())
        for order in live:
            session = current.get(order.instrument)
            if session is not None and order.session and order.session != session and order.venue_order_id:
                self._sender.cancel(order, f"its session {order.session} is over")

    def news(self, news: News) -> None:
        """Apply what the private stream said."""
        match news:
            case OrderNews(client_order_id, report):
                if client_order_id:
                    self._account.apply(client_order_id, [report])
            case FillNews(fill):
                self._fill(fill)
            case StreamBack():
                for rules in self._instruments.values():
                    self.catch_up(rules)

    def _listed(self, listed: VenueOrder) -> None:
        order = listed.details
        if order.client_order_id and self._account.apply(order.client_order_id, [listed.report]) is not None:
            return
        name = order.client_order_id or order.venue_order_id
        if name in self._told:
            return
        self._told.add(name)
        policy = self._account.policy
        if order.client_order_id.startswith(namespace_tag(policy.account, policy.namespace) + "-"):
            adopted = replace(
                order, account=policy.account, origin=Origin.RISK, reason="adopted: the journal lacked it"
            )
            self._account.record_order(adopted)
            self._account.apply(adopted.client_order_id, [listed.report])
            self._account.differ("unknown_order_of_ours", _words(order), halt=False, action="adopted, cancelled")
            self._sender.cancel(adopted, "adopted")
            return
        self._account.differ("foreign_order", _words(order), halt=policy.halt_on_foreign)

    def _fill(self, fill: Fill) -> None:
        with self._account.lock:
            if fill.execution_id in self._account.execution_ids:
                return
            order = self._account.apply(fill.client_order_id, [Filled(fill)]) if fill.client_order_id else None
            if order is not None and fill.execution_id in order.executions:
                return
            self._account.adopt_fill(fill)
            if order is not None:
                return  # its order cannot have it: that was told, and halted
            policy = self._account.policy
            ours = fill.client_order_id.startswith(namespace_tag(policy.account, policy.namespace) + "-")
            kind = "unknown_fill_of_ours" if ours else "foreign_fill"
            detail = f"{fill.execution_id}: {fill.side.name} {fill.quantity} {fill.instrument} at {fill.price}"
            self._account.differ(kind, detail, halt=policy.halt_on_foreign, action="" if not ours else "adopted, halt")

    def _compare(self, rules: InstrumentRules) -> None:
        """A position may differ for a moment, while fills are on their way; twice the same way is a difference."""
        name = rules.instrument
        theirs = self._venue.position(rules)
        with self._account.lock:
            ours = self._account.holding(name).position.quantity
            busy = any(order.instrument == name for order in self._account.live.values())
        if theirs == ours or busy:
            self._differs.pop(name, None)
            return
        if self._differs.get(name) == theirs - ours:
            key = f"{name}:{theirs - ours}"
            if key not in self._told:
                self._told.add(key)
                self._account.differ("position", f"{name}: the venue holds {theirs}, the journal {ours}", halt=True)
            return
        self._differs[name] = theirs - ours

    def check_invariants(self) -> None:
        """Positions and live orders in memory are exactly what the journal's rows add up to, from look to look."""
        account = self._account
        before = account.sequence
        stored = account.journal.standing(account.policy.account, self._checked)
        with account.lock:
            if not before == stored.sequence == account.sequence:
                return  # something was written meanwhile; the next look will do
            self._checked = stored
            theirs = {order.client_order_id: order for order in stored.live_orders}
            for held in stored.held:
                mine = account.holding(held.position.instrument)
                if mine != held:
                    account.differ("invariant", f"memory has {mine}, the journal {held}", halt=True)
            for name in sorted(theirs.keys() | account.live.keys()):
                if account.live.get(name) != theirs.get(name):
                    account.differ("invariant", f"memory and journal differ on {name}", halt=True)


def _words(order: Order) -> str:
    name = order.client_order_id or order.venue_order_id
    return f"{name}: {order.side.name} {signed(order.side, order.quantity)} {order.instrument} at {order.price}"
