"""One account as the journal has it: in memory for reading, and the only way to write it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.trading.decisions import AccountEvent, Decision, Fact, ReconciliationDifference, TradingStateChanged
from libs.trading.market import NS_PER_SECOND, Quote
from libs.trading.orders import (
    ZERO,
    Fill,
    Filled,
    ImpossibleTransition,
    Order,
    OrderEvent,
    OrderState,
    advance,
)
from libs.trading.portfolio import Position, equity, signed
from libs.trading.risk import Exposure, TradingState, drawdown_of
from libs.trading.sizing import price_of
from services.order_routing.domain import EXPLORE, Held, InputAt, Opening, Plan, Policy, held_after, opening_of
from services.order_routing.ports import (
    Alerts,
    Balances,
    Clock,
    Entry,
    Journal,
    JournalAway,
    Lease,
    LeaseLost,
    Observer,
    Stored,
)

DAY = 86_400 * NS_PER_SECOND
MINUTE = 60 * NS_PER_SECOND
REMEMBERED = 256  # orders that are over and may still get late news


@dataclass(frozen=True, slots=True)
class Mark:
    """The last quote of an instrument and the session it belongs to."""

    quote: Quote
    session: str


class Account:
    """The journal's account in memory. Every method that writes holds `lock`, commits, and only then changes memory."""

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        stored: Stored,
        policy: Policy,
        clock: Clock,
        alerts: Alerts,
        observer: Observer,
    ) -> None:
        self.lock = threading.RLock()
        self.policy = policy
        self.journal = journal
        self.clock = clock
        self.alerts = alerts
        self.lease = lease
        self.live: dict[str, Order] = {order.client_order_id: order for order in stored.live_orders}
        self.held: dict[str, Held] = {held.position.instrument: held for held in stored.held}
        self.execution_ids = set(stored.execution_ids)
        self.state = stored.trading_state
        self.state_by, self.state_reason = stored.state_by, stored.state_reason
        self.sequence = stored.sequence
        self.offsets = dict(stored.offsets)
        self.balances = stored.balances
        self._unsaved: Balances | None = None
        self.marks: dict[str, Mark] = {}
        self.paused_until: int | None = None
        self.ended: Exception | None = None  # why this account may act no more
        self.began = clock()  # wall ns since when this router may act and waits for predictions
        self.last_input: tuple[int, str, str] | None = None  # wall ns, instrument and session of the newest prediction
        self._over: OrderedDict[str, Order] = OrderedDict()
        self.changed = threading.Condition()  # told after every commit, for those who wait for events
        self._impossible: set[str] = set()
        self._observer = observer
        self._sent: deque[int] = deque(stored.sent_times)
        self._waiting: dict[str, Decision] = {}  # decided without an order, not yet committed; with their offsets
        self._read: dict[tuple[str, int], InputAt] = {}
        self._latest = dict(stored.latest_as_of)
        window = policy.explore.window if policy.explore is not None else 1
        self._scores = {key: deque(scores, window) for key, scores in stored.explore_scores.items()}
        observer.state(self.state)
        self._show_orders()
        for held in stored.held:
            observer.held(held)

    # --- reading

    def holding(self, instrument: str) -> Held:
        return self.held.get(instrument, Held(Position(instrument)))

    def exposure(self, instrument: str, now: int) -> Exposure:
        """What the risk rules see; open orders are the reservation, so nothing else has to be kept."""
        self._forget_sent(now)
        mine = [order for order in self.live.values() if order.instrument == instrument]
        second = sum(1 for sent in self._sent if sent > now - NS_PER_SECOND)
        worth = self.equity()
        return Exposure(
            state=self.state,
            scope=self.policy.scope,
            position=self.holding(instrument).position.quantity,
            pending=sum((signed(order.side, order.remaining) for order in mine), ZERO),
            in_flight=len(mine),
            open_orders=len(mine),
            sent_last_second=second,
            sent_last_minute=len(self._sent),
            other_notional=self._other_notional(instrument),
            equity=worth,
            peak_equity=self.balances.peak if self.balances is not None else None,
            day_equity=self.balances.day_equity if self.balances is not None else None,
            paused_until=self.paused_until,
        )

    def equity(self) -> Decimal | None:
        """Mark to market in quote units; None while the opening balance or a mark is not known."""
        if self.balances is None:
            return None
        marks = {name: price_of(mark.quote.mid) for name, mark in self.marks.items()}
        try:
            return equity(self.balances.opening, (held.position for held in self.held.values()), marks)
        except KeyError:
            return None

    def scores(self, instrument: str) -> list[float]:
        """|score| of the newest exploring rows."""
        return list(self._scores.get(instrument, ()))

    def maybe_decided(self, strategy: str, session: str, instrument: str, as_of: int) -> bool:
        """False only when no decision of this as-of or a later one was ever journaled."""
        return as_of <= self._latest.get((strategy, session, instrument), -1)

    # --- writing

    def note_quote(self, instrument: str, session: str, quote: Quote, as_of: int) -> None:
        """Take a new mark; halts at the limit of drawdown. A new peak or day is written with the next entry."""
        with self.lock:
            self.marks[instrument] = Mark(quote, session)
            worth = self.equity()
            if worth is None or self.balances is None:
                return
            day, now = as_of // DAY, self.balances
            if worth > now.peak or day != now.day:
                day_equity = worth if day != now.day else now.day_equity
                self.balances = self._unsaved = Balances(now.opening, max(now.peak, worth), day, day_equity)
            self._observer.valued(worth, sum((held.position.realised_pnl for held in self.held.values()), ZERO))
            down = drawdown_of(worth, self.balances.peak)
            self._observer.drawn_down(down)
            limit = self.policy.limits.halt_at_drawdown
            if down >= limit and self.state is not TradingState.HALTED:
                self.set_state(TradingState.HALTED, "risk", f"drawdown {down:.4f} reached {limit}")

    def open_balances(self, opening: Decimal, as_of: int) -> None:
        """The equity with which this journal begins. Only once in its life."""
        with self.lock:
            if self.balances is None:
                balances = Balances(opening, opening, as_of // DAY, opening)
                self._commit((), Entry(time=self.clock(), balances=balances))

    def record(self, plan: Plan, consumed: InputAt, more: bool = False) -> None:
        """The decision, its order (which is the risk reservation), both events and the input's offset, at once.

        With `more` inputs waiting behind it, a decision without an order waits for the next commit, which takes it and
        its offset along: until then nobody was told, and a crash decides it again.
        """
        decision, order = plan.decision, plan.order
        with self.lock:
            self._waiting[decision.decision_key] = decision
            self._read[consumed.topic, consumed.partition] = consumed
            if order is not None:
                self._commit([order], Entry(time=decision.decided_time, new_orders=(order,)))
            elif not more:
                self._commit((), Entry(time=decision.decided_time))
            key = (decision.strategy, decision.session, decision.instrument)
            self._latest[key] = max(decision.as_of, self._latest.get(key, -1))
            if decision.strategy == EXPLORE and self.policy.explore is not None:
                window = self.policy.explore.window
                self._scores.setdefault(decision.instrument, deque(maxlen=window)).append(abs(decision.score))
            self._observer.decided(decision)
            if order is not None:
                self._sent.append(order.recorded_time)
                self._observer.ordered(order)

    def record_order(self, order: Order) -> None:
        """An order that no prediction asked for, before it is sent or when it is found at the venue."""
        with self.lock:
            self._commit([order], Entry(time=self.clock(), new_orders=(order,)))
            self._sent.append(order.recorded_time)
            self._observer.ordered(order)

    def skip(self, consumed: InputAt, more: bool = False) -> None:
        """An input that was decided before: only its offset moves, with the next commit when `more` is waiting."""
        with self.lock:
            self._read[consumed.topic, consumed.partition] = consumed
            if not more:
                self._commit((), Entry(time=self.clock()))

    def is_decided(self, key: str) -> bool:
        """Whether a decision of this key is in the journal, or waits for the next commit."""
        return key in self._waiting or self.journal.decision(self.policy.account, key) is not None

    def apply(self, client_order_id: str, events: Iterable[OrderEvent]) -> Order | None:
        """Move one order by what the venue said. None for an order that the journal does not have.

        A transition that no correct history contains halts the account and is told once; the order stays as it was.
        """
        with self.lock:
            before = self._known(client_order_id)
            if before is None:
                return None
            order, fills = before, list[Fill]()
            try:
                for event in events:
                    after = advance(order, event, self.clock())
                    if after is not order and isinstance(event, Filled):
                        fills.append(event.fill)
                    order = after
            except ImpossibleTransition as problem:
                if str(problem) not in self._impossible:
                    self._impossible.add(str(problem))
                    self.differ("impossible_transition", str(problem), halt=True)
                return before
            if order is not before:
                entry = Entry(time=order.updated_time, changed_orders=(order,), fills=tuple(fills))
                self._commit([*fills, order], entry)
                self._book(fills, order, opening_of(order))
            return order

    def adopt_fill(self, fill: Fill) -> None:
        """A fill of an order that is not ours, or that its order cannot have: the position is the venue's all the same.

        An order of ours only learns the execution's id, as the journal's rows have it, so that it asks no more.
        """
        with self.lock:
            order = self._known(fill.client_order_id) if fill.client_order_id else None
            self._commit([fill], Entry(time=self.clock(), fills=(fill,)))
            if order is not None:
                order = replace(order, executions=order.executions | {fill.execution_id})
                (self._over if order.terminal else self.live)[order.client_order_id] = order
            self._book([fill], order, None if order is None else opening_of(order))

    def set_state(self, state: TradingState, by: str, reason: str) -> None:
        """Latch a trading state; it survives restarts and is only left by another call."""
        with self.lock:
            change = TradingStateChanged(self.state, state, by, reason)
            self._commit([change], Entry(time=self.clock(), trading_state=change))
            self._observer.state(state)
        if state is not TradingState.ACTIVE:
            self.alerts.alert("TRADING_STATE", f"{state.name} by {by}: {reason}", critical=state is TradingState.HALTED)

    def differ(self, kind: str, detail: str, *, halt: bool, action: str = "") -> None:
        """Journal a difference between venue and journal, tell people, and halt when it must not go on."""
        with self.lock:
            action = action or ("halt" if halt else "none")
            self._commit([ReconciliationDifference(kind, detail, action)], Entry(time=self.clock()))
            self._observer.differed(kind)
            if halt and self.state is not TradingState.HALTED:
                self.set_state(TradingState.HALTED, "reconciliation", f"{kind}: {detail}")
        self.alerts.alert("RECONCILIATION", f"{kind}: {detail} ({action})", critical=halt)

    def renew(self, lease: Lease) -> None:
        with self.lock:
            self.lease = lease

    def end(self, why: Exception) -> None:
        """The term is over: whoever still holds this account can write and send nothing more, and is told why."""
        self.ended = self.ended or why
        with self.changed:
            self.changed.notify_all()

    def fence(self, now: int) -> None:
        """Right before sending: raises LeaseLost when the lease ran out while this process was not looking."""
        if self.ended is not None:
            raise self.ended
        if now >= self.lease.expires:
            raise LeaseLost(f"the lease of {self.policy.account} ran out {(now - self.lease.expires) / 1e6:.0f} ms ago")

    # --- inside

    def _known(self, client_order_id: str) -> Order | None:
        known = self.live.get(client_order_id) or self._over.get(client_order_id)
        return known or self.journal.order(self.policy.account, client_order_id)

    def _commit(self, facts: Iterable[Fact], entry: Entry) -> None:
        decided = tuple(self._waiting.values())
        events = tuple(
            AccountEvent(self.sequence + number, self.policy.account, entry.time, fact)
            for number, fact in enumerate((*decided, *facts), start=1)
        )
        read = tuple(self._read.values())
        balances = entry.balances or self._unsaved
        entry = replace(entry, events=events, decisions=decided, consumed=read, balances=balances)
        if self.ended is not None:
            raise self.ended
        try:
            self.journal.commit(entry, self.lease)
        except (JournalAway, LeaseLost) as problem:
            self.end(problem)  # whether the entry was written is not known: memory may be behind the rows
            raise
        self._remember(entry)
        if events:
            with self.changed:
                self.changed.notify_all()

    def _remember(self, entry: Entry) -> None:
        self.sequence += len(entry.events)
        for order in (*entry.new_orders, *entry.changed_orders):
            if order.terminal:
                self.live.pop(order.client_order_id, None)
                self._over[order.client_order_id] = order
                if len(self._over) > REMEMBERED:
                    self._over.popitem(last=False)
            else:
                self.live[order.client_order_id] = order
        if entry.new_orders or entry.changed_orders:
            self._show_orders()
        for consumed in entry.consumed:
            self.offsets[consumed.topic, consumed.partition] = consumed.offset + 1
        self._waiting.clear()
        self._read.clear()
        if entry.balances is not None:
            self.balances, self._unsaved = entry.balances, None
        if entry.trading_state is not None:
            change = entry.trading_state
            self.state, self.state_by, self.state_reason = change.after, change.by, change.reason

    def _show_orders(self) -> None:
        in_doubt = sum(order.state is OrderState.IN_DOUBT for order in self.live.values())
        self._observer.open_orders(len(self.live), in_doubt)

    def _book(self, fills: list[Fill], order: Order | None, opening: Opening | None) -> None:
        for fill in fills:
            self.execution_ids.add(fill.execution_id)
            self.held[fill.instrument] = held_after(self.holding(fill.instrument), fill, opening)
            self._observer.filled(order, fill)
            self._observer.held(self.held[fill.instrument])

    def _forget_sent(self, now: int) -> None:
        while self._sent and self._sent[0] <= now - MINUTE:
            self._sent.popleft()

    def _other_notional(self, instrument: str) -> Decimal:
        total = ZERO
        for name, held in self.held.items():
            if name != instrument and held.position.quantity:
                total += abs(held.position.quantity) * self._worth(name, held)
        for order in self.live.values():
            if order.instrument != instrument:
                total += order.remaining * order.price
        return total

    def _worth(self, instrument: str, held: Held) -> Decimal:
        mark = self.marks.get(instrument)
        if mark is not None:
            return price_of(mark.quote.mid)
        assert held.position.average_price is not None, "only what is held is asked for"
        return held.position.average_price
