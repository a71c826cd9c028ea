"""The journal's server goes away under a router that trades: it stops acting, recovers by itself, doubles nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.postgres.server import PostgresServer
from libs.runtime.kafka import KafkaConfig
from protos.alerts.v1 import alerts_pb2
from tests.builders.postgres import own_server, session
from tests.builders.processes import wait_for
from tests.integration.order_routing.journal_place import JournalOnServer
from tests.integration.order_routing.place import RouterPlace, VenuePlace

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own: it dies."""
    with own_server() as own:
        yield own


@pytest.fixture
def own_venue(tmp_path: Path) -> Iterator[VenuePlace]:
    place = VenuePlace(tmp_path)
    try:
        place.start()
        yield place
    finally:
        place.stop()


@pytest.fixture
def journal(
    kafka: KafkaConfig, own_venue: VenuePlace, server: PostgresServer, tmp_path: Path
) -> Iterator[JournalOnServer]:
    place = JournalOnServer(kafka, own_venue, server, tmp_path / "router")
    try:
        yield place
    finally:
        place.router.kill()
        place.router.producer.close()


def test_a_server_that_crashes_and_comes_back_is_told_waited_for_and_nothing_is_doubled(
    journal: JournalOnServer,
) -> None:
    router = journal.router
    router.start(wait=True)
    process = router.process
    with journal.predictions():
        wait_for(lambda: journal.said("order_routing") and router.read("orders.events"), 30.0, "it trades")
        journal.server.kill()
        wait_for(lambda: journal.said("stepping down"), 30.0, "it steps down")
        wait_for(lambda: not router.is_ready(), 10.0, "it is not ready")
        wait_for(lambda: journal.said("waiting for the journal"), 30.0, "it says what it waits for")
        time.sleep(2.0)
        assert not router.is_ready()
        journal.server.start()
        wait_for(lambda: journal.said('"leading"', 2), 60.0, "it leads again")
        router.wait_ready()
        before = journal.orders()
        wait_for(lambda: journal.orders() > before, why="it trades again")
    assert router.process is process, "the same process"
    report = journal.audit()
    assert report.differences == []
    assert report.compared["orders at the venue"] >= 2
    codes = {alerts_pb2.Alert.FromString(record.value or b"").code for record in router.read("alerts")}
    assert "JOURNAL_AWAY" in codes


def test_restarts_crashes_freezes_and_kills_at_random_leave_no_difference(journal: JournalOnServer) -> None:
    """The seed is in the message of a failure."""
    seed = random.randrange(10_000)
    chance, router, server = random.Random(seed), journal.router, journal.server
    router.start(wait=True)
    with journal.predictions(0.05):
        for fault in (*FAULTS, *chance.choices(FAULTS, k=3)):
            time.sleep(chance.uniform(0.5, 2.5))
            if fault == "restart":
                server.stop()
                server.start()
            elif fault == "crash":
                server.kill()
                time.sleep(chance.uniform(0.0, 2.0))
                server.start()
            elif fault == "freeze":
                with journal.frozen():
                    time.sleep(chance.uniform(1.0, 4.0))
            elif fault == "kill":
                router.kill()
                router.start(wait=False)
            else:
                server.kill()
                router.kill()
                router.start(wait=False)
                time.sleep(chance.uniform(0.0, 1.0))
                server.start()
        router.wait_ready(90.0)
        wait_for(lambda: journal.orders() >= 2, why="it trades")
    report = journal.audit()
    assert report.differences == [], f"seed {seed}: {report.differences[:5]}"
    assert report.compared["orders at the venue"] >= 2, f"seed {seed}"


FAULTS = ("restart", "crash", "freeze", "kill", "both")


def test_somebody_s_lock_on_the_lease_stops_the_router_only_as_long_as_it_lasts(journal: JournalOnServer) -> None:
    router = journal.router
    router.start(wait=True)
    with session(journal.server.place.url()) as other, other.transaction():
        other.execute("SELECT * FROM leases FOR UPDATE")
        wait_for(lambda: journal.said("stepping down"), 30.0, "it steps down")
        assert "lock timeout" in router.said()
        assert not router.is_ready()
    wait_for(lambda: journal.said('"leading"', 2), 60.0, "it leads again")
    router.wait_ready()
    assert router.stop() == 0


def test_a_second_router_takes_over_after_the_first_is_killed(journal: JournalOnServer, tmp_path: Path) -> None:
    first = journal.router
    first.start(wait=True)
    before = first.predict()
    wait_for(lambda: first.settled(before), 30.0, "an end")
    (tmp_path / "second").mkdir()
    second = RouterPlace(journal.kafka, journal.venue, tmp_path / "second")
    second.settings |= {name: first.settings[name] for name in ("JOURNAL_URL", "INTEGRITY_KEYS", "GATE_KEYS")}
    second.start(wait=False)
    try:
        wait_for(lambda: "another router holds account" in second.said(), 30.0, "it waits")
        first.kill()
        second.wait_ready()
        found = second.explain(before)
        assert found is not None
        assert len(found.orders) == 1
        journal.router = second
        report = journal.audit()
        assert report.differences == []
    finally:
        second.kill()
        second.producer.close()


def test_a_server_that_is_not_there_at_the_start_is_waited_for_in_one_line(journal: JournalOnServer) -> None:
    router = journal.router
    journal.server.stop()
    router.start(wait=False)
    wait_for(lambda: journal.said("waiting for the journal"), 30.0, "it says so")
    time.sleep(3.0)
    lines = [line for line in router.said().splitlines() if "waiting for the journal" in line]
    assert len(lines) == 1, "the same news is said once"
    assert "Traceback" not in router.said()
    assert "platform:platform" not in router.said(), "no password in the log"
    assert not router.is_ready()
    journal.server.start()
    router.wait_ready()
    assert router.stop() == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("platform:platform", "platform:hidden"), "the password is wrong"),
        (("/journal", "/nowhere"), "the database does not exist"),
        (("/journal", "/postgres"), "is empty: run `python -m services.order_routing migrate`"),
    ],
)
def test_what_a_person_has_to_set_right_ends_the_start_in_one_line(
    journal: JournalOnServer, change: tuple[str, str], said: str
) -> None:
    router = journal.router
    router.settings["JOURNAL_URL"] = router.settings["JOURNAL_URL"].replace(*change)
    router.start(wait=False)
    assert router.wait_for_death() == 1
    problems = [line for line in router.said().splitlines() if '"level": "error"' in line]
    assert len(problems) == 1, router.said()
    assert said in problems[0]
    assert "hidden" not in router.said()
    assert "Traceback" not in router.said()


def test_a_stop_while_the_server_is_away_is_clean(journal: JournalOnServer) -> None:
    router = journal.router
    router.start(wait=True)
    journal.server.kill()
    wait_for(lambda: journal.said("waiting for the journal"), 30.0, "it waits")
    assert router.stop() == 0
