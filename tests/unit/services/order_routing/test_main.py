"""A start that cannot succeed ends in one line and code 1, on the real process."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.bundle.keys import generate
from services.order_routing.adapters.schema import open_database

ROOT = Path(__file__).parents[4]


def journal_that_is_none(folder: Path) -> None:
    (folder / "journal.sqlite").write_bytes(b"this is no journal " * 1_000)


def journal_with_a_bad_page(folder: Path) -> None:
    file = folder / "journal.sqlite"
    open_database(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[4096 * 2 : 4096 * 6] = os.urandom(4096 * 4)
    file.write_bytes(content)


def no_gate_key(folder: Path) -> None:
    (folder / "gate.pub").unlink()


def no_venue_key(folder: Path) -> None:
    (folder / "venue.json").unlink()


def state_folder_is_a_file(folder: Path) -> None:
    (folder / "state").write_text("")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (journal_that_is_none, "journal.sqlite cannot be opened: "),
        (journal_with_a_bad_page, "journal.sqlite "),
        (no_gate_key, "gate.pub"),
        (no_venue_key, "venue.json"),
        (state_folder_is_a_file, "File exists"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(spoil: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    generate(tmp_path / "training.pem", tmp_path / "training.pub")
    generate(tmp_path / "gate.pem", tmp_path / "gate.pub")
    (tmp_path / "venue.json").write_text(json.dumps({"key": "k", "secret": "s"}))
    spoil(tmp_path)
    named = {
        "GRPC_PORT": "1",
        "METRICS_PORT": "2",
        "KAFKA__BOOTSTRAP": "127.0.0.1:9",
        "ACCOUNT": "paper",
        "SCOPE": "SIMULATED",
        "STATE_DIR": str(tmp_path / "state" if (tmp_path / "state").exists() else tmp_path),
        "VENUE__HTTP_URL": "http://127.0.0.1:9",
        "VENUE__STREAM_URL": "ws://127.0.0.1:9",
        "VENUE__KEY_FILE": str(tmp_path / "venue.json"),
        "INTEGRITY_KEYS": str(tmp_path / "training.pub"),
        "GATE_KEYS": str(tmp_path / "gate.pub"),
    }
    env = os.environ | {f"ORDER_ROUTING_{name}": value for name, value in named.items()}
    argv = [sys.executable, "-m", "services.order_routing"]
    ended = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60.0, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("order_routing: ")
    assert said in line
