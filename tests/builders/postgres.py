"""PostgreSQL for tests: a server of this run's own or the user's, and databases of a test's own on it."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from infra.daemon import DaemonFailed, free_port
from infra.maven import MavenProblem
from infra.place import ServerProblem
from infra.postgres.server import PostgresPlace, PostgresServer

SETTING = "TRADING_TEST_POSTGRES"


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
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop and kill. Left out, or with CI=true a failure, where it cannot be had."""
    folder = Path(tempfile.mkdtemp(prefix="trading-postgres-"))
    folder.chmod(0o755)  # under root the server runs as nobody, who must come in
    server = PostgresServer(PostgresPlace(folder / "server", free_port()))
    try:
        try:
            server.start()
        except (ServerProblem, MavenProblem, DaemonFailed) as problem:
            unavailable(f"no PostgreSQL for the journal's tests: {problem}; name one of yours with {SETTING}")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


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
