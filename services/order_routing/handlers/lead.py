"""The life of one router process: waits for its turn, leads for a term, tends, publishes, steps down, and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from libs.trading.instrument import InstrumentRules
from libs.trading.risk import TradingState
from services.order_routing.domain import InputAt, Policy
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.publish import Outbox
from services.order_routing.handlers.router import Router, World
from services.order_routing.ports import (
    Announcement,
    JournalAway,
    Keep,
    Lease,
    LeaseLost,
    News,
    Publisher,
    TopicUnavailable,
    VenueUnavailable,
)

SECOND = 1_000_000_000
WAIT_S = 0.25
RETRY_S = 1.0
TURN_S = 0.05
PUBLISH_S = 0.02
ORDER_FIRST_S = 0.004  # what was just committed may have an order that is leaving: telling of it can wait
CHECK_EVERY = 60  # rounds of tending between two looks at what the journal says is open and held
OFFSET_EVERY = 10
DAY = 86_400 * SECOND
PRUNE_EVERY = 600 * SECOND  # after a round that found nothing to remove


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
    keep: Keep = field(default_factory=lambda: Keep(events=7 * DAY, decisions=90 * DAY))


@dataclass(frozen=True, slots=True)
class Term:
    """One holding of the lease. `over` is set when it ends, for whatever reason: then its router never acts again."""

    router: Router
    over: threading.Event


class NotLeading(Exception):
    """This process does not act for the account (yet); the message says what it waits for."""


class Leadership:
    """Runs as tasks: `lead`, `keep_lease`, `tend`, `publish`, and others by `each_term`.

    A term ends when the lease is lost or the journal goes away. Its router is thrown away with it, because nobody knows
    whether the last entry was written; the next term reads everything anew, after what was sent can be heard no more.
    """

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
        self._term: Term | None = None
        self._acting = threading.Event()
        self._waits_for = "the lease"
        self._lock = threading.Lock()
        self._symbols: dict[str, str] = {}
        self._prune_at = 0

    # --- asked by others

    def is_acting(self) -> bool:
        """Also false when the lease could not be renewed in time: nothing is sent then."""
        lease = self._lease
        return self._acting.is_set() and lease is not None and self._world.clock() < lease.expires

    def router(self) -> Router:
        """Raises NotLeading."""
        term = self._term
        if term is None or not self._acting.is_set():
            raise NotLeading(f"waiting for {self._waits_for}")
        return term.router

    def acting(self, stop: threading.Event) -> Router | None:
        """Wait for a router that may act; None when stopped before."""
        term = self._acting_term(stop)
        return None if term is None else term.router

    def each_term(self, stop: threading.Event, act: Callable[[threading.Event, Router], None]) -> None:
        """Act in every term until stopped; `act` is given the event that ends the term and returns when it is set."""
        while (term := self._acting_term(stop)) is not None:
            try:
                act(term.over, term.router)
            except (JournalAway, LeaseLost, NotLeading) as problem:
                self._step_down(term, problem)

    def symbols(self) -> dict[str, str]:
        """Instruments by the venue's symbols; empty until they are known."""
        return self._symbols

    # --- tasks

    def lead(self, stop: threading.Event) -> None:
        """Term after term: get the lease, let the holder before fall silent, reconcile, let the others act."""
        try:
            while not stop.is_set():
                self._take(stop)
                try:
                    self._serve(stop)
                except (JournalAway, LeaseLost) as problem:
                    self._step_down(self._term, problem)
        finally:
            if self._term is not None:
                self._term.over.set()

    def _serve(self, stop: threading.Event) -> None:
        """From the lease to the end of the term."""
        instruments = self._until(stop, "the venue's instruments", self._instruments)
        if instruments is None:
            return
        self._symbols = {rules.symbol: name for name, rules in instruments.items()}
        with self._lock:
            if self._lease is None:
                return
            router = Router(self._world, self._lease, self._course.policy, self._course.patience, instruments)
            term = self._term = Term(router, threading.Event())
        self._waits_for = "the receive window of the holder before"
        while self._world.clock() < router.may_act_at() and not stop.wait(0.05):
            pass
        if self._until(stop, "the first reconciliation", lambda: self._begin(router)) is None:
            return
        with self._lock:
            if term.over.is_set():
                return
            self._acting.set()
        self._note("leading", f"epoch {router.account.lease.epoch}, {router.account.state.name}")
        while not stop.wait(TURN_S) and not term.over.is_set():
            if router.account.ended is not None:  # an rpc met it, which only answers its caller
                raise router.account.ended

    def keep_lease(self, stop: threading.Event) -> None:
        """Renew at a third of the lease, also before the first reconciliation."""
        while not stop.wait(self._course.lease / SECOND / 3):
            term = self._term
            try:
                self._renew()
            except (JournalAway, LeaseLost) as problem:
                self._step_down(term, problem)

    def _renew(self) -> None:
        with self._lock:
            if self._lease is None:
                return
            self._lease = self._world.journal.renew(self._lease, self._world.clock(), self._course.lease)
            if self._term is not None:
                self._term.router.account.renew(self._lease)

    def tend(self, stop: threading.Event) -> None:
        """Doubts, reconciliation, old sessions and flattening, round after round; waits for a venue that is away."""
        self.each_term(stop, self._tend)

    def _tend(self, over: threading.Event, router: Router) -> None:
        rounds, away = 0, ""
        while not over.wait(self._pause(router)):
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
            self._prune(router)
            if rounds % OFFSET_EVERY == 0:  # decisions are written whether the venue is there or not
                self._world.journal.tidy()

    def _prune(self, router: Router) -> None:
        """One batch a round while there is something to remove, so that no decision waits long behind it."""
        now = self._world.clock()
        if now >= self._prune_at and not self._world.journal.prune(router.account.lease, self._course.keep, now):
            self._prune_at = now + PRUNE_EVERY

    def publish(self, stop: threading.Event) -> None:
        self.each_term(stop, self._publish)

    def _publish(self, over: threading.Event, router: Router) -> None:
        outbox = Outbox(router.account, self._publisher)
        told = ""
        while not over.is_set():
            try:
                idle = not outbox.publish()
                told = ""
            except TopicUnavailable as problem:
                if not told:
                    self._note("the outbox waits for its topic", str(problem))
                told = str(problem)
                over.wait(1.0)
                continue
            if idle:
                with router.account.changed:
                    changed = router.account.changed.wait(PUBLISH_S)
                if changed:
                    over.wait(ORDER_FIRST_S)

    def news(self, news: News) -> None:
        """What the private stream says; before this process acts, reconciliation will ask for it."""
        term = self._term
        if not self._acting.is_set() or term is None:
            return
        try:
            term.router.reconciliation.news(news)
        except VenueUnavailable as problem:
            self._note("catching up waits for the next round", str(problem))
        except (JournalAway, LeaseLost) as problem:
            self._step_down(term, problem)

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
            # It ran out while this process ended and another holds it, or it will run out by itself.
            with suppress(LeaseLost, JournalAway):
                self._world.journal.release(lease, self._world.clock())

    # --- inside

    def _acting_term(self, stop: threading.Event) -> Term | None:
        while not stop.is_set():
            if self._acting.wait(WAIT_S) and (term := self._term) is not None and not term.over.is_set():
                return term
        return None

    def _step_down(self, term: Term | None, why: Exception) -> None:
        """End the term, once: nothing of it writes or sends from here on."""
        with self._lock:
            if term is not self._term or (term is None and self._lease is None):
                return  # it ended already
            self._acting.clear()
            self._waits_for = "the journal" if isinstance(why, JournalAway) else "the lease"
            self._lease = self._term = None
            if term is not None:
                term.router.account.end(why)
                term.over.set()
        self._world.observer.leads(False)
        self._note("stepping down", str(why))
        if isinstance(why, JournalAway):
            self._world.alerts.alert("JOURNAL_AWAY", f"nothing is decided or sent: {why}", critical=True)

    def _take(self, stop: threading.Event) -> None:
        """Wait for a journal that answers, then for the lease; ends the process at a journal that must not be used."""
        told = ""
        while not stop.is_set():
            try:
                if self._take_now():
                    return
                waits, why = "the lease", f"another router holds account {self._course.policy.account}"
            except JournalAway as problem:
                waits, why = "the journal", str(problem)
            self._waits_for = waits
            if why != told:
                self._note(f"waiting for {waits}", why)
                told = why
            stop.wait(WAIT_S if waits == "the lease" else RETRY_S)

    def _take_now(self) -> bool:
        journal, clock = self._world.journal, self._world.clock
        journal.check()
        lease = journal.acquire(self._course.policy.account, self._course.holder, clock(), self._course.lease)
        if lease is not None:
            with self._lock:
                self._lease = lease
            self._world.observer.leads(True)
        return lease is not None

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
