"""A market log in memory that acknowledges when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from libs.trading.market import FeedGap, MarketEvent, RecordHead


@dataclass
class RememberingLog:
    """Offsets rise by one with each record of `market.events`, the opening ones included."""

    records: list[tuple[RecordHead, list[MarketEvent]]] = field(default_factory=list)
    backfilled: list[tuple[RecordHead, list[MarketEvent]]] = field(default_factory=list)
    buried: list[tuple[str, bytes, str]] = field(default_factory=list)

    def open(self, head: RecordHead, gap: FeedGap) -> Future[int]:
        self.records.append((head, [gap]))
        offset: Future[int] = Future()
        offset.set_result(len(self.records) - 1)
        return offset

    def append(self, head: RecordHead, events: Sequence[MarketEvent]) -> None:
        self.records.append((head, list(events)))

    def backfill(self, head: RecordHead, events: Sequence[MarketEvent]) -> Future[int]:
        self.backfilled.append((head, list(events)))
        offset: Future[int] = Future()
        offset.set_result(len(self.backfilled) - 1)
        return offset

    def bury(self, instrument: str, frame: bytes, reason: str) -> None:
        self.buried.append((instrument, frame, reason))


@dataclass
class CountingMeter:
    gaps: int = 0
    quarantines: int = 0
    malformeds: int = 0

    def gap(self, instrument: str) -> None:
        self.gaps += 1

    def quarantined(self, instrument: str) -> None:
        self.quarantines += 1

    def malformed(self, instrument: str) -> None:
        self.malformeds += 1
