"""What a leading router goes on doing while the venue is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.lead import Course, Leadership
from services.order_routing.handlers.router import World
from services.order_routing.ports import VenueUnavailable
from tests.builders.orders import INSTRUMENT
from tests.fakes.paper_venue import CALM
from tests.fakes.router_world import LEASE, RouterWorld


@contextmanager
def leading(world: RouterWorld) -> Iterator[tuple[Leadership, Callable[[Callable[[threading.Event], None]], None]]]:
    """A leadership that acts, and what runs another of its tasks until the end."""
    venue: Any = world.venue
    parts = World(world.journal, venue, world.standing, world.told, world.told, world.clock)
    course = Course(world.policy, Patience(), "test", LEASE, (INSTRUMENT,), tend_seconds=0.001)
    announcement: Any = Mock(sessions=Mock(return_value={}))
    publisher: Any = Mock()
    leadership = Leadership(parts, course, announcement, publisher, lambda what, why: None)
    stop, threads = threading.Event(), list[threading.Thread]()

    def run(task: Callable[[threading.Event], None]) -> None:
        threads.append(threading.Thread(target=task, args=(stop,), daemon=True))
        threads[-1].start()

    run(leadership.lead)
    try:
        assert leadership.acting(threading.Event()) is not None
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
