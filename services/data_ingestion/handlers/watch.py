"""Shows acknowledged records to watchers; who reads too slowly is let go rather than waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_BEHIND = 5000


class TooSlow(Exception):
    """A watcher that fell too far behind."""


class Watcher:
    """One reader's queue of records (bytes) about some instruments (empty: all)."""

    def __init__(self, instruments: frozenset[str]) -> None:
        self._instruments = instruments
        self._queue: queue.Queue[bytes] = queue.Queue(MAX_BEHIND)
        self._too_slow = threading.Event()

    def offer(self, instrument: str, record: bytes) -> None:
        if self._instruments and instrument not in self._instruments:
            return
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._too_slow.set()

    def take(self, timeout_s: float) -> bytes | None:
        """The next record, None after the timeout. Raises TooSlow."""
        if self._too_slow.is_set():
            raise TooSlow(f"more than {MAX_BEHIND} records behind")
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Watchers:
    """All readers at this moment."""

    def __init__(self) -> None:
        self._watchers: frozenset[Watcher] = frozenset()
        self._change = threading.Lock()

    def show(self, instrument: str, record: bytes) -> None:
        for watcher in self._watchers:
            watcher.offer(instrument, record)

    @contextmanager
    def join(self, instruments: frozenset[str]) -> Iterator[Watcher]:
        watcher = Watcher(instruments)
        with self._change:
            self._watchers |= {watcher}
        try:
            yield watcher
        finally:
            with self._change:
                self._watchers -= {watcher}
