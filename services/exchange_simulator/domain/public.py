"""What the venue tells everybody, before it is put into frames."""

from __future__ import annotations

from dataclasses import dataclass

from services.exchange_simulator.domain.market import Derivative, Forced, Print
from services.exchange_simulator.domain.sessions import Session

DEPTH = 50


@dataclass(frozen=True, slots=True)
class BookFrame:
    """Levels are (ticks, lots), best first; 0 lots removes. `update_id` follows by one, `sequence` grows."""

    time_ns: int
    snapshot: bool
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    update_id: int
    sequence: int


@dataclass(frozen=True, slots=True)
class TradesFrame:
    """`directions` is how each price stands to the one before it: PlusTick, ZeroPlusTick, MinusTick, ZeroMinusTick."""

    time_ns: int
    prints: list[Print]
    ids: list[str]
    directions: list[str]
    sequence: int


@dataclass(frozen=True, slots=True)
class TickerFrame:
    """The whole ticker; who puts it into frames leaves out what did not change. None is not known."""

    time_ns: int
    direction: str
    last: int
    day_open: int
    day_high: int
    day_low: int
    hour_open: int
    day_turnover: float
    day_lots: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None
    derivative: Derivative
    sequence: int


@dataclass(frozen=True, slots=True)
class LiquidationsFrame:
    time_ns: int
    forced: list[Forced]


@dataclass(frozen=True, slots=True)
class SessionFrame:
    wall_ns: int
    session: Session


PublicFrame = BookFrame | TradesFrame | TickerFrame | LiquidationsFrame | SessionFrame
