"""Kept connections to the venue for orders: quick, and with a clear word on whether anything can have been sent."""

from __future__ import annotations

import http.client
import select
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

KEPT_S = 60.0  # an older idle connection may have been forgotten on the way
KEPT = 8


class NothingSent(Exception):
    """No connection could be made: the venue has seen nothing of the request."""


class NoAnswer(Exception):
    """The request may have arrived; what became of it is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Idle:
    connection: http.client.HTTPConnection
    since_s: float


class OrderLine:
    """Threads may share it: each request has a connection to itself, the one used last first."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._open = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._base, self._timeout_s = parts.netloc, parts.path.rstrip("/"), timeout_s
        self._idle: list[Idle] = []
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        written: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send once, never again by itself; `written` is called behind the last byte. Raises NothingSent, NoAnswer."""
        connection = self._take()
        try:
            connection.request(method, self._base + path, body, dict(headers or {}))
            written()
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            self._give_back(connection)
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for kept in idle:
            kept.connection.close()

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                return self._connect()
            if time.monotonic() - kept.since_s < KEPT_S and not _has_ended(kept.connection):
                return kept.connection
            kept.connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        connection = self._open(self._host, timeout=self._timeout_s)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NothingSent(f"{type(error).__name__}: {error}") from error
        return connection

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(Idle(connection, time.monotonic()))
                return
        connection.close()


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    """An idle connection with something to read was closed by the other side, or speaks out of turn."""
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    return bool(poller.poll(0))
