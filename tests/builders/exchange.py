"""A venue without a wire, with a journal in a file or in memory and a publisher that remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from libs.trading.market import NS_PER_SECOND, Side
from services.exchange_simulator.adapters.sources import Fees, generated
from services.exchange_simulator.domain.accounts import Account, Changes
from services.exchange_simulator.domain.generator import Flow
from services.exchange_simulator.domain.orders import NewOrder, TimeInForce
from services.exchange_simulator.domain.public import PublicFrame
from services.exchange_simulator.domain.sessions import State
from services.exchange_simulator.handlers import Venue
from services.exchange_simulator.ports import Journal

KEY = "key-of-a-test"
START = 1_700_000_000 * NS_PER_SECOND
FREE_AND_CHEAP: Fees = (Decimal(0), Decimal("0.0001"))


@dataclass
class Heard:
    """A `Publisher` that remembers; `journal` shows that what it hears was saved before."""

    frames: list[PublicFrame] = field(default_factory=list)
    changes: list[Changes] = field(default_factory=list)

    def public(self, frames: Sequence[PublicFrame]) -> None:
        self.frames += frames

    def private(self, changes: Changes, account: Account, mark: Decimal | None) -> None:
        self.changes.append(changes)


@dataclass
class Remembered:
    """A `Journal` in memory."""

    saved: list[Changes] = field(default_factory=list)
    sequence: int = 0

    def load(self) -> tuple[list[Account], int]:
        return [], self.sequence

    def save(self, changes: Sequence[Changes], sequence: int) -> None:
        self.saved += changes
        self.sequence = sequence


def a_venue(
    heard: Heard | None = None,
    journal: Journal | None = None,
    *,
    training_s: int = 5,
    flow: Flow | None = None,
    now: int = START,
) -> Venue:
    """A generator's venue that has not begun."""
    source, pacer = generated(flow or Flow(7, 1.0), "BTCUSDT", FREE_AND_CHEAP, training_s, now)
    return Venue(source, pacer, journal or Remembered(), heard or Heard(), [KEY], Decimal(10_000))


def trading(venue: Venue, now: int = START) -> Venue:
    """Play the training stretch through, up to the moment when orders are received."""
    venue.begin(now)
    while venue.session.state is State.PLAYING_TRAINING:
        venue.advance(now)
    return venue


def an_order(
    side: Side = Side.BUY,
    quantity: str = "0.010",
    price: str | None = None,
    tif: TimeInForce = TimeInForce.GTC,
    *,
    reduce_only: bool = False,
    link_id: str = "",
) -> NewOrder:
    wanted = None if price is None else Decimal(price)
    return NewOrder("BTCUSDT", side, Decimal(quantity), wanted, tif, reduce_only, link_id)
