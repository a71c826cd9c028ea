"""An environment is one source of data with a folder, keys and ports of its own."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from infra.demo.environment import EnvironmentProblem, check_ports, open_environment
from tests.e2e.drive import free_base


def test_two_signal_strengths_are_two_environments(tmp_path: Path) -> None:
    strong = open_environment(tmp_path, 50000, [], seed=7, signal_strength=1.0)
    none = open_environment(tmp_path, 50000, [], seed=7, signal_strength=0.0)
    assert strong.folder != none.folder
    assert strong.topic_prefix != none.topic_prefix


def test_a_recording_is_named_by_its_content_not_by_its_path(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a.gz", "b.gz", "c.gz"))
    first.write_bytes(b"frames")
    copy.write_bytes(b"frames")
    other.write_bytes(b"other frames")
    names = [open_environment(tmp_path / "state", 50000, [path], 7, 1.0).name for path in (first, copy, other)]
    assert names[0] == names[1] != names[2]


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"no such recording: .*nothing\.gz"):
        open_environment(tmp_path, 50000, [tmp_path / "nothing.gz"], 7, 1.0)


def test_the_venue_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = open_environment(tmp_path, 50000, [], 7, 1.0)
    key = json.loads(first.key_file.read_text())
    assert json.loads(open_environment(tmp_path, 50000, [], 7, 1.0).key_file.read_text()) == key
    assert stat.S_IMODE(first.key_file.stat().st_mode) == 0o600


def test_a_state_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, 50000, [], 7, 1.0)
    (environment.folder / "FORMAT").write_text("99\n")
    with pytest.raises(EnvironmentProblem, match="state format '99', this version reads 1"):
        open_environment(tmp_path, 50000, [], 7, 1.0)


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "generator-7-1"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(EnvironmentProblem, match="not a state folder"):
        open_environment(tmp_path, 50000, [], 7, 1.0)


def test_a_port_in_use_is_named_with_its_use_and_the_setting(tmp_path: Path) -> None:
    environment = open_environment(tmp_path, free_base(29_000), [], 7, 1.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", environment.port("mlflow")))
        taken.listen()
        with pytest.raises(EnvironmentProblem, match=rf"{environment.port('mlflow')} \(mlflow\).*PORT_BASE"):
            check_ports(environment, external_broker=False)
    check_ports(environment, external_broker=False)
