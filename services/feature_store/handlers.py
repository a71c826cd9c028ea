"""Keeps one engine per instrument, and the newest vector of each for whoever asks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from libs.trading.features.engine import FeatureEngine, SnapshotMismatch
from libs.trading.features.spec import FeatureSpec
from libs.trading.features.vector import FeatureVector
from libs.trading.market import MarketRecord
from services.feature_store.domain import Published, StoredSnapshot, is_newer
from services.feature_store.ports import Notices

WATCH_QUEUE = 1024


class Engines:
    """The engines of the partitions that this replica reads; one thread owns them."""

    def __init__(self, spec: FeatureSpec, notices: Notices) -> None:
        self._spec = spec
        self._notices = notices
        self._engines: dict[int, dict[str, FeatureEngine]] = {}

    def begin(self, partition: int, states: Sequence[StoredSnapshot]) -> bool:
        """Take over a partition; False when a state was refused, so that everything must be read again."""
        engines: dict[str, FeatureEngine] = {}
        whole = True
        for stored in states:
            try:
                engine = FeatureEngine.restore(self._spec, stored.instrument, stored.state)
            except SnapshotMismatch as error:
                self._notices.snapshot_refused(stored.instrument, str(error))
                whole = False
            else:
                engine.skip_to(stored.offset)
                engines[stored.instrument] = engine
        self._engines[partition] = engines
        return whole

    def give_up(self, partition: int) -> None:
        """Another replica reads this partition now."""
        self._engines.pop(partition, None)

    def update(self, partition: int, offset: int, record: MarketRecord) -> list[FeatureVector]:
        """The vectors that a record completes, oldest first."""
        engines = self._engines.setdefault(partition, {})
        instrument = record.head.instrument
        engine = engines.get(instrument)
        if engine is None:
            engine = engines[instrument] = FeatureEngine(self._spec, instrument)
        return engine.update(record, offset)

    def snapshots(self, partition: int, position: int) -> list[StoredSnapshot]:
        """The states of a partition after every record before `position`."""
        stored = []
        for instrument, engine in self._engines.get(partition, {}).items():
            engine.skip_to(position - 1)
            stored.append(StoredSnapshot(instrument, partition, position - 1, engine.snapshot()))
        return stored


class SlowWatcher(Exception):
    """A watcher that did not read fast enough; it has missed vectors."""


@dataclass(eq=False, slots=True)
class Watcher:
    """Vectors of the wanted instruments (all when empty) as they appear."""

    instruments: frozenset[str]
    waiting: queue.Queue[Published] = field(default_factory=lambda: queue.Queue(WATCH_QUEUE))
    missed: bool = False

    def offer(self, published: Published) -> None:
        if self.instruments and published.vector.instrument not in self.instruments:
            return
        try:
            self.waiting.put_nowait(published)
        except queue.Full:
            self.missed = True

    def take(self, timeout_s: float) -> Published | None:
        """The next vector, or None after the timeout. Raises `SlowWatcher`."""
        if self.missed:
            raise SlowWatcher(f"more than {WATCH_QUEUE} vectors were waiting")
        try:
            return self.waiting.get(timeout=timeout_s)
        except queue.Empty:
            return None


class LatestVectors:
    """The newest vector of every instrument of every replica, of one spec; threads may share it."""

    def __init__(self, spec_hash: str) -> None:
        self._spec_hash = spec_hash
        self._lock = threading.Lock()
        self._latest: dict[str, Published] = {}
        self._watchers: tuple[Watcher, ...] = ()

    def put(self, published: Published) -> None:
        """Keep it when it is newer than what is there; one of another spec is not this service's to answer with."""
        vector = published.vector
        if vector.spec_hash != self._spec_hash:
            return
        with self._lock:
            held = self._latest.get(vector.instrument)
            if not is_newer(vector, held.vector if held else None):
                return
            self._latest[vector.instrument] = published
            watchers = self._watchers
        for watcher in watchers:
            watcher.offer(published)

    def get(self, instrument: str) -> Published | None:
        with self._lock:
            return self._latest.get(instrument)

    @contextmanager
    def watch(self, instruments: Sequence[str]) -> Iterator[Watcher]:
        """A watcher for as long as the block lives."""
        watcher = Watcher(frozenset(instruments))
        with self._lock:
            self._watchers = (*self._watchers, watcher)
        try:
            yield watcher
        finally:
            with self._lock:
                self._watchers = tuple(other for other in self._watchers if other is not watcher)
