"""The venue without a wire: plays a source, takes orders, makes durable what happened, then tells."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from libs.trading.market import Side
from libs.trading.simulation.depth import PublishedDepth
from services.exchange_simulator.domain.accounts import Account, Changes, Wallet
from services.exchange_simulator.domain.exchange import Exchange
from services.exchange_simulator.domain.market import Derivative, Print, Source, Step
from services.exchange_simulator.domain.orders import Accepted, NewOrder, Refused
from services.exchange_simulator.domain.pacing import Pacer
from services.exchange_simulator.domain.public import (
    DEPTH,
    BookFrame,
    LiquidationsFrame,
    PublicFrame,
    SessionFrame,
    TickerFrame,
    TradesFrame,
)
from services.exchange_simulator.domain.sessions import Session, State
from services.exchange_simulator.domain.tape import DAY_BARS, MINUTE_NS, Tape
from services.exchange_simulator.ports import Journal, Publisher

MS = 1_000_000
MARK_STEP = Decimal("0.01")


class Venue:
    """One instrument, its session, and the paper accounts that trade it. One thread calls it; wall times in ns.

    Whatever changes an account is in the journal before the call returns and before anybody is told.
    """

    def __init__(
        self,
        source: Source,
        pacer: Pacer,
        journal: Journal,
        publisher: Publisher,
        keys: Sequence[str],
        balance: Decimal,
    ) -> None:
        self._source, self._pacer, self._journal, self._publisher = source, pacer, journal, publisher
        self.instrument = pacer.session.instrument
        self.tape = Tape(pacer.session.id)
        accounts, sequence = journal.load()
        known = {account.name for account in accounts}
        opened = [Account(key, Wallet(balance)) for key in keys if key not in known]
        if opened:
            journal.save([Changes(account.name, wallet=account.wallet) for account in opened], sequence)
        self._exchange = Exchange(self.instrument, source.book, [*accounts, *opened], sequence)
        self._bids = PublishedDepth(source.book.ladder(Side.BUY), DEPTH)
        self._asks = PublishedDepth(source.book.ladder(Side.SELL), DEPTH)
        self._update_id = self._sequence = 0
        self._now = pacer.session.training_start_ns
        self._derivative = Derivative()
        self._begun = False

    @property
    def session(self) -> Session:
        return self._pacer.session

    @property
    def mark(self) -> Decimal | None:
        return self._exchange.mark

    def account(self, key: str) -> Account:
        """Raises KeyError for a key that the venue was not given."""
        return self._exchange.accounts[key]

    def book(self) -> BookFrame:
        return BookFrame(self._now, True, self._bids.snapshot(), self._asks.snapshot(), self._update_id, self._sequence)

    def begin(self, wall_ns: int) -> None:
        """Start playing; calling it again does nothing."""
        if not self._begun:
            self._begun = True
            self._publisher.public([SessionFrame(wall_ns, self.session)])

    def due_s(self, wall_ns: int) -> float | None:
        if not self._begun:
            return None
        return self._pacer.due_s(self._source.next_ns, wall_ns)

    def advance(self, wall_ns: int) -> None:
        """Play the next step, or the change of state that comes before it, and tell everybody."""
        if self._pacer.before(self._source.next_ns, wall_ns):
            self._announce(wall_ns)
            if self.session.state is not State.PLAYING_TRAINING:
                return
        self._play(self._source.step(), wall_ns)

    def go(self, wall_ns: int) -> bool:
        changed = self._pacer.go(wall_ns)
        if changed:
            self._announce(wall_ns)
        return changed

    def place(self, key: str, order: NewOrder, wall_ns: int) -> Accepted | Refused:
        answer, changes = self._exchange.place(key, order, self.session.state, wall_ns // MS)
        self._settle(changes, wall_ns)
        return answer

    def cancel(self, key: str, order_id: str, link_id: str, wall_ns: int) -> Accepted | Refused:
        answer, changes = self._exchange.cancel(key, order_id, link_id, wall_ns // MS)
        self._settle(changes, wall_ns)
        return answer

    def cancel_all(self, key: str, wall_ns: int) -> list[Accepted]:
        answers, changes = self._exchange.cancel_all(key, wall_ns // MS)
        self._settle(changes, wall_ns)
        return answers

    def set_leverage(self, key: str, value: Decimal, wall_ns: int) -> Refused | None:
        refused, changes = self._exchange.set_leverage(key, value, wall_ns // MS)
        self._settle(changes, wall_ns)
        return refused

    def ticker(self) -> TickerFrame | None:
        last, bars = self.tape.last, self.tape.bars
        if last is None:
            return None
        day = self.tape.since(self._now - DAY_BARS * MINUTE_NS)
        hour = self.tape.since(self._now - 60 * MINUTE_NS) or [bars[-1]]
        bid, ask = self._bids.best(), self._asks.best()
        return TickerFrame(
            self._now, self.tape.direction, last,
            day[0].open, max(bar.high for bar in day), min(bar.low for bar in day), hour[0].open,
            sum(bar.turnover for bar in day), sum(bar.lots for bar in day),
            bid, ask, self._derivative, self._sequence,
        )  # fmt: skip

    def _announce(self, wall_ns: int) -> None:
        self._publisher.public([SessionFrame(wall_ns, self.session)])
        if self.session.state is State.TRADING:
            for changes in self._exchange.reinstate(wall_ns // MS):
                self._settle(changes, wall_ns)

    def _play(self, step: Step, wall_ns: int) -> None:
        self._now = max(self._now, step.time_ns)
        self._sequence += 1
        if step.matches:
            done = self._exchange.resting_matched(step.matches, wall_ns // MS)
            self._save(done)
        frames: list[PublicFrame] = []
        if step.prints:
            frames.append(self._trades(step.prints, step.time_ns))
        if step.book_changed:
            frames += self._depth(step.snapshot, step.time_ns)
        if step.forced:
            frames.append(LiquidationsFrame(step.time_ns, step.forced))
        if step.derivative is not None:
            self._derivative = step.derivative
            self._remark()
            ticker = self.ticker()
            frames += [ticker] if ticker else []
        self._publisher.public(frames)
        if step.matches:
            self._tell(done)

    def _settle(self, changes: Changes, wall_ns: int) -> None:
        """What our own order did: durable first, then the market's view of it, then the accounts'."""
        exchange = self._exchange
        every = [changes, *exchange.foreign]
        exchange.foreign.clear()
        if not any(every):
            return
        self._save(every)
        prints, exchange.prints = exchange.prints, []
        self._now = max(self._now, self.session.clock.session_time(wall_ns))
        self._sequence += 1
        frames: list[PublicFrame] = [self._trades(prints, self._now)] if prints else []
        if self.session.state is State.TRADING:
            frames += self._depth(False, self._now)
        self._publisher.public(frames)
        self._tell(every)

    def _save(self, every: Sequence[Changes]) -> None:
        self._journal.save([changes for changes in every if changes], self._exchange.sequence)

    def _tell(self, every: Sequence[Changes]) -> None:
        for changes in every:
            if changes:
                self._publisher.private(changes, self.account(changes.account), self._exchange.mark)

    def _trades(self, prints: list[Print], time_ns: int) -> TradesFrame:
        named = [self.tape.add(traded.time_ns or time_ns, traded, self._sequence) for traded in prints]
        self._exchange.last = self.instrument.price(prints[-1].price)
        if self._derivative.mark is None:
            self._exchange.mark = self._exchange.last
        return TradesFrame(time_ns, prints, [name for name, _ in named], [way for _, way in named], self._sequence)

    def _depth(self, snapshot: bool, time_ns: int) -> list[PublicFrame]:
        bids, asks = self._bids.changes(), self._asks.changes()
        if not snapshot and not bids and not asks:
            return []
        self._update_id += 1
        if snapshot:
            return [self.book()]
        return [BookFrame(time_ns, False, bids, asks, self._update_id, self._sequence)]

    def _remark(self) -> None:
        if self._derivative.mark is not None:
            self._exchange.mark = Decimal(self._derivative.mark).quantize(MARK_STEP)
