"""PostgreSQL for tests: a server of this run's own or the user's, and databases of a test's own on it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from infra.daemon import DaemonFailed, free_port
from infra.maven import MavenProblem
from infra.place import ServerProblem
from infra.postgres.server import LEAVE_SECONDS, PostgresPlace, PostgresServer

SETTING = "TRADING_TEST_POSTGRES"
FOLDERS = "trading-postgres-"
YOUNG_S = 60.0  # a folder that was just made may not be locked yet


class Databases:
    """Makes databases on one server, whose address names a user who may."""

    def __init__(self, address: str) -> None:
        self.address = address

    def make(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with session(self.address) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"{self.address.rsplit('/', 1)[0]}/{name}"


@contextmanager
def session(url: str) -> Iterator[psycopg.Connection]:
    """A plain session, each statement a transaction of its own."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@contextmanager
def own_place() -> Iterator[PostgresPlace]:
    """A place for a server, in a folder that is gone at the end.

    pytest's own folders will not do: they are closed to `nobody`, as whom the server runs under root."""
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
    folder.chmod(0o755)
    with locked(folder):
        try:
            yield PostgresPlace(folder / "server", free_port())
        finally:
            remove(folder)


def remove_leftovers() -> None:
    """What runs that were killed left behind: a folder is locked as long as its process lives."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        with suppress(OSError):
            found = left.stat()
            if found.st_uid == os.geteuid() and found.st_mtime < time.time() - YOUNG_S:
                with locked(left):
                    shutil.rmtree(left)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder; the lock goes with the process. Raises BlockingIOError while another holds it."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(held)


def remove(folder: Path) -> None:
    """The children of a server that was killed may write on for a moment."""
    limit = time.monotonic() + LEAVE_SECONDS
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=time.monotonic() < limit)
        time.sleep(0.05)


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop and kill. Left out, or with CI=true a failure, where it cannot be had."""
    with own_place() as place:
        server = PostgresServer(place)
        try:
            try:
                server.start()
            except (ServerProblem, MavenProblem, DaemonFailed) as problem:
                unavailable(f"no PostgreSQL for the journal's tests: {problem}; name one of yours with {SETTING}")
            yield server
        finally:
            server.stop()


def unavailable(message: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def databases() -> Iterator[Databases]:
    """On the server that TRADING_TEST_POSTGRES names (postgresql://USER:PASSWORD@HOST:PORT/DATABASE), or an own one."""
    named = os.environ.get(SETTING)
    if named:
        scheme, _, rest = named.partition("://")
        yield Databases(f"postgresql+psycopg://{rest}" if scheme.startswith("postgres") else named)
        return
    with own_server() as server:
        yield Databases(server.place.url())
