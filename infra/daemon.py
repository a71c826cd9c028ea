"""One program in the background: started, waited for until it answers, stopped; a crash comes with the log's tail."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

TAIL_LINES = 25
PR_SET_PDEATHSIG = 1
FIRST_PORT, PORTS_EACH, BLOCKS = 10_000, 100, 100
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here, because little is safe between fork and exec

_block = FIRST_PORT + os.getpid() % BLOCKS * PORTS_EACH
_ports = itertools.cycle(range(_block, _block + PORTS_EACH))


class DaemonFailed(Exception):
    """It did not start, did not answer in time or ended by itself; the message holds the tail of its log."""


class Daemon:
    """A child process in a group of its own: `start`, `stop`, `kill`, and again."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        answers: Callable[[], bool],
        start_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._env = dict(env)
        self._answers = answers
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it answers. Raises `DaemonFailed`; then nothing of it is left running."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = open_process(self._argv, self._env, self.log)
        limit = time.monotonic() + self._start_seconds
        while not self._answers():
            self.check()
            if time.monotonic() > limit:
                self.stop(seconds=2.0)
                raise DaemonFailed(
                    f"{self.name} did not answer within {self._start_seconds:.0f} s:\n{log_tail(self.log)}"
                )
            time.sleep(0.1)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raises `DaemonFailed` when it has ended without being asked to."""
        if self._process is None:
            raise DaemonFailed(f"{self.name} is not started")
        code = self._process.poll()
        if code is not None:
            raise DaemonFailed(f"{self.name} ended with {exit_text(code)}:\n{log_tail(self.log)}")

    def stop(self, seconds: float = 20.0) -> None:
        """SIGTERM, then SIGKILL to its whole group after `seconds`."""
        if self._process is not None:
            stop_process(self._process, seconds)
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def open_process(
    argv: Sequence[str], env: Mapping[str, str], log: Path, *, out: Path | None = None, root: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a group of its own that dies with this process; what it says is added to `log`.

    `out` is emptied and takes what it prints; without it that goes to `log` too.
    """
    with log.open("ab") as said, nullcontext(said) if out is None else out.open("wb") as printed:
        return subprocess.Popen(
            list(argv),
            cwd=root,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def stop_process(process: subprocess.Popen[bytes], seconds: float) -> None:
    """SIGTERM to the process's own group, SIGKILL after `seconds`."""
    if process.poll() is None:
        signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
    signal_group(process.pid, signal.SIGKILL)


def signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def log_tail(path: Path) -> str:
    """The last lines of a log file, indented."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def exit_text(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def port_is_taken(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def free_port() -> int:
    """A port that nothing listens on at this moment, and that nobody else who asks here gets meanwhile: each process
    goes round in a block of its own, below the ports that the kernel gives to clients."""
    for _ in range(PORTS_EACH):
        port = next(_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port from {_block} to {_block + PORTS_EACH - 1}")


def die_with_parent() -> None:
    """In the child: be killed by the kernel when its parent dies, however it dies."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
