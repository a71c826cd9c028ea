"""A venue that cannot start says in one line what a person has to change."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from infra.daemon import free_port
from services.exchange_simulator.adapters.sqlite_journal import SqliteJournal
from tests.integration.exchange_simulator.process import ROOT


def ends(tmp_path: Path, **changed: str | None) -> subprocess.CompletedProcess[str]:
    key_file = tmp_path / "venue.json"
    key_file.write_text('{"key": "k", "secret": "s"}')
    names: dict[str, str | None] = {
        "GRPC_PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
        "HTTP_PORT": str(free_port()),
        "STATE_DIR": str(tmp_path / "state"),
        "KEY_FILE": str(key_file),
        "INITIAL_BALANCE": "10000",
    }
    names.update(changed)
    told = {f"EXCHANGE_SIMULATOR_{name}": value for name, value in names.items() if value is not None}
    argv = [sys.executable, "-m", "services.exchange_simulator"]
    return subprocess.run(
        argv, cwd=ROOT, env=os.environ | told, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"INITIAL_BALANCE": None}, "EXCHANGE_SIMULATOR_INITIAL_BALANCE: Field required"),
        ({"INITIAL_BALLANCE": "1"}, "did you mean EXCHANGE_SIMULATOR_INITIAL_BALANCE?"),
        ({"KEY_FILE": "none.json"}, "none.json: "),
        ({"RECORDINGS": "none.gz"}, "no such recording: none.gz"),
        ({"RECORDINGS": "a,b,c"}, "at most two recordings"),
        ({"SIGNAL_STRENGTH": "9"}, "EXCHANGE_SIMULATOR_SIGNAL_STRENGTH"),
        ({"STATE_DIR": __file__}, f"File exists: '{__file__}'; its state needs a folder"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changed: dict[str, str | None], words: str) -> None:
    ended = ends(tmp_path, **changed)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = ends(tmp_path, HTTP_PORT=str(port))
    assert ended.returncode == 1
    assert f"port {port} is in use; choose another with EXCHANGE_SIMULATOR_HTTP_PORT" in ended.stderr


@pytest.mark.parametrize("damage", ["not a database", "an account that cannot be read"])
def test_damaged_accounts_are_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "state" / "accounts.sqlite"
    file.parent.mkdir()
    if damage == "not a database":
        file.write_bytes(b"not a database" * 100)
    else:
        SqliteJournal(file).close()
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            database.execute("INSERT INTO accounts VALUES ('k', x'ff')")
    ended = ends(tmp_path)
    assert ended.returncode == 1
    assert f"{file} cannot be read" in ended.stderr
    assert "move the file away" in ended.stderr
    assert "Traceback" not in ended.stderr
