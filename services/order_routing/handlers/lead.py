"""The life of one router process: waits for its turn, leads, keeps the lease, tends, publishes, and gives back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from libs.trading.instrument import InstrumentRules
from libs.trading.risk import TradingState
from services.order_routing.domain import InputAt, Policy
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.publish import Outbox
from services.order_routing.handlers.router import Router, World
from services.order_routing.ports import (
    Announcement,
    Lease,
    LeaseLost,
    News,
    Publisher,
    TopicUnavailable,
    VenueUnavailable,
)

SECOND = 1_000_000_000
WAIT_S = 0.25
PUBLISH_S = 0.02
CHECK_EVERY = 60  # rounds of tending between two looks at what the journal says is open and held
OFFSET_EVERY = 10


@dataclass(frozen=True, slots=True)
class Course:
    """How a process leads. `lease`, `dead_man` in ns (0: none); `instruments` empty: what the venue announces."""

    policy: Policy
    patience: Patience
    holder: str
    lease: int
    instruments: tuple[str, ...]
    tend_seconds: float
    dead_man: int = 0


class NotLeading(Exception):
    """This process does not act for the account (yet); the message says what it waits for."""


class Leadership:
    """Runs as tasks: `lead`, `keep_lease`, `tend`, `publish`. Others wait in `acting` for a router that may act."""

    def __init__(
        self,
        world: World,
        course: Course,
        announcement: Announcement,
        publisher: Publisher,
        note: Callable[[str, str], None],
    ) -> None:
        self._world = world
        self._course = course
        self._announcement = announcement
        self._publisher = publisher
        self._note = note
        self._lease: Lease | None = None
        self._router: Router | None = None
        self._acting = threading.Event()
        self._waits_for = "the lease"
        self._lock = threading.Lock()

    # --- asked by others

    def is_acting(self) -> bool:
        return self._acting.is_set()

    def router(self) -> Router:
        """Raises NotLeading."""
        if self._router is None or not self._acting.is_set():
            raise NotLeading(f"waiting for {self._waits_for}")
        return self._router

    def acting(self, stop: threading.Event) -> Router | None:
        """Wait for a router that may act; None when stopped before."""
        while not stop.is_set():
            if self._acting.wait(WAIT_S) and self._router is not None:
                return self._router
        return None

    def symbols(self) -> dict[str, str]:
        """Instruments by the venue's symbols; empty until they are known."""
        return {} if self._router is None else {rules.symbol: name for name, rules in self._router.instruments.items()}

    # --- tasks

    def lead(self, stop: threading.Event) -> None:
        """Get the lease, wait until the holder before can be heard no more, reconcile, then let the others act."""
        self._take(stop)
        instruments = self._until(stop, "the venue's instruments", self._instruments)
        if instruments is None or self._lease is None:
            return
        with self._lock:
            router = Router(self._world, self._lease, self._course.policy, self._course.patience, instruments)
            self._router = router
        self._waits_for = "the receive window of the holder before"
        while self._world.clock() < router.may_act_at() and not stop.wait(0.05):
            pass
        if self._until(stop, "the first reconciliation", lambda: self._begin(router)) is None:
            return
        self._acting.set()
        self._note("leading", f"epoch {router.account.lease.epoch}, {router.account.state.name}")
        stop.wait()

    def keep_lease(self, stop: threading.Event) -> None:
        """Renew at a third of the lease. Raises LeaseLost, which ends the process before it can send anything."""
        while not stop.wait(self._course.lease / SECOND / 3):
            with self._lock:
                if self._lease is None:
                    continue
                try:
                    self._lease = self._world.journal.renew(self._lease, self._world.clock(), self._course.lease)
                except LeaseLost:
                    self._world.observer.leads(False)
                    raise
                if self._router is not None:
                    self._router.account.renew(self._lease)

    def tend(self, stop: threading.Event) -> None:
        """Doubts, reconciliation, old sessions and flattening, round after round; waits for a venue that is away."""
        router = self.acting(stop)
        rounds, away = 0, ""
        while router is not None and not stop.wait(self._pause(router)):
            rounds += 1
            try:
                router.tend()
                sessions = self._announcement.sessions()
                router.reconciliation.cancel_old_sessions(sessions)
                router.operations.halt_without_input(self._course.dead_man, sessions)
                if rounds % OFFSET_EVERY == 0:
                    self._world.venue.time_offset()
                if rounds % CHECK_EVERY == 0:
                    router.reconciliation.check_invariants()
                away = ""
            except VenueUnavailable as problem:
                if not away:
                    self._note("the venue is away", str(problem))
                away = str(problem)
            if rounds % OFFSET_EVERY == 0:  # decisions are written whether the venue is there or not
                self._world.journal.tidy()

    def publish(self, stop: threading.Event) -> None:
        router = self.acting(stop)
        if router is None:
            return
        outbox = Outbox(router.account, self._publisher)
        told = ""
        while not stop.is_set():
            try:
                idle = not outbox.publish()
                told = ""
            except TopicUnavailable as problem:
                if not told:
                    self._note("the outbox waits for its topic", str(problem))
                told = str(problem)
                stop.wait(1.0)
                continue
            if idle:
                with router.account.changed:
                    router.account.changed.wait(PUBLISH_S)

    def news(self, news: News) -> None:
        """What the private stream says; before this process acts, reconciliation will ask for it."""
        if not self._acting.is_set() or self._router is None:
            return
        try:
            self._router.reconciliation.news(news)
        except VenueUnavailable as problem:
            self._note("catching up waits for the next round", str(problem))

    def poison(self, at: InputAt, why: str) -> None:
        """An input that is no prediction: nothing is skipped in silence, so the account halts until a person looks."""
        account = self.router().account
        if account.state is not TradingState.HALTED:
            where = f"{at.topic}/{at.partition}/{at.offset}"
            account.set_state(TradingState.HALTED, "reconciliation", f"poison at {where}: {why}")
        account.skip(at)

    def give_back(self) -> None:
        """At the end of a clean stop, when nothing is on its way any more: the next holder need not wait."""
        with self._lock:
            lease, self._lease = self._lease, None
            self._acting.clear()
        self._world.observer.leads(False)
        if lease is not None:
            with suppress(LeaseLost):  # it ran out while this process ended, and the next holder is there already
                self._world.journal.release(lease, self._world.clock())

    # --- inside

    def _take(self, stop: threading.Event) -> None:
        policy, told = self._course.policy, False
        while not stop.is_set():
            clock = self._world.clock
            lease = self._world.journal.acquire(policy.account, self._course.holder, clock(), self._course.lease)
            if lease is not None:
                with self._lock:
                    self._lease = lease
                self._world.observer.leads(True)
                return
            if not told:
                self._note("waiting", f"another router holds account {policy.account}")
                told = True
            stop.wait(WAIT_S)

    def _until(
        self, stop: threading.Event, what: str, ask: Callable[[], dict[str, InstrumentRules] | None]
    ) -> dict[str, InstrumentRules] | None:
        self._waits_for = what
        told = ""
        while not stop.is_set():
            try:
                found = ask()
                if found is not None:
                    return found
                reason = "nothing is announced"
            except VenueUnavailable as problem:
                reason = str(problem)
            if reason != told:
                self._note(f"waiting for {what}", reason)
                told = reason
            stop.wait(WAIT_S)
        return None

    def _instruments(self) -> dict[str, InstrumentRules] | None:
        names = self._course.instruments or tuple(self._announcement.sessions())
        found = {}
        for name in names:
            rules = self._world.venue.rules(name)
            if rules is None:
                raise VenueUnavailable(f"the venue does not list {name}")
            found[name] = rules
        return found or None

    def _begin(self, router: Router) -> dict[str, InstrumentRules]:
        self._world.venue.time_offset()
        router.begin()
        router.reconciliation.cancel_old_sessions(self._announcement.sessions())
        return dict(router.instruments)

    def _pause(self, router: Router) -> float:
        """Sooner while something has no end yet."""
        return min(self._course.tend_seconds, 0.2) if router.account.live else self._course.tend_seconds
