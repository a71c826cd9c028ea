"""A recorded market, played record by record; our orders meet it by the rules of `RecordedBook`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from libs.trading.market import NS_PER_SECOND, BookUpdate, Liquidation, MarketEvent, Side, Ticker, Trade
from libs.trading.simulation.recorded import RecordedBook
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.market import Derivative, Forced, Print, Step

GRID_NS = NS_PER_SECOND // 2
Known = TypeVar("Known", int, float)


@dataclass(frozen=True, slots=True)
class Moment:
    """What one record says, and the session time (ns) at which it is due."""

    due_ns: int
    events: list[MarketEvent]


class Recording:
    """A `Source`. A record that says nothing of the market (a tick, a gap) is a step without frames."""

    def __init__(self, moments: Iterator[Moment], instrument: Instrument) -> None:
        self.book = RecordedBook()
        self._moments = moments
        self._tick, self._lot = float(instrument.tick), float(instrument.lot)
        self._derivative = Derivative()
        self._next_grid = 0
        self._next = next(moments, None)

    @property
    def next_ns(self) -> int | None:
        return None if self._next is None else self._next.due_ns

    def step(self) -> Step:
        """Raises StopIteration after the last record."""
        moment = self._next
        if moment is None:
            raise StopIteration("the recording is over")
        self._next = next(self._moments, None)
        step = Step(moment.due_ns)
        for event in moment.events:
            self._play(event, step)
        if moment.due_ns >= self._next_grid:
            self._next_grid = moment.due_ns - moment.due_ns % GRID_NS + GRID_NS
            step.derivative = self._derivative
        return step

    def _play(self, event: MarketEvent, step: Step) -> None:
        if isinstance(event, Trade):
            price, lots = round(event.price / self._tick), round(event.size / self._lot)
            step.time_ns = event.event_time
            step.prints.append(Print(event.taker_side, price, lots, event.trade_id, event.event_time))
            step.matches += self.book.trade(event.taker_side, price, lots)
        elif isinstance(event, BookUpdate):
            step.time_ns = event.event_time
            step.book_changed = True
            if event.snapshot:
                step.snapshot = True
                self.book.reset()
            for side, levels in ((Side.BUY, event.bids), (Side.SELL, event.asks)):
                steps = [(round(price / self._tick), round(size / self._lot)) for price, size in levels]
                self.book.display(side, steps)
        elif isinstance(event, Liquidation):
            lots, price = round(event.size / self._lot), round(event.bankruptcy_price / self._tick)
            step.forced.append(Forced(event.event_time, event.position_side, lots, price))
        elif isinstance(event, Ticker):
            self._derivative = _merged(self._derivative, event)


def _merged(known: Derivative, ticker: Ticker) -> Derivative:
    """What the ticker says, over what was known."""
    return Derivative(
        _newer(ticker.mark_price, known.mark),
        _newer(ticker.index_price, known.index),
        _newer(ticker.funding_rate, known.funding_rate),
        _newer(ticker.next_funding_time, known.next_funding_ns),
        _newer(ticker.open_interest, known.open_interest),
    )


def _newer(said: Known | None, before: Known | None) -> Known | None:
    return before if said is None else said
