"""`migrate` and `await-journal` as an operator runs them: exit codes, and one line that says what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.daemon import free_port
from services.order_routing.adapters import commands
from tests.builders.postgres import Databases, session

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(180)


def run(command: str, url: str) -> subprocess.CompletedProcess[str]:
    """With nothing of the router's settings but the journal's address, as its Job has it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_ROUTING_")}
    env = own | {"ORDER_ROUTING_JOURNAL_URL": url}
    argv = [sys.executable, "-m", "services.order_routing", command]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120.0, check=False)


def test_an_empty_database_is_migrated_once_and_then_awaited_by_nobody(postgres: Databases) -> None:
    url = postgres.make()
    first, again, ready = run("migrate", url), run("migrate", url), run("await-journal", url)
    assert [first.returncode, again.returncode, ready.returncode] == [0, 0, 0], first.stderr + again.stderr
    assert "order_routing: migrated: the journal has revision" in first.stdout
    assert "nothing to do" in again.stdout
    assert ready.stdout.rstrip().endswith("is ready")
    assert ready.stderr == ""


def test_an_unknown_command_and_a_missing_address_are_one_line() -> None:
    done = run("migrat", "sqlite://")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "'migrat' is no command; usage:" in done.stderr
    done = run("migrate", "")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "set ORDER_ROUTING_JOURNAL_URL" in done.stderr


def of(url: str, user: str = "", password: str = "", database: str = "", port: str = "") -> str:
    scheme, _, rest = url.partition("://")
    login, _, place = rest.partition("@")
    known_user, _, known_password = login.partition(":")
    address, _, known_database = place.partition("/")
    host, _, known_port = address.partition(":")
    return (
        f"{scheme}://{user or known_user}:{password or known_password}@{host}:{port or known_port}"
        f"/{database or known_database}"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "hidden"}, "the password is wrong"),
        ({"user": "stranger", "password": "hidden"}, "the (password is wrong|user does not exist)"),
        ({"database": "nowhere"}, "the database does not exist"),
    ],
)
def test_what_a_person_has_to_set_right_is_one_line_without_the_password(
    postgres: Databases, change: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = of(postgres.make(), **change)
    assert commands.migrate(url, 60.0) == 1
    line, *more = capsys.readouterr().err.splitlines()
    assert more == []
    assert "hidden" not in line
    assert re.search(said, line), line


def test_a_server_that_is_not_there_is_waited_for_and_then_named(
    postgres: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    url = of(postgres.make(), port=str(free_port()))
    for command in (commands.migrate, commands.await_journal):
        begun = time.monotonic()
        assert command(url, 1.5) == 1
        assert time.monotonic() - begun >= 1.5
        waits, last = capsys.readouterr().err.splitlines()
        assert " waits: " in waits
        assert "refused" in last
        assert "look at the server and at ORDER_ROUTING_JOURNAL_URL" in last


def test_an_unmigrated_journal_is_waited_for_until_somebody_migrates_it(
    postgres: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.make()
    assert commands.await_journal(url, 0.1) == 1
    assert "is empty: run `python -m services.order_routing migrate`" in capsys.readouterr().err.splitlines()[-1]
    waiting = subprocess.Popen(
        [sys.executable, "-m", "services.order_routing", "await-journal"],
        cwd=ROOT, env=os.environ | {"ORDER_ROUTING_JOURNAL_URL": url}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert waiting.stderr is not None
    assert "await-journal waits: the journal" in waiting.stderr.readline()
    assert commands.migrate(url, 5.0) == 0
    assert waiting.wait(30.0) == 0


def test_a_user_without_rights_is_told(postgres: Databases, capsys: pytest.CaptureFixture[str]) -> None:
    url = postgres.make()
    name = f"guest_{url.rpartition('_')[2]}"
    with session(url) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hidden'".encode())
        connection.execute(b"REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert commands.migrate(of(url, user=name, password="hidden"), 60.0) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the user lacks rights" in line
