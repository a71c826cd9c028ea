"""A router whose journal lies on a PostgreSQL server that the test stops, kills and freezes, and the audit of both."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil

from infra.kafka.topics import create_topics
from infra.postgres.server import PostgresServer
from libs.runtime.kafka import KafkaConfig
from services.order_routing.adapters import commands
from tests.builders.postgres import session
from tests.builders.processes import wait_for
from tests.e2e.audit import Report, Venue, audit_journal, audit_venue
from tests.integration.order_routing.place import RouterPlace, VenuePlace

SIGNALS = ((0.6, 0.1), (0.1, 0.6), (0.3, 0.3))


class JournalOnServer:
    """A migrated journal, its router, and a venue that nobody else trades at."""

    def __init__(self, kafka: KafkaConfig, venue: VenuePlace, server: PostgresServer, folder: Path) -> None:
        self.venue, self.server = venue, server
        self.kafka = replace(kafka, topic_prefix=f"journal-{uuid4().hex[:8]}.")
        create_topics(self.kafka.bootstrap, self.kafka.topic_prefix)
        folder.mkdir()
        self.router = RouterPlace(self.kafka, venue, folder)
        self.router.settings["JOURNAL_URL"] = server.place.url()
        self.router.vouch()
        assert commands.migrate(server.place.url(), 10.0) == 0

    def said(self, words: str, times: int = 1) -> bool:
        return self.router.said().count(words) >= times

    @contextmanager
    def predictions(self, pause_s: float = 0.1) -> Iterator[None]:
        """One after the other, until the end of the block."""
        stop = threading.Event()

        def go_on() -> None:
            number = 0
            while not stop.wait(pause_s):
                with suppress(AssertionError):
                    self.router.predict(*SIGNALS[number % len(SIGNALS)])
                number += 1

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30.0)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server's processes stand still; its connections stay open."""
        process = self.server._process
        assert process is not None
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        try:
            yield
        finally:
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    os.kill(one.pid, signal.SIGCONT)

    def audit(self) -> Report:
        """Journal, topics and venue joined, once the router has said everything and nothing is on its way."""
        self.router.wait_ready()
        wait_for(self._is_quiet, 60.0, "every prediction is read, every order has an end and every event is told")
        self.router.stop()
        report = Report()
        with session(self.server.place.url()) as journal:
            said, asked = self.router.read("orders.events"), self.router.read("predictions")
            audit_journal(report, journal, said, asked)
            audit_venue(report, journal, Venue(self.venue.url, self.venue.key_file))
        return report

    def orders(self) -> int:
        """How many the journal has ever recorded."""
        with session(self.server.place.url()) as journal:
            found = journal.execute("SELECT count(*) FROM orders").fetchone()
        return 0 if found is None else int(found[0])

    def _is_quiet(self) -> bool:
        asked = len(self.router.read("predictions"))
        with session(self.server.place.url()) as journal:
            read = journal.execute("SELECT sum(next_offset) FROM input_offsets").fetchone()
            alive = journal.execute("SELECT count(*) FROM orders WHERE NOT terminal").fetchone()
            newest = journal.execute("SELECT max(sequence) FROM outbox").fetchone()
            told = journal.execute("SELECT sequence FROM published").fetchone()
        return read == (asked,) and alive == (0,) and newest == told and newest is not None
