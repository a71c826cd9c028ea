"""The lease of one account, and the terms for which this process holds it: taken, kept, ended, given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from services.order_routing.handlers.router import Router, World
from services.order_routing.ports import JournalAway, Lease, LeaseLost

SECOND = 1_000_000_000
WAIT_S = 0.25
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Term:
    """One holding of the lease. `over` is set when it ends, for whatever reason: then its router never acts again."""

    router: Router
    over: threading.Event


class NotLeading(Exception):
    """This process does not act for the account (yet); the message says what it waits for."""


class Terms:
    """Tells every thread whether this process may act, and with which router.

    A term ends when the lease is lost or the journal goes away. Its router is thrown away with it, because nobody knows
    whether the last entry was written; the next term reads everything anew, after what was sent can be heard no more.
    """

    def __init__(
        self, world: World, account: str, holder: str, duration: int, note: Callable[[str, str], None]
    ) -> None:
        """`duration` of the lease in ns."""
        self._world = world
        self._account, self._holder, self._duration = account, holder, duration
        self._note = note
        self._lease: Lease | None = None
        self._term: Term | None = None
        self._acting = threading.Event()
        self._lock = threading.Lock()  # of the three above, and of what the observer is told about them
        self.waits_for = "the lease"

    # --- asked by others

    def is_acting(self) -> bool:
        """Also false when the lease could not be renewed in time: nothing is sent then."""
        lease = self._lease
        return self._acting.is_set() and lease is not None and self._world.clock() < lease.expires

    def router(self) -> Router:
        """Raises NotLeading."""
        term = self.acting_now()
        if term is None:
            raise NotLeading(f"waiting for {self.waits_for}")
        return term.router

    def acting_now(self) -> Term | None:
        term = self._term
        return term if self._acting.is_set() else None

    def acting(self, stop: threading.Event) -> Term | None:
        """Wait for a term in which this process may act; None when stopped before."""
        while not stop.is_set():
            if self._acting.wait(WAIT_S):
                term = self._term
                if term is not None and not term.over.is_set():
                    return term
                stop.wait(WAIT_S)  # the process stops: the term is over, only calls that came before are still answered
        return None

    def each_term(self, stop: threading.Event, act: Callable[[threading.Event, Router], None]) -> None:
        """Act in every term until stopped; `act` is given the event that ends the term and returns when it is set."""
        while (term := self.acting(stop)) is not None:
            try:
                act(term.over, term.router)
            except (JournalAway, LeaseLost) as problem:
                self.step_down(term, problem)

    # --- one after the other, by whoever leads

    def take(self, stop: threading.Event) -> None:
        """Wait for a journal that answers, then for the lease; ends the process at a journal that must not be used."""
        told = ""
        while not stop.is_set():
            try:
                if self._take_now():
                    return
                waits, why = "the lease", f"another router holds account {self._account}"
            except JournalAway as problem:
                waits, why = "the journal", str(problem)
            self.waits_for = waits
            if why != told:
                self._note(f"waiting for {waits}", why)
                told = why
            stop.wait(WAIT_S if waits == "the lease" else RETRY_S)

    def _take_now(self) -> bool:
        journal, clock = self._world.journal, self._world.clock
        journal.check()
        lease = journal.acquire(self._account, self._holder, clock(), self._duration)
        if lease is not None:
            with self._lock:
                self._lease = lease
                self._world.observer.leads(True)
        return lease is not None

    def begin(self, make: Callable[[Lease], Router]) -> Term | None:
        """A term in which nobody acts yet; None when the lease is gone again. Renewing waits until the router is made,
        so that it hears of each."""
        with self._lock:
            if self._lease is None:
                return None
            self._term = Term(make(self._lease), threading.Event())
            return self._term

    def act(self, term: Term) -> bool:
        """From now on tasks act in this term; False when it is over already."""
        with self._lock:
            if term.over.is_set():
                return False
            self._acting.set()
            return True

    # --- at any moment, by any thread

    def keep(self, stop: threading.Event) -> None:
        """Renew at a third of the lease, also before anybody acts."""
        while not stop.wait(self._duration / SECOND / 3):
            term = self._term
            try:
                self._renew()
            except (JournalAway, LeaseLost) as problem:
                self.step_down(term, problem)

    def _renew(self) -> None:
        with self._lock:
            if self._lease is None:
                return
            self._lease = self._world.journal.renew(self._lease, self._world.clock(), self._duration)
            if self._term is not None:
                self._term.router.account.renew(self._lease)

    def step_down(self, term: Term | None, why: Exception) -> None:
        """End the term, once: nothing of it writes or sends from here on. None: a lease whose term did not begin."""
        with self._lock:
            if term is not self._term or (term is None and self._lease is None):
                return  # it ended already
            self._acting.clear()
            self.waits_for = "the journal" if isinstance(why, JournalAway) else "the lease"
            self._lease = self._term = None
            if term is not None:
                term.router.account.end(why)
                term.over.set()
            self._world.observer.leads(False)
        self._note("stepping down", str(why))
        if isinstance(why, JournalAway):
            self._world.alerts.alert("JOURNAL_AWAY", f"nothing is decided or sent: {why}", critical=True)

    def end(self) -> None:
        """At a stop: who acts in a term is told to return. The lease is held until nothing is on its way any more."""
        term = self._term
        if term is not None:
            term.over.set()

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
