"""What goes on while a router acts: doubts, reconciliation, old sessions, flattening, and room in the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.order_routing.handlers.router import Router, World
from services.order_routing.ports import Announcement, Keep, VenueUnavailable

CHECK_EVERY = 60  # rounds between two looks at what the journal says is open and held
OFFSET_EVERY = 10
BUSY_S = 0.2
PRUNE_EVERY = 600_000_000_000  # ns, after a round that found nothing to remove


class Tending:
    """One thread runs it, round after round; a venue that is away is waited for, and told once."""

    def __init__(
        self,
        world: World,
        announcement: Announcement,
        note: Callable[[str, str], None],
        *,
        seconds: float,
        dead_man: int,
        keep: Keep,
    ) -> None:
        """`seconds` between two rounds; `dead_man` in ns (0: none)."""
        self._world = world
        self._announcement = announcement
        self._note = note
        self._seconds, self._dead_man, self._keep = seconds, dead_man, keep
        self._prune_at = 0

    def run(self, over: threading.Event, router: Router) -> None:
        """Until the event is set. Raises JournalAway and LeaseLost."""
        rounds, away = 0, False
        while not over.wait(self._pause(router)):
            rounds += 1
            try:
                self._look_at_the_venue(router, rounds)
                away = False
            except VenueUnavailable as problem:
                if not away:
                    self._note("the venue is away", str(problem))
                away = True
            self._prune(router)
            if rounds % OFFSET_EVERY == 0:  # decisions are written whether the venue is there or not
                self._world.journal.tidy()

    def _look_at_the_venue(self, router: Router, rounds: int) -> None:
        router.tend()
        sessions = self._announcement.sessions()
        router.reconciliation.cancel_old_sessions(sessions)
        router.operations.halt_without_input(self._dead_man, sessions)
        if rounds % OFFSET_EVERY == 0:
            self._world.venue.time_offset()
        if rounds % CHECK_EVERY == 0:
            router.reconciliation.check_invariants()

    def _prune(self, router: Router) -> None:
        """One batch a round while there is something to remove, so that no decision waits long behind it."""
        now = self._world.clock()
        if now >= self._prune_at and not self._world.journal.prune(router.account.lease, self._keep, now).more:
            self._prune_at = now + PRUNE_EVERY

    def _pause(self, router: Router) -> float:
        """Sooner while something has no end yet."""
        return min(self._seconds, BUSY_S) if router.account.live else self._seconds
