"""Private REST answers: orders, fills, positions and cash of the account that signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from urllib.parse import quote, unquote

from services.exchange_simulator.adapters.account_shapes import execution_row, order_row, position_rest, wallet_row
from services.exchange_simulator.adapters.requests import (
    BadParameter,
    Params,
    check_category,
    decimal,
    new_order,
    whole,
)
from services.exchange_simulator.adapters.text import plain
from services.exchange_simulator.domain.instrument import CATEGORY
from services.exchange_simulator.domain.orders import (
    MODE_UNCHANGED,
    Accepted,
    Execution,
    Order,
    Refused,
)
from services.exchange_simulator.ports import PaperVenue

Json = dict[str, object]
NO_TIME = 1 << 62
Row = TypeVar("Row", Order, Execution)


class TradingApi:
    """What the private paths answer. Every time in them is wall time (ms), also while another day's recording plays."""

    def __init__(self, venue: PaperVenue, now_ns: Callable[[], int]) -> None:
        self._venue, self._now_ns = venue, now_ns

    def create(self, key: str, body: Params) -> Json | Refused:
        answer = self._venue.place(key, new_order(body), self._now_ns())
        return answer if isinstance(answer, Refused) else accepted(answer)

    def cancel(self, key: str, body: Params) -> Json | Refused:
        check_category(body)
        self._symbol(body)
        order_id, link_id = str(body.get("orderId") or ""), str(body.get("orderLinkId") or "")
        if not order_id and not link_id:
            raise BadParameter("params error: orderId or orderLinkId is needed")
        answer = self._venue.cancel(key, order_id, link_id, self._now_ns())
        return answer if isinstance(answer, Refused) else accepted(answer)

    def cancel_all(self, key: str, body: Params) -> Json | Refused:
        check_category(body)
        if body.get("symbol"):
            self._symbol(body)
        done = self._venue.cancel_all(key, self._now_ns())
        return {"list": [accepted(one) for one in done], "success": "1"}

    def open_orders(self, key: str, params: Params) -> Json | Refused:
        """Open ones; by id also one that is closed, as the venue does for recent ones."""
        check_category(params)
        account = self._venue.account(key)
        if params.get("orderId") or params.get("orderLinkId"):
            found = account.find(str(params.get("orderId") or ""), str(params.get("orderLinkId") or ""))
            return self._page([found] if found else [], params, order_row)
        return self._page(list(account.open.values()), params, order_row)

    def order_history(self, key: str, params: Params) -> Json | Refused:
        """Every order that was ever received, newest first."""
        check_category(params)
        orders = list(self._venue.account(key).orders.values())
        return self._page(_within(orders, params, lambda order: order.created_ms), params, order_row)

    def executions(self, key: str, params: Params) -> Json | Refused:
        """Every fill, newest first."""
        check_category(params)
        fills = self._venue.account(key).executions
        return self._page(_within(fills, params, lambda execution: execution.time_ms), params, execution_row)

    def positions(self, key: str, params: Params) -> Json | Refused:
        """The symbol's position also when it is flat; for a settle coin only what is held."""
        check_category(params)
        account, symbol = self._venue.account(key), str(params.get("symbol") or "")
        if symbol:
            self._symbol(params)
            held = [account.holding(symbol, self._now_ns() // 1_000_000)]
        elif params.get("settleCoin"):
            held = [holding for holding in account.holdings.values() if holding.size]
        else:
            raise BadParameter("params error: symbol or settleCoin is needed")
        rows = [position_rest(holding, self._venue.mark) for holding in held]
        return {"category": CATEGORY, "list": rows, "nextPageCursor": ""}

    def set_leverage(self, key: str, body: Params) -> Json | Refused:
        check_category(body)
        self._symbol(body)
        buy, sell = decimal(body, "buyLeverage"), decimal(body, "sellLeverage")
        if buy != sell:
            raise BadParameter("params error: buyLeverage and sellLeverage must be equal in one-way mode")
        return self._venue.set_leverage(key, buy, self._now_ns()) or {}

    def switch_mode(self, _: str, body: Params) -> Json | Refused:
        check_category(body)
        if str(body.get("mode")) == "0":
            return Refused(MODE_UNCHANGED, "Position mode is not modified")
        raise BadParameter("params error: this venue has one-way positions only")

    def wallet(self, key: str, params: Params) -> Json | Refused:
        if params.get("accountType", "UNIFIED") != "UNIFIED":
            raise BadParameter("accountType only support UNIFIED.")
        return {"list": [wallet_row(self._venue.account(key), self._venue.instrument, self._venue.mark)]}

    def fee_rate(self, _: str, params: Params) -> Json | Refused:
        check_category(params)
        instrument = self._venue.instrument
        fees = {"takerFeeRate": plain(instrument.taker_fee), "makerFeeRate": plain(instrument.maker_fee)}
        return {"category": CATEGORY, "list": [{"symbol": instrument.symbol, **fees}]}

    def account_info(self, _: str, __: Params) -> Json | Refused:
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": str(self._now_ns() // 1_000_000),
            "unifiedMarginStatus": 5,
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def key_info(self, key: str, _: Params) -> Json | Refused:
        rights = {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
        }
        return {"apiKey": key, "readOnly": 0, "permissions": rights, "unified": 0, "uta": 1, "type": 1, "ips": ["*"]}

    def coins(self, _: str, __: Params) -> Json | Refused:
        """Coins with their chains; paper cannot be moved, so there are no chains."""
        instrument = self._venue.instrument
        return {
            "rows": [
                {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
                for coin in (instrument.base, instrument.quote)
            ]
        }

    def _symbol(self, params: Params) -> None:
        if params.get("symbol") != self._venue.instrument.symbol:
            raise BadParameter(f"params error: symbol invalid {params.get('symbol') or ''}")

    def _page(self, rows: Sequence[Row], params: Params, shape: Callable[[Row], Json]) -> Json:
        """Newest first, from the cursor on; the cursor names the last row's sequence, so new rows shift nothing."""
        wanted = [row for row in reversed(rows) if _is_asked(row, params)]
        wanted.sort(key=_place, reverse=True)
        limit = whole(params, "limit", 20, 1, 100)
        cursor = unquote(str(params.get("cursor") or ""))
        if cursor:
            if not cursor.isdigit():
                raise BadParameter("params error: cursor invalid")
            wanted = [row for row in wanted if _place(row) < int(cursor)]
        page = wanted[:limit]
        following = quote(str(_place(page[-1]))) if len(wanted) > limit else ""
        return {"category": CATEGORY, "list": [shape(row) for row in page], "nextPageCursor": following}


def accepted(answer: Accepted) -> Json:
    return {"orderId": answer.order_id, "orderLinkId": answer.link_id}


def _place(row: Order | Execution) -> int:
    return row.number if isinstance(row, Order) else row.sequence


def _is_asked(row: Order | Execution, params: Params) -> bool:
    fields = (("symbol", row.symbol), ("orderId", row.order_id), ("orderLinkId", row.link_id))
    return all(params.get(name) in (None, "", value) for name, value in fields)


def _within(rows: Iterable[Row], params: Params, moment: Callable[[Row], int]) -> list[Row]:
    start = whole(params, "startTime", 0, 0, NO_TIME)
    end = whole(params, "endTime", NO_TIME, 0, NO_TIME)
    return [row for row in rows if start <= moment(row) <= end]
