"""Orders of paper accounts against the book that a source plays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from libs.trading.market import Side
from libs.trading.simulation.account import ZERO
from libs.trading.simulation.matching import Match, opposite
from services.exchange_simulator.domain import orders, rules
from services.exchange_simulator.domain.accounts import Account, Changes, Fill, closing_side, fill
from services.exchange_simulator.domain.identity import order_id, trade_uuid
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.market import Print, TradableBook
from services.exchange_simulator.domain.orders import (
    Accepted,
    CancelType,
    NewOrder,
    Order,
    Reason,
    Refused,
    Status,
    TimeInForce,
)
from services.exchange_simulator.domain.sessions import State


class Exchange:
    """Matches, books and remembers. Every method says what changed; the caller makes it durable, then tells.

    `sequence` counts everything that was ever done to an order, across restarts; ids are derived from it.
    """

    def __init__(self, instrument: Instrument, book: TradableBook, accounts: Iterable[Account], sequence: int) -> None:
        self.instrument = instrument
        self.book = book
        self.accounts = {account.name: account for account in accounts}
        self.sequence = sequence
        self.last: Decimal | None = None
        self.mark: Decimal | None = None
        self.prints: list[Print] = []  # trades that our takers made, for the public
        self.foreign: list[Changes] = []  # what our takers did to other accounts, until somebody collects it
        self._owner = {o.order_id: account for account in self.accounts.values() for o in account.open.values()}

    def place(self, name: str, request: NewOrder, state: State, now_ms: int) -> tuple[Accepted | Refused, Changes]:
        """Receive an order, match it, rest what is left. Nothing changes when it is refused."""
        account, changes = self.accounts[name], Changes(name)
        reference = self.last
        refused = rules.refusal(request, self.instrument, account, state, reference)
        if refused is not None or reference is None:
            return refused or Refused(orders.NOT_TRADING, "Trading is not open"), changes
        quantity = request.quantity
        if request.reduce_only:
            quantity = min(quantity, self._reducible(account, request))
            if quantity <= 0:
                return Refused(orders.NOTHING_TO_REDUCE, "orderQty will be truncated to zero."), changes
        self.sequence += 1
        order = Order(
            order_id(self.sequence), request.link_id, name, request.symbol, request.side, request.price is None,
            TimeInForce.IOC if request.price is None else request.time_in_force,
            self._market_bound(request.side, reference) if request.price is None else request.price,
            quantity, request.reduce_only, now_ms, now_ms, self.sequence, reference,
        )  # fmt: skip
        account.keep(order)
        self._owner[order.order_id] = account
        self._enter(account, order, now_ms, changes)
        return Accepted(order.order_id, order.link_id), changes

    def reinstate(self, now_ms: int) -> list[Changes]:
        """Put every open order of an earlier session into this session's book, oldest first."""
        done = []
        for account in self.accounts.values():
            changes = Changes(account.name)
            for order in sorted(account.open.values(), key=lambda o: o.number):
                if order.order_id in account.open:
                    self._enter(account, order, now_ms, changes)
            done.append(changes)
        return done

    def cancel(self, name: str, order_id: str, link_id: str, now_ms: int) -> tuple[Accepted | Refused, Changes]:
        account, changes = self.accounts[name], Changes(name)
        order = account.find(order_id, link_id)
        if order is None or not order.status.is_open:
            return Refused(orders.UNKNOWN_ORDER, "order not exists or too late to cancel"), changes
        self._end(account, order, Reason.ON_REQUEST, CancelType.BY_USER, now_ms, changes)
        return Accepted(order.order_id, order.link_id), changes

    def cancel_all(self, name: str, now_ms: int) -> tuple[list[Accepted], Changes]:
        account, changes = self.accounts[name], Changes(name)
        ended = list(account.open.values())
        for order in ended:
            self._end(account, order, Reason.ON_REQUEST, CancelType.BY_USER, now_ms, changes)
        return [Accepted(order.order_id, order.link_id) for order in ended], changes

    def set_leverage(self, name: str, value: Decimal, now_ms: int) -> tuple[Refused | None, Changes]:
        account, changes = self.accounts[name], Changes(name)
        symbol = self.instrument.symbol
        if not 1 <= value <= self.instrument.max_leverage:
            return Refused(orders.BAD_PARAMETER, "params error: leverage invalid"), changes
        holding = account.holding(symbol, now_ms)
        if holding.leverage == value:
            return Refused(orders.LEVERAGE_UNCHANGED, "leverage not modified"), changes
        account.holdings[symbol] = changes.holdings[symbol] = replace(holding, leverage=value, updated_ms=now_ms)
        return None, changes

    def resting_matched(self, matches: Iterable[Match], now_ms: int) -> list[Changes]:
        """Fills of resting orders by the market's own flow."""
        by_account: dict[str, Changes] = {}
        for match in matches:
            self._maker_fill(match, now_ms, by_account)
        for name, changes in by_account.items():
            self._trim_reducing(self.accounts[name], now_ms, changes)
        return list(by_account.values())

    def _maker_fill(self, match: Match, now_ms: int, by_account: dict[str, Changes]) -> None:
        account = self._owner.get(match.maker) if match.maker else None
        if account is None or match.maker is None:
            return
        order = account.orders[match.maker]
        lots = min(match.lots, self._closable(account, order)) if order.reduce_only else match.lots
        if lots > 0:
            changes = by_account.setdefault(account.name, Changes(account.name))
            self._fill(account, order, replace(match, lots=lots), True, now_ms, changes)

    def _enter(self, account: Account, order: Order, now_ms: int, changes: Changes) -> None:
        ticks = self.instrument.ticks(order.price)
        if ticks is None:
            raise ValueError(
                f"order {order.order_id} of an earlier session does not fit the tick {self.instrument.tick}"
            )
        crosses = self.book.crosses(order.side, ticks)
        if order.time_in_force is TimeInForce.POST_ONLY and crosses:
            self._end(account, order, Reason.POST_ONLY, CancelType.UNKNOWN, now_ms, changes)
            return
        if order.time_in_force is TimeInForce.FOK and not self._fillable(order, ticks):
            self._end(account, order, Reason.NOTHING_TO_TAKE, CancelType.UNKNOWN, now_ms, changes)
            return
        order = self._take(account, order, ticks, now_ms, changes) if crosses else order
        if not order.status.is_open:
            return
        if order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self._end(account, order, Reason.NOTHING_TO_TAKE, CancelType.UNKNOWN, now_ms, changes)
            return
        self.book.rest(order.order_id, order.side, ticks, self._lots(order))
        if not order.filled:
            changes.orders.append(order)

    def _take(self, account: Account, order: Order, ticks: int, now_ms: int, changes: Changes) -> Order:
        by_account = {account.name: changes}
        for match in self.book.take(order.side, self._lots(order), ticks):
            self.prints.append(Print(order.side, match.price, match.lots))
            order = self._fill(account, order, match, False, now_ms, changes)
            self._maker_fill(match, now_ms, by_account)
        for other in by_account.values():
            self._trim_reducing(self.accounts[other.account], now_ms, other)
        self.foreign += [other for other in by_account.values() if other is not changes]
        return account.orders[order.order_id]

    def _fill(self, account: Account, order: Order, match: Match, maker: bool, now_ms: int, changes: Changes) -> Order:
        self.sequence += 1
        price = self.instrument.price(match.price)
        rate = self.instrument.maker_fee if maker else self.instrument.taker_fee
        done = Fill(price, self.instrument.quantity(match.lots), rate, maker, self.mark or price)
        order = fill(account, order, done, trade_uuid("execution", self.sequence), self.sequence, now_ms, changes)
        changes.orders.append(order)
        if not order.status.is_open:
            self._owner.pop(order.order_id, None)
        return order

    def _end(
        self, account: Account, order: Order, reason: Reason, cancel_type: CancelType, now_ms: int, changes: Changes
    ) -> None:
        self.book.cancel(order.order_id)
        ended = replace(order, status=Status.CANCELLED, reason=reason, cancel_type=cancel_type, updated_ms=now_ms)
        account.keep(ended)
        self._owner.pop(order.order_id, None)
        changes.orders.append(ended)

    def _trim_reducing(self, account: Account, now_ms: int, changes: Changes) -> None:
        """A resting reduce-only order that could no longer only reduce is cancelled by the venue."""
        for order in [o for o in account.open.values() if o.reduce_only]:
            size = account.holding(order.symbol, now_ms).size
            if closing_side(size) is not order.side or order.leaves > abs(size):
                self._end(account, order, Reason.REDUCE_ONLY, CancelType.BY_REDUCE_ONLY, now_ms, changes)

    def _closable(self, account: Account, order: Order) -> int:
        holding = account.holdings.get(order.symbol)
        if holding is None or closing_side(holding.size) is not order.side:
            return 0
        return int(abs(holding.size) / self.instrument.lot)

    def _reducible(self, account: Account, request: NewOrder) -> Decimal:
        holding = account.holdings.get(request.symbol)
        resting = sum((o.leaves for o in account.open.values() if o.reduce_only and o.side is request.side), ZERO)
        return (abs(holding.size) if holding else ZERO) - resting

    def _fillable(self, order: Order, ticks: int) -> bool:
        ladder = self.book.ladder(opposite(order.side))
        reached = (
            lots for price, lots in ladder.levels(len(ladder.keys)) if ladder.sign * price <= ladder.sign * ticks
        )
        return sum(reached) >= self._lots(order)

    def _lots(self, order: Order) -> int:
        lots = self.instrument.lots(order.leaves)
        if lots is None:
            raise ValueError(f"order {order.order_id} does not fit the lot {self.instrument.lot}")
        return lots

    def _market_bound(self, side: Side, reference: Decimal) -> Decimal:
        factor = 1 + rules.MARKET_BOUND if side is Side.BUY else 1 - rules.MARKET_BOUND
        return (reference * factor / self.instrument.tick).to_integral_value() * self.instrument.tick
