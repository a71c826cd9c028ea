"""What the service needs from the world: a place for snapshots, and someone to tell what happened."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from libs.trading.features.vector import FeatureVector
from libs.trading.market import MarketRecord
from services.feature_store.domain import Start, StoredSnapshot


class Snapshots(Protocol):
    """Where engine states survive a restart."""

    def start_of(self, partition: int) -> Start:
        """From where to read a partition of the market's log, and with which states."""

    def store(self, snapshot: StoredSnapshot) -> Future[Any]:
        """Write one state; the future fails when it was not acknowledged."""

    def mark(self, partition: int, position: int) -> Future[Any]:
        """Say that every engine of the partition has an acknowledged state from before `position`."""


class EngineRoom(Protocol):
    """The engines of the partitions that this replica reads."""

    def begin(self, partition: int, states: Sequence[StoredSnapshot]) -> bool:
        """Take over a partition; False when a state was refused, so that everything must be read again."""

    def give_up(self, partition: int) -> None: ...

    def update(self, partition: int, offset: int, record: MarketRecord) -> list[FeatureVector]: ...

    def snapshots(self, partition: int, position: int) -> list[StoredSnapshot]:
        """The states of a partition after every record before `position`."""


class Notices(Protocol):
    """What happened, for those who watch the service."""

    def read(self, instrument: str, rows: int) -> None: ...

    def published(self, vectors: Sequence[FeatureVector], seconds: float) -> None:
        """Handed to the log `seconds` after their record was polled."""

    def acknowledged(self, instrument: str, vectors: int) -> None: ...

    def buried(self, partition: int, offset: int, reason: str) -> None: ...

    def restored(self, partition: int, position: int, instruments: Sequence[str]) -> None: ...

    def snapshot_refused(self, instrument: str, reason: str) -> None: ...

    def lag(self, partition: int, records: int) -> None: ...

    def lag_unknown(self, reason: str) -> None:
        """Nobody says how far the log reaches; told by each look until one says it."""
