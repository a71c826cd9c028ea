"""Shows what is made to everyone who watches; who reads too slowly is let go rather than waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import grpc

from libs.runtime.grpc_errors import abort

LOOK_S = 0.5  # how soon a stream sees that its caller has gone
RETRY_S = 2.0
T = TypeVar("T")


class TooSlow(Exception):
    """A watcher that fell too far behind, and has missed something."""


class Watcher(Generic[T]):
    """One reader's queue of what is shown under some keys (empty: under all)."""

    def __init__(self, keys: frozenset[str], max_behind: int) -> None:
        self._keys, self._max_behind, self._missed = keys, max_behind, False
        self._queue: queue.Queue[T] = queue.Queue(max_behind)

    def offer(self, key: str, item: T) -> None:
        if not self._keys or key in self._keys:
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                self._missed = True

    def take(self, timeout_s: float) -> T | None:
        """The next one, None after the timeout. Raises TooSlow."""
        if self._missed:
            raise TooSlow(f"more than {self._max_behind} were waiting to be read")
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Fanout(Generic[T]):
    """All who watch at this moment. `show` may come from any thread and never waits."""

    def __init__(self, max_behind: int) -> None:
        self._max_behind = max_behind
        self._watchers: frozenset[Watcher[T]] = frozenset()
        self._change = threading.Lock()

    def show(self, key: str, item: T) -> None:
        for watcher in self._watchers:
            watcher.offer(key, item)

    @contextmanager
    def join(self, keys: frozenset[str]) -> Iterator[Watcher[T]]:
        """A watcher for as long as the block lives."""
        watcher = Watcher[T](keys, self._max_behind)
        with self._change:
            self._watchers |= {watcher}
        try:
            yield watcher
        finally:
            with self._change:
                self._watchers -= {watcher}

    def follow(self, keys: frozenset[str], context: grpc.ServicerContext) -> Iterator[T]:
        """What is shown while a caller listens. Its headers are sent at once: from then on nothing is missed.

        Ends the call with RESOURCE_EXHAUSTED when the caller is too slow."""
        with self.join(keys) as watcher:
            context.send_initial_metadata(())
            while context.is_active():
                try:
                    item = watcher.take(LOOK_S)
                except TooSlow as error:
                    abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), reason="TOO_SLOW", retry_s=RETRY_S)
                if item is not None:
                    yield item
