"""The life of one router process: waits for its turn, leads for a term, steps down, and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from libs.trading.instrument import InstrumentRules
from services.order_routing.domain import Policy
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.publish import keep_publishing
from services.order_routing.handlers.router import Router, World
from services.order_routing.handlers.tend import Tending
from services.order_routing.handlers.terms import WAIT_S, Term, Terms
from services.order_routing.ports import (
    Announcement,
    JournalAway,
    Keep,
    Lease,
    LeaseLost,
    News,
    Publisher,
    VenueUnavailable,
)

TURN_S = 0.05
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Course:
    """How a process leads. `lease`, `dead_man` in ns (0: none); `instruments` empty: what the venue announces."""

    policy: Policy
    patience: Patience
    holder: str
    lease: int
    instruments: tuple[str, ...]
    tend_seconds: float
    dead_man: int
    keep: Keep


class Leadership:
    """Runs as tasks: `lead`, `terms.keep`, `tend`, `publish`, and others by `terms.each_term`."""

    def __init__(
        self,
        world: World,
        course: Course,
        announcement: Announcement,
        publisher: Publisher,
        note: Callable[[str, str], None],
    ) -> None:
        self.terms = Terms(world, course.policy.account, course.holder, course.lease, note)
        self._world = world
        self._course = course
        self._announcement = announcement
        self._publisher = publisher
        self._note = note
        every, dead_man, keep = course.tend_seconds, course.dead_man, course.keep
        self._tending = Tending(world, announcement, note, seconds=every, dead_man=dead_man, keep=keep)
        self._symbols: dict[str, str] = {}

    def symbols(self) -> dict[str, str]:
        """Instruments by the venue's symbols; empty until they are known."""
        return self._symbols

    # --- tasks

    def lead(self, stop: threading.Event) -> None:
        """Term after term: get the lease, let the holder before fall silent, reconcile, let the others act."""
        try:
            while not stop.is_set():
                self.terms.take(stop)
                self._serve(stop)
        finally:
            self.terms.end()

    def tend(self, stop: threading.Event) -> None:
        self.terms.each_term(stop, self._tending.run)

    def publish(self, stop: threading.Event) -> None:
        def act(over: threading.Event, router: Router) -> None:
            keep_publishing(over, router.account, self._publisher, self._note)

        self.terms.each_term(stop, act)

    def news(self, news: News) -> None:
        """What the private stream says; before this process acts, reconciliation will ask for it."""
        term = self.terms.acting_now()
        if term is None:
            return
        try:
            term.router.reconciliation.news(news)
        except VenueUnavailable as problem:
            self._note("catching up waits for the next round", str(problem))
        except (JournalAway, LeaseLost) as problem:
            self.terms.step_down(term, problem)

    # --- inside

    def _serve(self, stop: threading.Event) -> None:
        """From the lease to the end of the term."""
        term: Term | None = None
        try:
            instruments = self._until(stop, "the venue's instruments", self._instruments)
            if instruments is None:
                return
            self._symbols = {rules.symbol: name for name, rules in instruments.items()}
            term = self.terms.begin(lambda lease: self._router(lease, instruments))
            if term is not None and self._prepare(stop, term):
                self._watch(stop, term)
        except (JournalAway, LeaseLost) as problem:
            self.terms.step_down(term, problem)

    def _router(self, lease: Lease, instruments: dict[str, InstrumentRules]) -> Router:
        return Router(self._world, lease, self._course.policy, self._course.patience, instruments)

    def _prepare(self, stop: threading.Event, term: Term) -> bool:
        """Wait until the holder before can be heard no more, and reconcile once; False when stopped or ended before."""
        self.terms.waits_for = "the receive window of the holder before"
        while self._world.clock() < term.router.may_act_at() and not stop.wait(TURN_S):
            pass
        reconciled = self._until(stop, "the first reconciliation", lambda: self._begin(term), term.over)
        return reconciled is not None

    def _watch(self, stop: threading.Event, term: Term) -> None:
        """Let the others act, and see when one of them met the end of the term."""
        account = term.router.account
        if not self.terms.act(term):
            return
        self._note("leading", f"epoch {account.lease.epoch}, {account.state.name}")
        while not stop.wait(TURN_S) and not term.over.is_set():
            if account.ended is not None:  # an rpc met it, which only answers its caller
                raise account.ended

    def _until(
        self, stop: threading.Event, what: str, ask: Callable[[], T | None], over: threading.Event | None = None
    ) -> T | None:
        """Ask until the venue answers; None when stopped, or when the term is over, before."""
        self.terms.waits_for = what
        told = ""
        while not stop.is_set() and not (over is not None and over.is_set()):
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

    def _begin(self, term: Term) -> bool:
        self._world.venue.time_offset()
        term.router.begin()
        term.router.reconciliation.cancel_old_sessions(self._announcement.sessions())
        return True
