"""Which order requests the venue receives, in the venue's codes."""

from __future__ import annotations

from decimal import Decimal

from libs.trading.market import Side
from services.exchange_simulator.domain import orders
from services.exchange_simulator.domain.accounts import Account, closing_side
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.orders import MAX_LINK_ID, NewOrder, Refused
from services.exchange_simulator.domain.sessions import State

COLLAR = Decimal("0.05")  # a limit further through the market than this is a typing mistake
MARKET_BOUND = Decimal("0.01")  # a market order walks the book no further than this
MAINTENANCE = Decimal("0.005")  # maintenance margin, as a share of a position


def refusal(
    order: NewOrder, instrument: Instrument, account: Account, state: State, reference: Decimal | None
) -> Refused | None:
    """Why a request is not received, or None. `reference` is the last price, None before there is one."""
    if order.symbol != instrument.symbol:
        return Refused(orders.BAD_PARAMETER, f"params error: symbol invalid {order.symbol}")
    if state is not State.TRADING or reference is None:
        return Refused(orders.NOT_TRADING, f"Trading is not open: {order.symbol} is {state.value}")
    if len(order.link_id) > MAX_LINK_ID:
        return Refused(orders.BAD_PARAMETER, f"params error: orderLinkId is longer than {MAX_LINK_ID}")
    if order.link_id and order.link_id in account.links:
        return Refused(orders.DUPLICATE_LINK_ID, "OrderLinkedID is duplicate")
    lots = instrument.lots(order.quantity)
    if lots is None or lots > instrument.max_lots:
        return Refused(orders.BAD_PARAMETER, "params error: Qty invalid")
    return _bad_price(order, instrument, reference) or _bad_size(order, account, reference, instrument)


def _bad_price(order: NewOrder, instrument: Instrument, reference: Decimal) -> Refused | None:
    if order.price is None:
        return None
    if instrument.ticks(order.price) is None:
        return Refused(orders.BAD_PARAMETER, "params error: Price invalid")
    through = order.price / reference - 1 if order.side is Side.BUY else reference / order.price - 1
    if through > COLLAR:
        return Refused(110003, f"The order price is out of permissible range: {order.price}")
    return None


def _bad_size(order: NewOrder, account: Account, reference: Decimal, instrument: Instrument) -> Refused | None:
    holding = account.holdings.get(order.symbol)
    size = holding.size if holding else Decimal(0)
    if order.reduce_only:
        if closing_side(size) is not order.side:
            return Refused(orders.NOTHING_TO_REDUCE, "current position is zero, cannot fix reduce-only order qty")
        return None
    price = order.price or reference
    if order.quantity * price < instrument.min_notional:
        return Refused(
            orders.TOO_SMALL, f"Order does not meet minimum order value {instrument.min_notional}{instrument.quote}"
        )
    closes = abs(size) if closing_side(size) is order.side else Decimal(0)
    opens = max(Decimal(0), order.quantity - closes)
    if opens * price / leverage(account, order.symbol) > available(account, reference):
        return Refused(orders.NO_BALANCE, "ab not enough for new order")
    return None


def leverage(account: Account, symbol: str) -> Decimal:
    holding = account.holdings.get(symbol)
    return holding.leverage if holding else Decimal(1)


def equity(account: Account, mark: Decimal) -> Decimal:
    """Cash and what open positions are worth above their entry."""
    return account.wallet.balance + sum((h.size * (mark - h.entry) for h in account.holdings.values()), Decimal(0))


def position_margin(account: Account, mark: Decimal) -> Decimal:
    return sum((abs(h.size) * mark / h.leverage for h in account.holdings.values()), Decimal(0))


def order_margin(account: Account) -> Decimal:
    opening = (order for order in account.open.values() if not order.reduce_only)
    return sum((order.leaves * order.price / leverage(account, order.symbol) for order in opening), Decimal(0))


def available(account: Account, mark: Decimal) -> Decimal:
    """What new orders may still bind; never below zero."""
    return max(Decimal(0), equity(account, mark) - position_margin(account, mark) - order_margin(account))
