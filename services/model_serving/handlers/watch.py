"""Shows predictions to watchers as they are made; who reads too slowly is let go rather than waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from libs.trading.scoring import Prediction

MAX_BEHIND = 1000


class TooSlow(Exception):
    """A watcher that fell too far behind."""


class Watcher:
    """One reader's queue of predictions about some instruments (empty: all)."""

    def __init__(self, instruments: frozenset[str]) -> None:
        self._instruments = instruments
        self._queue: queue.Queue[Prediction] = queue.Queue(MAX_BEHIND)
        self._too_slow = threading.Event()

    def offer(self, prediction: Prediction) -> None:
        if self._instruments and prediction.instrument not in self._instruments:
            return
        try:
            self._queue.put_nowait(prediction)
        except queue.Full:
            self._too_slow.set()

    def take(self, timeout_s: float) -> Prediction | None:
        """The next prediction, None after the timeout. Raises TooSlow."""
        if self._too_slow.is_set():
            raise TooSlow(f"more than {MAX_BEHIND} predictions behind")
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Watchers:
    """All readers at this moment."""

    def __init__(self) -> None:
        self._watchers: frozenset[Watcher] = frozenset()
        self._change = threading.Lock()

    def show(self, predictions: Sequence[Prediction]) -> None:
        for watcher in self._watchers:
            for prediction in predictions:
                watcher.offer(prediction)

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
