"""What a router does while its venue or its journal is away: it goes on, or steps down and begins anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from services.order_routing.domain import InputAt
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.lead import Course, Leadership
from services.order_routing.handlers.router import World
from services.order_routing.handlers.terms import NotLeading, Terms
from services.order_routing.ports import Entry, JournalAway, Keep, Lease, LeaseLost, VenueUnavailable
from tests.builders.orders import INSTRUMENT, a_prediction
from tests.builders.processes import wait_for
from tests.fakes.paper_venue import CALM
from tests.fakes.router_world import LEASE, RouterWorld


@contextmanager
def leading(world: RouterWorld) -> Iterator[tuple[Leadership, Callable[[Callable[[threading.Event], None]], None]]]:
    """A leadership that acts, and what runs another of its tasks until the end."""
    venue: Any = world.venue
    parts = World(world.journal, venue, world.standing, world.told, world.told, world.clock)
    keep = Keep(events=LEASE, decisions=LEASE)
    course = Course(world.policy, Patience(), "test", LEASE, (INSTRUMENT,), tend_seconds=0.001, dead_man=0, keep=keep)
    announcement: Any = Mock(sessions=Mock(return_value={}))
    publisher: Any = Mock()
    leadership = Leadership(parts, course, announcement, publisher, lambda what, why: None)
    stop, threads = threading.Event(), list[threading.Thread]()

    def run(task: Callable[[threading.Event], None]) -> None:
        threads.append(threading.Thread(target=task, args=(stop,), daemon=True))
        threads[-1].start()

    run(leadership.lead)
    try:
        assert leadership.terms.acting(threading.Event()) is not None
        yield leadership, run
    finally:
        stop.set()
        for thread in threads:
            thread.join(5.0)


def test_the_journal_is_tidied_while_the_venue_is_away(tmp_path: Path) -> None:
    world = RouterWorld(url=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    tidied = threading.Event()
    world.journal.tidy = tidied.set  # type: ignore[method-assign]
    with leading(world) as (leadership, run):
        world.venue.faults = replace(CALM, question_fails=1.0)
        world.venue.time_offset = Mock(side_effect=VenueUnavailable("away"))  # type: ignore[method-assign]
        run(leadership.tend)
        assert tidied.wait(5.0)


class AwayJournal:
    """Stands in a world's journal until it is lifted: everything fails, written or not."""

    def __init__(self, world: RouterWorld, *, written: bool) -> None:
        self._world, self._written, self._real = world, written, world.journal.commit
        self.failed = threading.Event()

    def commit(self, entry: Entry, lease: Lease) -> None:
        if self._written:
            self._real(entry, lease)
        self.failed.set()
        raise JournalAway("the server closed the connection")

    def __enter__(self) -> AwayJournal:
        def away(*_: Any) -> Any:
            self.failed.set()
            raise JournalAway("no answer")

        self._world.journal.__dict__ |= {"commit": self.commit, "acquire": away}
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("commit", "acquire"):
            self._world.journal.__dict__.pop(name)


@pytest.mark.parametrize("written", [False, True])
def test_an_entry_of_unknown_outcome_ends_the_term_and_is_never_sent_twice(tmp_path: Path, written: bool) -> None:
    world = RouterWorld(url=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    prediction, at = a_prediction(now=world.clock.now), InputAt("predictions", 0, 0)
    with leading(world) as (leadership, _):
        old = leadership.terms.router()
        with AwayJournal(world, written=written):
            with pytest.raises(JournalAway):
                old.predictions.handle(prediction, at)
            wait_for(lambda: not leadership.terms.is_acting())
            with pytest.raises(NotLeading, match="waiting for the journal"):
                leadership.terms.router()
        assert not world.venue.sent
        with pytest.raises(JournalAway):  # also now that it answers: memory may be behind the rows
            old.predictions.handle(prediction, at)
        world.clock.advance(2 * LEASE)
        wait_for(leadership.terms.is_acting)
        new = leadership.terms.router()
        assert new is not old
        assert new.account.lease.epoch == old.account.lease.epoch + 1
        new.predictions.handle(replace(prediction, received_time=world.clock.now, predicted=world.clock.now), at)
        assert sum(world.venue.sent.values()) == (0 if written else 1)
        assert ("JOURNAL_AWAY", True) in [(code, critical) for code, _, critical in world.told.alerts]


def test_a_lease_that_another_took_makes_a_standby_of_the_process(tmp_path: Path) -> None:
    world = RouterWorld(url=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    with leading(world) as (leadership, run):
        world.clock.advance(2 * LEASE)
        assert not leadership.terms.is_acting(), "its lease ran out"
        other = world.journal.acquire(world.policy.account, "other", world.clock(), LEASE)
        assert other is not None
        run(leadership.terms.keep)
        wait_for(lambda: "waiting for the lease" in not_leading(leadership.terms))
        world.journal.release(other, world.clock())
        wait_for(leadership.terms.is_acting)


def test_each_term_acts_with_its_own_router_until_it_is_over(tmp_path: Path) -> None:
    world = RouterWorld(url=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    seen: list[Any] = []

    def act(over: threading.Event, router: Any) -> None:
        seen.append(router)
        if len(seen) == 1:
            raise LeaseLost("a test says so")
        over.wait(10.0)

    with leading(world) as (leadership, run):
        run(lambda stop: leadership.terms.each_term(stop, act))
        wait_for(lambda: len(seen) == 1)
        world.clock.advance(2 * LEASE)
        wait_for(lambda: len(seen) == 2)
        assert seen[0] is not seen[1]
        with pytest.raises(LeaseLost):
            seen[0].account.fence(world.clock())


def test_the_metric_of_the_lease_says_what_happened_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = RouterWorld(url=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    taken, leads = threading.Event(), world.told.leads

    def slow(holds_lease: bool) -> None:
        if not holds_lease:
            taken.wait(0.3)  # until the next term's word comes in between
        leads(holds_lease)
        if holds_lease:
            taken.set()

    with leading(world) as (leadership, _):
        monkeypatch.setattr(world.told, "leads", slow)
        term = leadership.terms.acting_now()
        world.clock.advance(2 * LEASE)
        leadership.terms.step_down(term, LeaseLost("a test says so"))
        wait_for(leadership.terms.is_acting)
        assert world.told.leading == [True, False, True]


def test_who_lost_the_lease_while_the_venue_is_away_waits_for_the_lease_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = RouterWorld(url=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    with leading(world) as (leadership, run):
        monkeypatch.setattr(world.venue, "time_offset", Mock(side_effect=VenueUnavailable("away")))
        world.clock.advance(2 * LEASE)
        leadership.terms.step_down(leadership.terms.acting_now(), LeaseLost("a test says so"))
        wait_for(lambda: "waiting for the first reconciliation" in not_leading(leadership.terms))
        world.clock.advance(2 * LEASE)
        assert world.journal.acquire(world.policy.account, "other", world.clock(), LEASE) is not None
        run(leadership.terms.keep)
        wait_for(lambda: world.told.leading[-1] is False)
        world.clock.advance(2 * LEASE)
        wait_for(lambda: world.told.leading[-1])


def not_leading(terms: Terms) -> str:
    try:
        terms.router()
    except NotLeading as problem:
        return str(problem)
    return ""
