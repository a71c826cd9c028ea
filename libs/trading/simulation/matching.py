"""A price-time matching book: known orders stand in the queue among anonymous size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from libs.trading.market import Side
from libs.trading.simulation.ladder import Ladder

_UNLIMITED = {Side.BUY: 1 << 60, Side.SELL: -(1 << 60)}


@dataclass(frozen=True, slots=True)
class Match:
    """Size that changed hands at a resting order's price; `maker` None is anonymous."""

    maker: str | None
    price: int
    lots: int


class OrderBook(Protocol):
    """What an order can do in a market, whatever plays that market. Prices in ticks, sizes in lots."""

    bids: Ladder
    asks: Ladder

    def take(self, side: Side, lots: int, limit: int | None) -> list[Match]:
        """Match a taker of `side` at once, best price first, up to its limit; what is left is the caller's affair."""

    def rest(self, order_id: str, side: Side, price: int, lots: int) -> None:
        """Join the queue at a price. Raises ValueError when the id already rests."""

    def cancel(self, order_id: str) -> int:
        """Leave the queue; the lots that were left, 0 when the order does not rest."""

    def crosses(self, side: Side, price: int) -> bool:
        """Whether a limit order would trade at once."""


@dataclass(slots=True)
class _Place:
    """A place in a level's queue: a known order, or anonymous size (None)."""

    order_id: str | None
    lots: int


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


class PriceTimeBook:
    """Known orders and anonymous size in one book; takers meet price first, then time.

    A level without known orders is only a number. A level with one has a queue of places; new anonymous size joins at
    its end, and anonymous size that shrinks leaves from its end, so a known order never gains by another's cancel
    unless nothing anonymous is behind it.
    """

    def __init__(self) -> None:
        self.bids = Ladder(Side.BUY)
        self.asks = Ladder(Side.SELL)
        self._queues: dict[Side, dict[int, list[_Place]]] = {Side.BUY: {}, Side.SELL: {}}
        self._resting: dict[str, tuple[Side, int]] = {}

    def ladder(self, side: Side) -> Ladder:
        return self.bids if side is Side.BUY else self.asks

    def crosses(self, side: Side, price: int) -> bool:
        return self.ladder(opposite(side)).reaches(price)

    def anonymous(self, side: Side, price: int) -> int:
        """Anonymous lots at a price."""
        queue = self._queues[side].get(price)
        if queue is None:
            return self.ladder(side).sizes.get(price, 0)
        return sum(place.lots for place in queue if place.order_id is None)

    def set_anonymous(self, side: Side, price: int, lots: int) -> list[Match]:
        """Make the anonymous size at a price `lots`; what would cross takes first. Returns what it took."""
        matches: list[Match] = []
        if lots and self.crosses(side, price):
            matches = self.take(side, lots, price)
            lots -= sum(match.lots for match in matches)
        queue = self._queues[side].get(price)
        if queue is None:
            self.ladder(side).set(price, lots)
            return matches
        change = lots - sum(place.lots for place in queue if place.order_id is None)
        if change > 0:
            if queue and queue[-1].order_id is None:
                queue[-1].lots += change
            else:
                queue.append(_Place(None, change))
        elif change < 0:
            self._shrink(queue, -change)
        self._settle(side, price, queue)
        return matches

    def take(self, side: Side, lots: int, limit: int | None) -> list[Match]:
        against = opposite(side)
        ladder = self.ladder(against)
        bound = _UNLIMITED[side] if limit is None else limit
        matches: list[Match] = []
        while lots > 0 and ladder.reaches(bound):
            price = ladder.sign * ladder.keys[0]
            queue = self._queues[against].get(price)
            if queue is None:
                available = ladder.sizes[price]
                taken = min(lots, available)
                matches.append(Match(None, price, taken))
                ladder.set(price, available - taken)
                lots -= taken
            else:
                lots = self._take_queue(queue, lots, price, matches)
                self._settle(against, price, queue)
        return matches

    def rest(self, order_id: str, side: Side, price: int, lots: int) -> None:
        if order_id in self._resting:
            raise ValueError(f"order {order_id} already rests")
        queues = self._queues[side]
        if price not in queues:
            before = self.ladder(side).sizes.get(price, 0)
            queues[price] = [_Place(None, before)] if before else []
        queues[price].append(_Place(order_id, lots))
        self._resting[order_id] = (side, price)
        self._settle(side, price, queues[price])

    def cancel(self, order_id: str) -> int:
        found = self._resting.get(order_id)
        if found is None:
            return 0
        side, price = found
        queue = self._queues[side][price]
        place = next(place for place in queue if place.order_id == order_id)
        left = place.lots
        place.lots = 0
        self._settle(side, price, queue)
        return left

    def _take_queue(self, queue: list[_Place], lots: int, price: int, matches: list[Match]) -> int:
        for place in queue:
            taken = min(lots, place.lots)
            if taken:
                matches.append(Match(place.order_id, price, taken))
                place.lots -= taken
                lots -= taken
        return lots

    @staticmethod
    def _shrink(queue: list[_Place], lots: int) -> None:
        for place in reversed(queue):
            if place.order_id is None:
                gone = min(lots, place.lots)
                place.lots -= gone
                lots -= gone

    def _settle(self, side: Side, price: int, queue: list[_Place]) -> None:
        """Drop empty places, show the level's size, forget a queue without known orders."""
        for place in queue:
            if place.lots == 0 and place.order_id is not None:
                self._resting.pop(place.order_id, None)
        queue[:] = [place for place in queue if place.lots > 0]
        self.ladder(side).set(price, sum(place.lots for place in queue))
        if all(place.order_id is None for place in queue):
            self._queues[side].pop(price, None)
