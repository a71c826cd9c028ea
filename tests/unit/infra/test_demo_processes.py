"""The supervisor starts, revives and stops programs, and leaves none behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.demo.processes import Program, ProgramFailed, Supervisor
from tests.builders.processes import is_running


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path, tmp_path, said.append)
    yield made
    made.stop_all()


def a_program(code: str, is_ready: Callable[[], bool], ready_seconds: float = 10.0) -> Program:
    return Program("worker", [sys.executable, "-c", code], dict(os.environ), is_ready, ready_seconds, stop_seconds=2.0)


def test_start_returns_when_the_program_is_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    supervisor.start(a_program(f"import time; open({str(flag)!r}, 'w').close(); time.sleep(60)", flag.exists))
    assert supervisor.running["worker"].process.poll() is None


def test_a_program_that_dies_at_start_is_reported_with_its_log(supervisor: Supervisor) -> None:
    with pytest.raises(ProgramFailed, match=r"worker ended with exit code 3.*\n.*no broker here"):
        supervisor.start(a_program("print('no broker here', flush=True); raise SystemExit(3)", lambda: False))


def test_a_program_that_is_never_ready_is_reported(supervisor: Supervisor) -> None:
    with pytest.raises(ProgramFailed, match="not ready after"):
        supervisor.start(a_program("import time; time.sleep(60)", lambda: False, ready_seconds=0.3))


def test_a_killed_program_comes_back_and_the_reason_is_said(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(a_program("import time; time.sleep(60)", lambda: True))
    first = supervisor.running["worker"].process.pid
    os.kill(first, signal.SIGKILL)
    limit = time.monotonic() + 10
    while supervisor.running["worker"].process.pid == first and time.monotonic() < limit:
        supervisor.revive()
        time.sleep(0.05)
    assert supervisor.running["worker"].process.pid != first
    assert supervisor.running["worker"].process.poll() is None
    assert any("SIGKILL" in line for line in said)


def test_stop_ends_a_program_that_ignores_sigterm_with_its_children(supervisor: Supervisor, tmp_path: Path) -> None:
    child_pid = tmp_path / "child"
    code = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(child_pid)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    supervisor.start(a_program(code, lambda: child_pid.exists() and bool(child_pid.read_text())))
    pids = [supervisor.running["worker"].process.pid, int(child_pid.read_text())]
    supervisor.stop_all()
    limit = time.monotonic() + 5
    while any(is_running(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_running(pid)]
