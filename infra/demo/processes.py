"""Starts programs, waits until each is ready, restarts what dies and stops all of them, leaving no process."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.daemon import exit_text, log_tail, open_process, signal_group, stop_process

RESTART_DELAY_S = (0.5, 1.0, 2.0, 5.0, 10.0)


class ProgramFailed(Exception):
    """A program that did not become ready or keeps dying; the message holds the tail of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to know that it is able to work. `stop_seconds` is its time to leave by itself."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    is_ready: Callable[[], bool]
    ready_seconds: float = 60.0
    stop_seconds: float = 15.0


@dataclass(slots=True)
class Running:
    """A started program; `restarts` counts how often it came back after dying."""

    program: Program
    process: subprocess.Popen[bytes]
    log_path: Path
    started_at: float
    restarts: int = 0
    last_exit: int | None = None
    retry_at: float | None = None
    history: list[str] = field(default_factory=list)


class Supervisor:
    """Owns the processes of one demo; logs lie in `folder/logs`, process ids in `folder/processes.json`.

    `log` receives one line for everything a person should know.
    """

    def __init__(self, folder: Path, root: Path, log: Callable[[str], None]) -> None:
        self._log_folder = folder / "logs"
        self._pids = folder / "processes.json"
        self._root = root
        self._log = log
        self._running: dict[str, Running] = {}
        self._stopping = threading.Event()

    @property
    def running(self) -> Mapping[str, Running]:
        return self._running

    def start(self, program: Program) -> None:
        """Start a program and return when it is ready. Raises `ProgramFailed`."""
        self.start_all([program])

    def start_all(self, programs: Sequence[Program]) -> None:
        """Start programs together and return when all of them are ready. Raises `ProgramFailed`."""
        for program in programs:
            log_path = self._log_folder / f"{program.name}.log"
            self._log_folder.mkdir(parents=True, exist_ok=True)
            process = open_process(program.argv, program.env, log_path, root=self._root)
            self._running[program.name] = Running(program, process, log_path, time.monotonic())
        self._write_pids()
        for program in programs:
            self.wait_ready(program.name)

    def wait_ready(self, name: str) -> None:
        running = self._running[name]
        limit = time.monotonic() + running.program.ready_seconds
        while not running.program.is_ready():
            code = running.process.poll()
            if code is not None:
                raise ProgramFailed(
                    f"{name} ended with {exit_text(code)} before it was ready:\n{log_tail(running.log_path)}"
                )
            if time.monotonic() > limit:
                raise ProgramFailed(
                    f"{name} was not ready after {running.program.ready_seconds:.0f} s:\n{log_tail(running.log_path)}"
                )
            if self._stopping.wait(0.1):
                raise ProgramFailed(f"{name}: stopped while starting")

    def revive(self) -> None:
        """Restart what has died, each after a delay that grows while it keeps dying. Call it every second or so."""
        for name, running in self._running.items():
            code = running.process.poll()
            if code is None or self._stopping.is_set():
                continue
            now = time.monotonic()
            if running.retry_at is None:
                quick = now - running.started_at < 30
                running.restarts = running.restarts + 1
                delay = (
                    RESTART_DELAY_S[min(running.restarts, len(RESTART_DELAY_S)) - 1] if quick else RESTART_DELAY_S[0]
                )
                running.last_exit, running.retry_at = code, now + delay
                self._log(f"{name} ended with {exit_text(code)}; restarting in {delay:g} s")
            elif now >= running.retry_at:
                program = running.program
                running.process = open_process(program.argv, program.env, running.log_path, root=self._root)
                running.started_at, running.retry_at = now, None
                self._write_pids()

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would; `revive` brings it back."""
        signal_group(self._running[name].process.pid, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """Ask one program to leave; it is not revived."""
        running = self._running.pop(name)
        stop_process(running.process, running.program.stop_seconds)
        self._write_pids()

    def stop_all(self) -> None:
        """Ask every program to leave, last started first, and kill what does not."""
        self._stopping.set()
        for running in reversed(list(self._running.values())):
            stop_process(running.process, running.program.stop_seconds)
        self._running.clear()
        self._pids.unlink(missing_ok=True)

    def _write_pids(self) -> None:
        self._pids.write_text(
            json.dumps({name: running.process.pid for name, running in self._running.items()}, indent=1)
        )
