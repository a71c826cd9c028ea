"""Keeps a port of this machine led to a port of a component, also over the death of its pod."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from types import TracebackType

from infra.daemon import die_with_parent

RESTART_PAUSE_S = 0.5
BROKEN = ("error", "lost connection", "unable to")
OF_ONE_CONNECTION = ("reset by peer", "broken pipe", "connection refused", "closed network connection", "timeout")


class Forward:
    """`kubectl port-forward` that is started again whenever it ends or says that its pod is gone.

    `localhost` and not an address, because the broker announces this name: what clients may resolve is listened on.
    """

    def __init__(self, namespace: str, target: str, local: int, remote: int) -> None:
        self.target, self.local = target, local
        self._argv = ["kubectl", "port-forward", "-n", namespace, target, f"{local}:{remote}", "--address", "localhost"]
        self._process: subprocess.Popen[str] | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=f"forward {target}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"localhost:{self.local}"

    def opened(self, seconds: float) -> bool:
        """Whether it listens, waited for a little; who calls it then tries again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                socket.create_connection(("localhost", self.local), timeout=1.0).close()
            except OSError:
                time.sleep(0.1)
            else:
                return True
        return False

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join(timeout=5)

    def __enter__(self) -> Forward:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _keep(self) -> None:
        while True:
            with self._lock:
                if self._closed.is_set():
                    return
                process = self._process = subprocess.Popen(
                    self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent
                )
            assert process.stderr is not None
            for line in process.stderr:
                if is_broken(line):
                    process.kill()
            process.wait()
            self._closed.wait(RESTART_PAUSE_S)


def is_broken(line: str) -> bool:
    """Whether kubectl says that the pod is gone, not that one of many connections to it has ended."""
    said = line.lower()
    return any(word in said for word in BROKEN) and not any(word in said for word in OF_ONE_CONNECTION)
