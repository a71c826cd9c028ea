"""Sends a journaled order once, and journals what the venue answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from libs.trading.instrument import InstrumentRules
from libs.trading.orders import (
    Acknowledged,
    CancelRequested,
    Doubted,
    Order,
    OrderEvent,
    OrderState,
    ProvenAbsent,
    Refused,
    Sent,
)
from libs.trading.risk import TradingState
from services.order_routing.handlers.account import Account
from services.order_routing.ports import (
    Accepted,
    CancelTaken,
    ExistsAlready,
    NotTaken,
    TurnedDown,
    Unclear,
    Venue,
)


class Sender:
    """The only way from the journal to the venue."""

    def __init__(self, account: Account, venue: Venue, instruments: Mapping[str, InstrumentRules]) -> None:
        self._account = account
        self._venue = venue
        self._instruments = instruments
        self._signed: dict[str, int] = {}  # of requests without a clear answer

    def send(self, order: Order, written: Callable[[], None] = lambda: None) -> Order:
        """Send an order that was just recorded, exactly once. Returns it as it is after the answer.

        Raises LeaseLost before anything is sent when the lease ran out; the order then stays RECORDED, which the next
        holder treats as in doubt.
        """
        account = self._account
        account.fence(account.clock())
        self._signed[order.client_order_id] = self._venue.time_here(order.recorded_time)
        outcome = self._venue.submit(order, self._instruments[order.instrument], written)
        events: list[OrderEvent] = [Sent()]
        match outcome:
            case Accepted(venue_order_id):
                events.append(Acknowledged(venue_order_id))
            case TurnedDown(reason):
                events.append(Refused(reason))
            case NotTaken(reason):
                events = [ProvenAbsent(reason)]
                self._heed(outcome)
            case ExistsAlready():
                events.append(Doubted("the venue has this id already"))
            case Unclear(reason):
                events.append(Doubted(reason))
        order = account.apply(order.client_order_id, events) or order
        if order.state is not OrderState.IN_DOUBT:
            self._signed.pop(order.client_order_id, None)
        return order

    def requested_at(self, order: Order) -> int:
        """The venue's time (ns) with which an order was signed; after a restart, by the offset measured last."""
        return self._signed.get(order.client_order_id, self._venue.time_here(order.recorded_time))

    def cancel(self, order: Order, reason: str) -> Order:
        """Ask the venue to cancel; the end comes with its news. A cancel may be asked for again: it does no harm.

        What the caller saw may be old: an order that ended meanwhile is returned as it is and the venue is not asked.
        """
        account = self._account
        now = account.clock()
        account.fence(now)
        order = account.apply(order.client_order_id, [CancelRequested(reason)]) or order
        if order.terminal:
            return order
        outcome = self._venue.cancel(order, self._instruments[order.instrument], now)
        match outcome:
            case Unclear(why):
                order = account.apply(order.client_order_id, [Doubted(f"cancel: {why}")]) or order
            case NotTaken():
                self._heed(outcome)
            case CancelTaken():
                pass
        return order

    def _heed(self, answer: NotTaken) -> None:
        account = self._account
        if answer.resume_at is not None:
            account.paused_until = max(answer.resume_at, account.paused_until or 0)
        if answer.halt and account.state is not TradingState.HALTED:
            account.set_state(TradingState.HALTED, "venue", answer.reason)
