"""One account's router: brings the journal up to the venue, then acts; the start path is the recovery path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.trading.instrument import InstrumentRules
from services.order_routing.domain import Policy
from services.order_routing.handlers.account import Account
from services.order_routing.handlers.doubt import Doubts, Patience
from services.order_routing.handlers.operate import Operations
from services.order_routing.handlers.predictions import Predictions
from services.order_routing.handlers.reconcile import Reconciliation
from services.order_routing.handlers.sending import Sender
from services.order_routing.ports import Alerts, Clock, Journal, Lease, Observer, Standings, Venue


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside that a router is given."""

    journal: Journal
    venue: Venue
    standings: Standings
    alerts: Alerts
    observer: Observer
    clock: Clock


class Router:
    """Everything that acts for one account, under one lease. Built from the journal; the lease must be held."""

    def __init__(
        self,
        world: World,
        lease: Lease,
        policy: Policy,
        patience: Patience,
        instruments: Mapping[str, InstrumentRules],
    ) -> None:
        self._world = world
        self._patience = patience
        self.instruments = instruments
        window = policy.explore.window if policy.explore is not None else 1
        stored = world.journal.load(policy.account, world.clock(), window)
        self.account = Account(world.journal, lease, stored, policy, world.clock, world.alerts, world.observer)
        self.sender = Sender(self.account, world.venue, instruments)
        self.predictions = Predictions(self.account, self.sender, world.standings, instruments, world.observer)
        self.doubts = Doubts(self.account, world.venue, self.sender, instruments, patience)
        self.reconciliation = Reconciliation(self.account, world.venue, self.sender, instruments)
        self.operations = Operations(self.account, world.venue, self.sender, instruments)

    def may_act_at(self) -> int:
        """Wall ns from which no request of the holder before can be accepted by the venue any more."""
        quiet = self.account.lease.quiet_from
        return quiet + self._patience.receive_window if quiet else 0

    def begin(self) -> None:
        """Bring the journal up to the venue once. Raises VenueUnavailable; may be called again."""
        account, world = self.account, self._world
        self.doubts.recover()
        if account.balances is None:
            account.open_balances(world.venue.balance(), world.clock())
        self.reconciliation.cycle()
        self.doubts.resolve()
        account.began = world.clock()

    def tend(self) -> None:
        """One round of what goes on for ever: doubts, reconciliation, and flattening while it is due."""
        self.doubts.resolve()
        self.reconciliation.cycle()
        self.operations.flatten_if_due()
