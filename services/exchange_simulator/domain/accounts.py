"""One paper account: its cash, positions, orders and fills, and what changed in one step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from libs.trading.market import Side
from libs.trading.simulation.account import ZERO, Position, apply_fill
from services.exchange_simulator.domain.orders import Execution, Holding, Order, Status


@dataclass(frozen=True, slots=True)
class Wallet:
    """Cash in quote units; `realised` is what trading has added, fees taken off."""

    balance: Decimal
    realised: Decimal = ZERO


@dataclass(slots=True)
class Account:
    """Everything the venue holds for one API key. `orders` keeps every order ever received, oldest first."""

    name: str
    wallet: Wallet
    orders: dict[str, Order] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    open: dict[str, Order] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    holdings: dict[str, Holding] = field(default_factory=dict)

    def keep(self, order: Order) -> None:
        self.orders[order.order_id] = order
        if order.link_id:
            self.links[order.link_id] = order.order_id
        if order.status.is_open:
            self.open[order.order_id] = order
        else:
            self.open.pop(order.order_id, None)

    def find(self, order_id: str, link_id: str) -> Order | None:
        """By the venue's id, else by the client's."""
        return self.orders.get(order_id or self.links.get(link_id, ""))

    def holding(self, symbol: str, now_ms: int, leverage: Decimal = Decimal(1)) -> Holding:
        found = self.holdings.get(symbol)
        return found or Holding(symbol, ZERO, ZERO, leverage, ZERO, ZERO, now_ms, now_ms, 0)


@dataclass(slots=True)
class Changes:
    """What one step did to one account, to be made durable before anybody is told."""

    account: str
    orders: list[Order] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    holdings: dict[str, Holding] = field(default_factory=dict)
    wallet: Wallet | None = None

    def __bool__(self) -> bool:
        return bool(self.orders or self.executions or self.holdings or self.wallet)


@dataclass(frozen=True, slots=True)
class Fill:
    """One match of a known order, at a price and a quantity."""

    price: Decimal
    quantity: Decimal
    fee_rate: Decimal
    is_maker: bool
    mark: Decimal


def fill(
    account: Account, order: Order, done: Fill, exec_id: str, sequence: int, now_ms: int, changes: Changes
) -> Order:
    """Apply one match to order, position and cash; returns the order after it and notes everything in `changes`."""
    holding = account.holding(order.symbol, now_ms)
    effect = apply_fill(Position(holding.size, holding.entry), order.side, done.quantity, done.price, done.fee_rate)
    filled = order.filled + done.quantity
    order = replace(
        order,
        filled=filled,
        filled_value=order.filled_value + done.quantity * done.price,
        fee=order.fee + effect.fee,
        closed_pnl=order.closed_pnl + effect.realised,
        status=Status.FILLED if filled == order.quantity else Status.PARTIALLY_FILLED,
        updated_ms=now_ms,
    )
    execution = Execution(
        exec_id, sequence, account.name, order.order_id, order.link_id, order.symbol, order.side, order.is_market,
        order.price, order.quantity, order.leaves, done.price, done.quantity, effect.fee, done.fee_rate, done.is_maker,
        effect.closed, effect.realised, done.mark, now_ms,
    )  # fmt: skip
    was_flat = holding.size == 0
    holding = replace(
        holding,
        size=effect.position.size,
        entry=effect.position.entry,
        realised=holding.realised + effect.cash,
        session_realised=effect.cash if was_flat else holding.session_realised + effect.cash,
        updated_ms=now_ms,
        sequence=sequence,
    )
    account.wallet = Wallet(account.wallet.balance + effect.cash, account.wallet.realised + effect.cash)
    account.holdings[order.symbol] = holding
    account.executions.append(execution)
    account.keep(order)
    changes.executions.append(execution)
    changes.holdings[order.symbol] = holding
    changes.wallet = account.wallet
    return order


def closing_side(size: Decimal) -> Side | None:
    """The side that makes a position smaller; None when there is none."""
    if size == 0:
        return None
    return Side.SELL if size > 0 else Side.BUY
