"""Orders, fills, positions and cash in Bybit's v5 shape, for the private stream and for REST."""

from __future__ import annotations

from decimal import Decimal

from libs.trading.market import Side
from services.exchange_simulator.adapters.text import plain, rounded
from services.exchange_simulator.domain import rules
from services.exchange_simulator.domain.accounts import Account
from services.exchange_simulator.domain.instrument import CATEGORY, Instrument
from services.exchange_simulator.domain.orders import Execution, Holding, Order

Json = dict[str, object]
SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
NOT_SET = (
    "stopOrderType",
    "orderIv",
    "triggerPrice",
    "takeProfit",
    "stopLoss",
    "triggerBy",
    "tpTriggerBy",
    "slTriggerBy",
)


def order_stream(order: Order) -> Json:
    """A row of the `order` topic."""
    return {"category": CATEGORY, **order_row(order), "feeCurrency": "", "closedPnl": plain(order.closed_pnl)}


def order_row(order: Order) -> Json:
    """An order; the fields that the venue fills for conditional orders are empty, there are none here."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "blockTradeId": "",
        "side": SIDES[order.side],
        "positionIdx": 0,
        "orderStatus": order.status.value,
        "cancelType": order.cancel_type.value,
        "rejectReason": order.reason.value,
        "timeInForce": order.time_in_force.value,
        "isLeverage": "",
        "price": plain(order.price),
        "qty": plain(order.quantity),
        "avgPrice": rounded(order.filled_value / order.filled) if order.filled else "",
        "leavesQty": plain(order.leaves),
        "leavesValue": plain(order.leaves * order.price),
        "cumExecQty": plain(order.filled),
        "cumExecValue": plain(order.filled_value),
        "cumExecFee": plain(order.fee),
        "orderType": "Market" if order.is_market else "Limit",
        **dict.fromkeys(NOT_SET, ""),
        "triggerDirection": 0,
        "placeType": "",
        "lastPriceOnCreated": plain(order.last_price),
        "closeOnTrigger": False,
        "reduceOnly": order.reduce_only,
        "smpGroup": 0,
        "smpType": "None",
        "smpOrderId": "",
        "slLimitPrice": "0",
        "tpLimitPrice": "0",
        "tpslMode": "UNKNOWN",
        "createType": "CreateByUser",
        "marketUnit": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def execution_row(execution: Execution) -> Json:
    """A fill; `execFee` is positive when it was paid."""
    return {
        "category": CATEGORY,
        "symbol": execution.symbol,
        "closedSize": plain(execution.closed),
        "execFee": plain(execution.fee),
        "execId": execution.exec_id,
        "execPrice": plain(execution.price),
        "execQty": plain(execution.quantity),
        "execType": "Trade",
        "execValue": plain(execution.price * execution.quantity),
        "feeRate": plain(execution.fee_rate),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": plain(execution.mark_price),
        "indexPrice": "",
        "underlyingPrice": "",
        "leavesQty": plain(execution.leaves),
        "orderId": execution.order_id,
        "orderLinkId": execution.link_id,
        "orderPrice": plain(execution.order_price),
        "orderQty": plain(execution.order_quantity),
        "orderType": "Market" if execution.is_market else "Limit",
        "stopOrderType": "UNKNOWN",
        "side": SIDES[execution.side],
        "execTime": str(execution.time_ms),
        "isLeverage": "0",
        "isMaker": execution.is_maker,
        "seq": execution.sequence,
        "marketUnit": "",
        "execPnl": plain(execution.realised),
        "createType": "CreateByUser",
    }


def position_row(holding: Holding, mark: Decimal | None) -> Json:
    """A one-way position. Without a mark price the figures that need one are empty."""
    size = abs(holding.size)
    value = size * holding.entry
    open_pnl = holding.size * (mark - holding.entry) if mark is not None else None
    margin = rounded(value / holding.leverage)
    return {
        "positionIdx": 0,
        "tradeMode": 0,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": holding.symbol,
        "side": "" if not size else "Buy" if holding.size > 0 else "Sell",
        "size": plain(size),
        "sessionAvgPrice": "",
        "leverage": plain(holding.leverage),
        "positionValue": rounded(value) if size else "",
        "positionBalance": "0",
        "markPrice": "" if mark is None else plain(mark),
        "positionIM": margin,
        "positionMM": rounded(value * rules.MAINTENANCE),
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": "" if open_pnl is None or not size else rounded(open_pnl),
        "cumRealisedPnl": rounded(holding.realised),
        "curRealisedPnl": rounded(holding.session_realised),
        "createdTime": str(holding.created_ms),
        "updatedTime": str(holding.updated_ms),
        "tpslMode": "Full",
        "liqPrice": "",
        "bustPrice": "",
        "positionStatus": "Normal",
        "adlRankIndicator": 0,
        "autoAddMargin": 0,
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "seq": holding.sequence,
        "isReduceOnly": False,
    }


def position_stream(holding: Holding, mark: Decimal | None) -> Json:
    """A row of the `position` topic, which calls the average price `entryPrice`."""
    row = {**position_row(holding, mark), "takeProfit": "0", "stopLoss": "0"}
    return {"category": CATEGORY, "entryPrice": rounded(holding.entry), **row}


def position_rest(holding: Holding, mark: Decimal | None) -> Json:
    """A row of /v5/position/list, which calls it `avgPrice`."""
    return {"avgPrice": rounded(holding.entry), **position_row(holding, mark)}


def wallet_row(account: Account, instrument: Instrument, mark: Decimal | None) -> Json:
    """A unified account with one coin. Open positions are valued at the mark, at entry while there is none."""
    cash = account.wallet.balance
    equity = rules.equity(account, mark) if mark is not None else cash
    position_margin = rules.position_margin(account, mark) if mark is not None else Decimal(0)
    order_margin = rules.order_margin(account)
    maintenance = position_margin * rules.MAINTENANCE
    free = max(Decimal(0), equity - position_margin - order_margin)
    initial = position_margin + order_margin
    rate = rounded(initial / equity, 4) if equity > 0 else ""
    coin = {
        "coin": instrument.quote,
        "equity": rounded(equity),
        "usdValue": rounded(equity),
        "walletBalance": rounded(cash),
        "free": "",
        "locked": "0",
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "availableToWithdraw": rounded(free),
        "accruedInterest": "0",
        "totalOrderIM": rounded(order_margin),
        "totalPositionIM": rounded(position_margin),
        "totalPositionMM": rounded(maintenance),
        "unrealisedPnl": rounded(equity - cash),
        "cumRealisedPnl": rounded(account.wallet.realised),
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
        "availableToBorrow": "",
    }
    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": rate,
        "accountMMRate": rounded(maintenance / equity, 4) if equity > 0 else "",
        "totalEquity": rounded(equity),
        "totalWalletBalance": rounded(cash),
        "totalMarginBalance": rounded(equity),
        "totalAvailableBalance": rounded(free),
        "totalPerpUPL": rounded(equity - cash),
        "totalInitialMargin": rounded(initial),
        "totalMaintenanceMargin": rounded(maintenance),
        "coin": [coin],
    }
