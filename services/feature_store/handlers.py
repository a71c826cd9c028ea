"""Keeps one engine per instrument, and the newest vector of each for whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from libs.trading.features.engine import FeatureEngine, SnapshotMismatch
from libs.trading.features.spec import FeatureSpec
from libs.trading.features.vector import FeatureVector
from libs.trading.market import MarketRecord
from services.feature_store.domain import Published, StoredSnapshot, is_newer
from services.feature_store.ports import Notices


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


class LatestVectors:
    """The newest vector of every instrument of every replica, of one spec; threads may share it. `show` gets each."""

    def __init__(
        self, spec_hash: str, show: Callable[[str, Published], None] = lambda instrument, vector: None
    ) -> None:
        self._spec_hash, self._show = spec_hash, show
        self._lock = threading.Lock()
        self._latest: dict[str, Published] = {}

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
        self._show(vector.instrument, published)

    def get(self, instrument: str) -> Published | None:
        with self._lock:
            return self._latest.get(instrument)
