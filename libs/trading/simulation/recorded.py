"""Orders against a recording: filled behind the displayed queue by recorded trades; takers walk the displayed book."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from libs.trading.market import Side
from libs.trading.simulation.ladder import Ladder
from libs.trading.simulation.matching import Match, opposite


@dataclass(slots=True)
class Waiting:
    """A resting order and the lots that were displayed at its price when it joined and have not traded since."""

    order_id: str
    side: Side
    price: int
    lots: int
    ahead: int


class RecordedBook:
    """A recorded book that nobody here can move.

    - A resting order waits behind the size displayed at its price when it joined. Only trades at that price shorten the
      queue: a cancel ahead does not help, for we cannot know where in the queue it stood (conservative).
    - A trade through the order's price fills it, up to the trade's size; a trade at its price fills it with what is
      left when the queue ahead is gone. One trade's size is given out once.
    - A taker walks the displayed levels. What it took stays taken until the recording sets that level again.
    """

    def __init__(self) -> None:
        self.bids = Ladder(Side.BUY)
        self.asks = Ladder(Side.SELL)
        self._taken: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._waiting: dict[str, Waiting] = {}

    def ladder(self, side: Side) -> Ladder:
        return self.bids if side is Side.BUY else self.asks

    def display(self, side: Side, levels: Iterable[tuple[int, int]]) -> None:
        """Set recorded levels; each counts as refreshed, so what was taken from it is forgotten."""
        ladder, taken = self.ladder(side), self._taken[side]
        for price, lots in levels:
            ladder.set(price, lots)
            taken.pop(price, None)

    def reset(self) -> None:
        """Forget the displayed book, before a snapshot; resting orders keep their places."""
        for side in (Side.BUY, Side.SELL):
            self.ladder(side).clear()
            self._taken[side].clear()

    def crosses(self, side: Side, price: int) -> bool:
        return self.ladder(opposite(side)).reaches(price)

    def available(self, side: Side, price: int) -> int:
        """Displayed lots at a price less what our takers took since it was refreshed."""
        return self.ladder(side).sizes.get(price, 0) - self._taken[side].get(price, 0)

    def take(self, side: Side, lots: int, limit: int | None) -> list[Match]:
        against = opposite(side)
        ladder, taken = self.ladder(against), self._taken[against]
        matches: list[Match] = []
        for key in ladder.keys:
            if lots <= 0 or (limit is not None and key > ladder.sign * limit):
                break
            price = ladder.sign * key
            size = min(lots, self.available(against, price))
            if size > 0:
                matches.append(Match(None, price, size))
                taken[price] = taken.get(price, 0) + size
                lots -= size
        return matches

    def rest(self, order_id: str, side: Side, price: int, lots: int) -> None:
        if order_id in self._waiting:
            raise ValueError(f"order {order_id} already rests")
        ahead = self.ladder(side).sizes.get(price, 0)
        self._waiting[order_id] = Waiting(order_id, side, price, lots, ahead)

    def cancel(self, order_id: str) -> int:
        waiting = self._waiting.pop(order_id, None)
        return 0 if waiting is None else waiting.lots

    def trade(self, taker_side: Side, price: int, lots: int) -> list[Match]:
        """A recorded trade happened; what it gave to the orders that wait here, best price first, then oldest."""
        if not self._waiting:
            return []
        sign = -1 if taker_side is Side.SELL else 1  # a sell meets bids, highest first
        reached = [w for w in self._waiting.values() if w.side is not taker_side and sign * w.price <= sign * price]
        matches: list[Match] = []
        given = 0
        for waiting in sorted(reached, key=lambda w: sign * w.price):  # stable: older first at one price
            queued = 0
            if waiting.price == price:
                queued = min(waiting.ahead, lots)
                waiting.ahead -= queued
            filled = min(waiting.lots, max(0, lots - queued - given))
            if filled:
                given += filled
                waiting.lots -= filled
                matches.append(Match(waiting.order_id, waiting.price, filled))
                if waiting.lots == 0:
                    del self._waiting[waiting.order_id]
        return matches
