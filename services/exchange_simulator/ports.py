"""What the venue needs of the outside, and what the outside may ask of the venue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from services.exchange_simulator.domain.accounts import Account, Changes
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.orders import Accepted, NewOrder, Refused
from services.exchange_simulator.domain.public import BookFrame, PublicFrame, TickerFrame
from services.exchange_simulator.domain.sessions import Session
from services.exchange_simulator.domain.tape import Tape


class Journal(Protocol):
    """Durable accounts."""

    def load(self) -> tuple[list[Account], int]:
        """Every account with its history, and the last sequence number used (0 for none)."""

    def save(self, changes: Sequence[Changes], sequence: int) -> None:
        """All of it or nothing; returns when a killed process could not lose it."""


class Publisher(Protocol):
    """Tells subscribers what happened."""

    def public(self, frames: Sequence[PublicFrame]) -> None: ...

    def private(self, changes: Changes, account: Account, mark: Decimal | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of one paper account."""

    key: str
    secret: str


class PaperVenue(Protocol):
    """The venue without a wire. Wall times in ns; one thread calls it."""

    instrument: Instrument
    tape: Tape

    @property
    def session(self) -> Session: ...
    @property
    def mark(self) -> Decimal | None:
        """Mark price, None before the first trade."""

    def account(self, key: str) -> Account: ...
    def book(self) -> BookFrame:
        """What a reader of every book frame so far holds."""

    def ticker(self) -> TickerFrame | None: ...
    def place(self, key: str, order: NewOrder, wall_ns: int) -> Accepted | Refused: ...
    def cancel(self, key: str, order_id: str, link_id: str, wall_ns: int) -> Accepted | Refused: ...
    def cancel_all(self, key: str, wall_ns: int) -> list[Accepted]: ...
    def set_leverage(self, key: str, value: Decimal, wall_ns: int) -> Refused | None: ...
    def begin(self, wall_ns: int) -> None:
        """Start playing; calling it again does nothing."""

    def due_s(self, wall_ns: int) -> float | None:
        """Seconds until `advance` has something to play; None while nothing is due until a call changes that."""

    def advance(self, wall_ns: int) -> None:
        """Play the next step and tell everybody."""

    def go(self, wall_ns: int) -> bool: ...
