"""A venue in memory that keeps the promises of ports.Venue and can be told to fail in every way a real one does."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from libs.trading.instrument import InstrumentRules
from libs.trading.market import Quote, Side
from libs.trading.orders import ZERO, Fill, Order, Reported, TimeInForce, VenueStatus
from libs.trading.portfolio import signed
from services.order_routing.ports import (
    Accepted,
    CancelOutcome,
    CancelTaken,
    ExistsAlready,
    FillNews,
    News,
    NotTaken,
    OrderNews,
    Sighting,
    SubmitOutcome,
    TurnedDown,
    Unclear,
    VenueOrder,
    VenueUnavailable,
)

MS = 1_000_000


class FakeClock:
    """Wall time that moves when it is told to, and by a microsecond at every look."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        self.now += 1_000
        return self.now

    def advance(self, ns: int) -> None:
        self.now += ns


@dataclass
class Faults:
    """Chances of each fault, 0 to 1. All zero: a venue without faults."""

    accept_then_timeout: float = 0.0
    lost_request: float = 0.0
    delayed_request: float = 0.0  # unclear now, arrives later within or after the receive window
    rate_limited: float = 0.0
    clock_skew: float = 0.0  # refused for its time
    turned_down: float = 0.0
    unknown_code: float = 0.0
    cancel_unclear: float = 0.0
    question_fails: float = 0.0
    history_lag: float = 0.0  # an order is not shown by this look although it is there
    fill_lag: float = 0.0  # executions are not shown by this look
    news_lost: float = 0.0
    news_twice: float = 0.0
    news_shuffled: float = 0.0
    partial: float = 0.3
    nothing_filled: float = 0.2


CALM = Faults(partial=0.0, nothing_filled=0.0)


@dataclass
class AtVenue:
    """One order as the venue has it."""

    order: Order
    venue_order_id: str
    status: VenueStatus = VenueStatus.OPEN
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        return sum((fill.quantity for fill in self.fills), ZERO)

    def report(self) -> Reported:
        return Reported(self.venue_order_id, self.status, self.filled)


class PaperVenueInMemory:
    """One-way positions, immediate matching at the quote, IOC and resting GTC orders."""

    def __init__(
        self, clock: FakeClock, quote: Quote, rules: InstrumentRules, *, seed: int = 0, faults: Faults = CALM
    ) -> None:
        self.clock = clock
        self.book = quote
        self.traded = rules
        self.faults = faults
        self.receive_window = 2_000 * MS
        self.offset = 0  # the venue's time minus the router's
        self._measured = 0
        self.orders: dict[str, AtVenue] = {}
        self.received: Counter[str] = Counter()  # requests that reached the venue, by client order id
        self.sent: Counter[str] = Counter()  # requests that were sent, by client order id
        self.news: deque[News] = deque()
        self.wallet = Decimal(100_000)
        self._random = random.Random(seed)
        self._late: list[tuple[int, Order]] = []
        self._executions: list[Fill] = []

    # --- orders

    def submit(self, order: Order, rules: InstrumentRules, written: Callable[[], None]) -> SubmitOutcome:
        self.sent[order.client_order_id] += 1
        written()
        faults, chance = self.faults, self._random.random
        if chance() < faults.rate_limited:
            return NotTaken("10006: too many visits", resume_at=self.clock.now + 1_000 * MS)
        if chance() < faults.clock_skew:
            return NotTaken("10002: timestamp outside the receive window")
        if chance() < faults.turned_down:
            return TurnedDown("110007: insufficient balance")
        if chance() < faults.lost_request:
            return Unclear("timeout")
        if chance() < faults.unknown_code:
            return Unclear("99999: unheard of")
        if chance() < faults.delayed_request:
            self._late.append((self.clock.now + self._random.randint(1, 4_000) * MS, order))
            return Unclear("timeout")
        outcome = self._receive(order)
        return Unclear("timeout after accept") if chance() < faults.accept_then_timeout else outcome

    def _receive(self, order: Order) -> SubmitOutcome:
        """The matching engine's side: the receive window and the uniqueness of the id hold here."""
        if self.clock.now > order.recorded_time + self.receive_window:
            return NotTaken("10002: timestamp outside the receive window")
        self.received[order.client_order_id] += 1
        if order.client_order_id in self.orders:
            return ExistsAlready()
        at = AtVenue(order, f"v{len(self.orders) + 1}")
        self.orders[order.client_order_id] = at
        self._match(at)
        return Accepted(at.venue_order_id)

    def _match(self, at: AtVenue) -> None:
        order = at.order
        price = Decimal(str(self.book.ask if order.side is Side.BUY else self.book.bid))
        crosses = order.price >= price if order.side is Side.BUY else order.price <= price
        quantity = order.quantity
        if order.reduce_only:
            held = self.held()
            room = max(ZERO, -held if order.side is Side.BUY else held)
            quantity = min(quantity, room)
        draw = self._random.random()
        if draw < self.faults.nothing_filled:
            quantity = ZERO
        elif draw < self.faults.nothing_filled + self.faults.partial:
            quantity = (quantity / 2).quantize(self.traded.lot_size)
        if crosses and quantity > 0:
            parts = [quantity] if self._random.random() < 0.5 else self._split(quantity)
            for part in parts:
                self._fill(at, part, price)
        if at.filled == order.quantity:
            at.status = VenueStatus.FILLED
        elif order.time_in_force is TimeInForce.IOC:
            at.status = VenueStatus.CANCELLED
        self._tell(OrderNews(order.client_order_id, at.report()))

    def _split(self, quantity: Decimal) -> list[Decimal]:
        first = (quantity / 3).quantize(self.traded.lot_size)
        return [part for part in (first, quantity - first) if part > 0]

    def _fill(self, at: AtVenue, quantity: Decimal, price: Decimal) -> None:
        fill = Fill(
            execution_id=f"x{len(self._executions) + 1}",
            client_order_id=at.order.client_order_id,
            venue_order_id=at.venue_order_id,
            instrument=at.order.instrument,
            side=at.order.side,
            price=price,
            quantity=quantity,
            fee_quote=quantity * price * Decimal("0.00055"),
            maker=False,
            time=self.clock.now,
        )
        at.fills.append(fill)
        self._executions.append(fill)
        self._tell(FillNews(fill))

    def fill_resting(self, client_order_id: str, quantity: Decimal) -> None:
        """Somebody takes a resting order."""
        at = self.orders[client_order_id]
        self._fill(at, quantity, at.order.price)
        if at.filled == at.order.quantity:
            at.status = VenueStatus.FILLED
        self._tell(OrderNews(client_order_id, at.report()))

    def place_by_hand(self, order: Order) -> None:
        """Somebody else trades the same account."""
        self._receive(order)

    def cancel(self, order: Order, rules: InstrumentRules, now: int) -> CancelOutcome:
        at = self.orders.get(order.client_order_id)
        lost = self._random.random() < self.faults.cancel_unclear
        if lost and self._random.random() < 0.5:
            return Unclear("timeout")
        if at is None or at.status is not VenueStatus.OPEN:
            return Unclear("110001: order not exists or too late to cancel")
        at.status = VenueStatus.CANCELLED
        self._tell(OrderNews(order.client_order_id, at.report()))
        return Unclear("timeout after cancel") if lost else CancelTaken()

    def cancel_all(self, rules: InstrumentRules, now: int) -> CancelOutcome:
        for at in self.orders.values():
            if at.status is VenueStatus.OPEN:
                at.status = VenueStatus.CANCELLED
                self._tell(OrderNews(at.order.client_order_id, at.report()))
        return CancelTaken()

    # --- questions

    def _answering(self) -> None:
        self.arrive()
        if self._random.random() < self.faults.question_fails:
            raise VenueUnavailable("no answer")

    def arrive(self) -> None:
        """Requests that were on their way get there."""
        due = [order for at, order in self._late if at <= self.clock.now]
        self._late = [(at, order) for at, order in self._late if at > self.clock.now]
        for order in due:
            self._receive(order)

    def look(self, order: Order, rules: InstrumentRules) -> Sighting:
        self._answering()
        at = self.orders.get(order.client_order_id)
        if at is None or self._hidden():
            return Sighting(None, ())
        fills = () if self._random.random() < self.faults.fill_lag else tuple(at.fills)
        return Sighting(at.report(), fills)

    def _hidden(self) -> bool:
        """History lags by less than the margin that the router waits; later it is complete."""
        newest = max((at.order.recorded_time for at in self.orders.values()), default=0)
        fresh = self.clock.now < newest + self.receive_window
        return fresh and self._random.random() < self.faults.history_lag

    def open_orders(self, rules: InstrumentRules) -> Sequence[VenueOrder]:
        self._answering()
        return [
            VenueOrder(replace(at.order, venue_order_id=at.venue_order_id), at.report())
            for at in self.orders.values()
            if at.status is VenueStatus.OPEN
        ]

    def executions(self, rules: InstrumentRules, known: Collection[str]) -> Sequence[Fill]:
        self._answering()
        missing = [fill for fill in self._executions if fill.execution_id not in known]
        return [fill for fill in missing if self._random.random() >= self.faults.fill_lag]

    def all_executions(self) -> list[Fill]:
        return list(self._executions)

    def held(self) -> Decimal:
        return sum((signed(fill.side, fill.quantity) for fill in self._executions), ZERO)

    def position(self, rules: InstrumentRules) -> Decimal:
        self._answering()
        return self.held()

    def balance(self) -> Decimal:
        self._answering()
        return self.wallet

    def quote(self, rules: InstrumentRules) -> Quote:
        self._answering()
        return self.book

    def rules(self, instrument: str) -> InstrumentRules | None:
        return self.traded if instrument == self.traded.instrument else None

    def time_offset(self) -> int:
        self._measured = self.offset
        return self.offset

    def time_here(self, now: int) -> int:
        return now + self._measured

    # --- the stream

    def _tell(self, news: News) -> None:
        if self._random.random() < self.faults.news_lost:
            return
        self.news.append(news)
        if self._random.random() < self.faults.news_twice:
            self.news.append(news)

    def take_news(self) -> list[News]:
        taken = list(self.news)
        self.news.clear()
        if self._random.random() < self.faults.news_shuffled:
            self._random.shuffle(taken)
        return taken
