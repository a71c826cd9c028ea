"""Finds out what became of orders whose outcome is unknown, by asking the venue and never by sending again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.trading.instrument import InstrumentRules
from libs.trading.market import NS_PER_SECOND
from libs.trading.orders import UNANSWERED, Doubted, Filled, Order, OrderEvent, OrderState, ProvenAbsent
from services.order_routing.handlers.account import Account
from services.order_routing.handlers.sending import Sender
from services.order_routing.ports import Sighting, Venue

DAY = 86_400 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Patience:
    """All ns. An order is proven absent by two empty looks, `look_gap` apart, both later than its request's time plus
    `receive_window` plus `margin` in the venue's time. An order without news for `silence` is asked for.

    `answer`: the longest that sending an order can take. One that was recorded longer ago than that plus the window and
    the margin, and has no answer, gets none any more: what sent it failed on the way."""

    answer: int = 6 * NS_PER_SECOND
    receive_window: int = 2 * NS_PER_SECOND
    margin: int = NS_PER_SECOND
    look_gap: int = NS_PER_SECOND // 2
    silence: int = NS_PER_SECOND
    cancel_again: int = 3 * NS_PER_SECOND


class Doubts:
    """Owns the count of empty looks; a restart counts anew, which only takes longer."""

    def __init__(
        self,
        account: Account,
        venue: Venue,
        sender: Sender,
        instruments: Mapping[str, InstrumentRules],
        patience: Patience,
    ) -> None:
        self._account = account
        self._venue = venue
        self._sender = sender
        self._instruments = instruments
        self._patience = patience
        self._empty: dict[str, tuple[int, int]] = {}  # looks that count and the wall time of the last one
        self._asked: dict[str, int] = {}

    def recover(self) -> None:
        """At start: an order that a process before this one recorded may or may not have been sent."""
        for order in self._live():
            if order.state in UNANSWERED:
                self._account.apply(
                    order.client_order_id, [Doubted("a process ended between recording and the answer")]
                )

    def resolve(self) -> None:
        """Ask once for every order in doubt and for every silent one. Raises VenueUnavailable when it is away."""
        now = self._account.clock()
        live = self._live()
        self._forget({order.client_order_id for order in live})
        for order in live:
            if order.state in UNANSWERED and self._given_up(order, now):
                why = "nobody waits for its answer any more"
                order = self._account.apply(order.client_order_id, [Doubted(why)]) or order
            if order.state is OrderState.IN_DOUBT or (order.state not in UNANSWERED and self._silent(order, now)):
                self._ask(order)
            if order.state is OrderState.CANCEL_PENDING and now - order.updated_time > self._patience.cancel_again:
                self._sender.cancel(order, order.reason)

    def ask(self, order: Order) -> None:
        """Look for one order now. Raises VenueUnavailable."""
        self._ask(order)

    def _live(self) -> list[Order]:
        with self._account.lock:
            return list(self._account.live.values())

    def _given_up(self, order: Order, now: int) -> bool:
        """Its sender lost the lease before sending, or the journal after: this process goes on, the order would not."""
        patience = self._patience
        return now - order.recorded_time > patience.answer + patience.receive_window + patience.margin

    def _silent(self, order: Order, now: int) -> bool:
        last = max(order.updated_time, self._asked.get(order.client_order_id, 0))
        return now - last > self._patience.silence

    def _ask(self, order: Order) -> None:
        asked = self._account.clock()
        self._asked[order.client_order_id] = asked
        seen = self._venue.look(order, self._instruments[order.instrument])
        if seen.report is None and not seen.fills:
            self._nothing(order, asked)
            return
        self._empty.pop(order.client_order_id, None)
        self._account.apply(order.client_order_id, news_of(seen))

    def _nothing(self, order: Order, asked: int) -> None:
        """An empty look. It proves nothing before the venue can no longer accept the request.

        The venue judges that by its own clock: ours may have been moved since the request was signed, so the offset is
        measured anew."""
        patience = self._patience
        self._venue.time_offset()
        age = self._venue.time_here(asked) - self._sender.requested_at(order)
        if age <= patience.receive_window + patience.margin:
            return
        looks, last = self._empty.get(order.client_order_id, (0, 0))
        if looks and asked - last < patience.look_gap:
            return
        self._empty[order.client_order_id] = (looks + 1, asked)
        if looks + 1 < 2:
            return
        if age > DAY:
            self._once(order, "doubt_too_old", "the venue no longer shows orders of that age")
        elif order.venue_order_id or order.filled_quantity:
            self._once(
                order, "order_vanished", f"the venue accepted it as {order.venue_order_id!r} and shows it nowhere"
            )
        else:
            reason = "the venue shows it nowhere, twice, after the receive window"
            self._account.apply(order.client_order_id, [ProvenAbsent(reason)])

    def _once(self, order: Order, kind: str, why: str) -> None:
        """Halt for an order that cannot be resolved; say it once, keep asking."""
        if self._empty[order.client_order_id][0] == 2:
            self._account.differ(kind, f"{order.client_order_id}: {why}", halt=True)

    def _forget(self, alive: set[str]) -> None:
        self._empty = {key: value for key, value in self._empty.items() if key in alive}
        self._asked = {key: value for key, value in self._asked.items() if key in alive}


def news_of(seen: Sighting) -> list[OrderEvent]:
    """Fills before the report, so that an end is reached in one step where all executions are there."""
    events: list[OrderEvent] = [Filled(fill) for fill in seen.fills]
    return events if seen.report is None else [*events, seen.report]
