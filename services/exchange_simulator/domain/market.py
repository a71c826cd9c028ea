"""What a source plays: steps of a market in session time, and the book that our orders meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from libs.trading.market import Side
from libs.trading.simulation.ladder import Ladder
from libs.trading.simulation.matching import Match, OrderBook


@dataclass(frozen=True, slots=True)
class Print:
    """One trade, in ticks and lots. `trade_id` is the source's own name for it, empty when the venue names it;
    `time_ns` is its own time, 0 when it is the step's."""

    side: Side
    price: int
    lots: int
    trade_id: str = ""
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Forced:
    """A liquidated position: its side, size and bankruptcy price."""

    time_ns: int
    side: Side
    lots: int
    price: int


@dataclass(frozen=True, slots=True)
class Derivative:
    """A contract's figures; None is not known. Prices in quote units, open interest in base units."""

    mark: float | None = None
    index: float | None = None
    funding_rate: float | None = None
    next_funding_ns: int | None = None
    open_interest: float | None = None


@dataclass(slots=True)
class Step:
    """What happened in the market at one moment of its own clock. `matches` are those of known resting orders."""

    time_ns: int
    prints: list[Print] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    forced: list[Forced] = field(default_factory=list)
    book_changed: bool = False
    snapshot: bool = False
    derivative: Derivative | None = None


class TradableBook(OrderBook, Protocol):
    """A book that shows both its sides."""

    def ladder(self, side: Side) -> Ladder: ...


class Source(Protocol):
    """A market that is played step by step; time is its own."""

    @property
    def book(self) -> TradableBook: ...

    @property
    def next_ns(self) -> int | None:
        """Session time at which the next step is due; None when there is no more."""

    def step(self) -> Step:
        """Play the next step into the book."""
