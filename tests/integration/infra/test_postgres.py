"""The local PostgreSQL server: a clean start, stop and crash, and a clear word for what a person has to change."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.daemon import DaemonFailed
from infra.maven import MavenProblem
from infra.place import ServerProblem
from infra.postgres.programs import fetch_programs, postgres_version
from infra.postgres.server import PostgresPlace, PostgresServer, answers, prepare
from tests.builders.postgres import FOLDERS, own_place, session

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place() -> Iterator[PostgresPlace]:
    with own_place() as place:
        yield place


@pytest.fixture
def server(place: PostgresPlace) -> Iterator[PostgresServer]:
    server = PostgresServer(place)
    yield server
    server.stop()


def test_the_folder_of_a_run_that_was_killed_goes_with_the_next_one() -> None:
    left, young = (Path(tempfile.mkdtemp(prefix=FOLDERS)) for _ in range(2))
    with own_place() as alive:
        for folder in (left, alive.folder.parent):
            os.utime(folder, (0, 0))
        with own_place():
            assert [folder.exists() for folder in (left, young, alive.folder.parent)] == [False, True, True]
    assert not alive.folder.parent.exists()
    young.rmdir()


def rows(place: PostgresPlace) -> list[tuple[int]]:
    with session(place.url()) as connection:
        return connection.execute("SELECT number FROM kept ORDER BY number").fetchall()


def test_what_was_committed_survives_a_stop_and_a_crash(server: PostgresServer, place: PostgresPlace) -> None:
    server.start()
    with session(place.url()) as connection:
        connection.execute("CREATE TABLE kept (number INT)")
        connection.execute("INSERT INTO kept VALUES (1)")
        server.stop()  # although somebody is connected
    assert not answers(place.port)
    server.start()
    assert rows(place) == [(1,)]
    server.kill()
    server.start()
    assert rows(place) == [(1,)]


def test_it_lets_nobody_in_without_the_password(server: PostgresServer, place: PostgresPlace) -> None:
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(place.url().replace("+psycopg", "").replace("platform@", "wrong@"))


def test_a_folder_of_another_version_is_refused(place: PostgresPlace) -> None:
    place.folder.mkdir()
    (place.folder / "VERSION").write_text("postgres 9\n")
    major = postgres_version().split(".")[0]
    with pytest.raises(ServerProblem, match=rf"written by 'postgres 9', this is 'postgres {major}'"):
        prepare(place)


def test_a_port_in_use_is_named(place: PostgresPlace) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", place.port))
        other.listen()
        with pytest.raises(ServerProblem, match=f"port {place.port} .* is in use"):
            prepare(place)


def test_a_cluster_that_is_damaged_shows_the_end_of_the_log(server: PostgresServer, place: PostgresPlace) -> None:
    prepare(place)
    (place.data / "global" / "pg_control").unlink()
    with pytest.raises(DaemonFailed, match=r"(?s)postgres ended with exit code \d.*pg_control"):
        server.start()


def test_a_folder_that_the_server_s_user_cannot_enter_is_named(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.postgres.server.is_root", lambda: True)  # who hands the server to somebody else
    place.folder.mkdir()
    place.folder.parent.chmod(0o700)
    with pytest.raises(ServerProblem, match=rf"nobody cannot enter {place.folder.parent}.*chmod o\+x"):
        prepare(place)


def test_programs_are_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch_programs()
    monkeypatch.setenv("PATH", "")
    assert fetch_programs() == folder


def test_missing_maven_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MavenProblem, match="apt-get install maven"):
        fetch_programs(tmp_path / "programs")


def test_serve_becomes_the_server_says_its_address_and_leaves_when_asked(place: PostgresPlace) -> None:
    argv = [sys.executable, "-m", "infra.postgres", "serve", "--folder", str(place.folder), "--port", str(place.port)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ORDER_ROUTING_JOURNAL_URL={place.url()}\n"
        while not answers(place.port):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
