"""From where a restart reads the log, and which of two vectors of an instrument is the newer one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libs.trading.features.vector import FeatureVector


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """An engine's state that has seen everything of its instrument in `partition` up to and including `offset`."""

    instrument: str
    partition: int
    offset: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Start:
    """Read a partition from `position`; these states skip to their own offsets by themselves.

    When one of them cannot be used after all, read from `first_offset`.
    """

    position: int
    first_offset: int
    states: tuple[StoredSnapshot, ...]


def plan_start(
    partition: int, snapshots: Iterable[StoredSnapshot], mark: int | None, first_offset: int, end_offset: int
) -> Start:
    """Where to begin so that no engine misses a record.

    `mark` is the position up to which a *whole* pass of snapshots was acknowledged: an instrument without a snapshot
    has its first record at or behind it. Without a mark everything that the log still has is read again. A snapshot
    that the log has outlived (its next record was deleted) or has not reached (another log) cannot be gone on from.
    """
    mine = [snapshot for snapshot in snapshots if snapshot.partition == partition]
    usable = tuple(snapshot for snapshot in mine if first_offset <= snapshot.offset + 1 <= end_offset)
    if mark is None or mark > end_offset or len(usable) < len(mine):
        return Start(first_offset, first_offset, usable)
    position = min([mark, *(snapshot.offset + 1 for snapshot in usable)])
    return Start(max(position, first_offset), first_offset, usable)


def newest(snapshots: Iterable[StoredSnapshot]) -> dict[str, StoredSnapshot]:
    """The snapshot with the greatest offset of each instrument; of equal ones the later."""
    best: dict[str, StoredSnapshot] = {}
    for snapshot in snapshots:
        if snapshot.instrument not in best or snapshot.offset >= best[snapshot.instrument].offset:
            best[snapshot.instrument] = snapshot
    return best


@dataclass(frozen=True, slots=True)
class Published:
    """A vector with the bytes that went to the log."""

    vector: FeatureVector
    message: bytes


def is_newer(vector: FeatureVector, than: FeatureVector | None) -> bool:
    """By epoch, then by as-of: a later ingestion's session may play an earlier time."""
    return than is None or (vector.input_epoch, vector.as_of) > (than.input_epoch, than.as_of)


def not_ready_counts(vectors: Iterable[FeatureVector]) -> Mapping[int, int]:
    """How many values of these vectors are missing, by reason."""
    counts: dict[int, int] = {}
    for vector in vectors:
        for reason in vector.reasons[vector.reasons != 0].tolist():
            counts[reason] = counts.get(reason, 0) + 1
    return counts
