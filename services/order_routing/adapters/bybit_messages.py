"""Bybit v5 order rows, execution rows and answer codes as what they mean to the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from libs.trading.instrument import InstrumentRules
from libs.trading.market import Side
from libs.trading.orders import Fill, Order, Origin, Reported, TimeInForce, VenueStatus
from services.order_routing.ports import (
    Accepted,
    CancelOutcome,
    CancelTaken,
    ExistsAlready,
    NotTaken,
    SubmitOutcome,
    TurnedDown,
    Unclear,
    VenueOrder,
)

MS = 1_000_000

# Only these execution types move a position. Funding rows carry the whole position as execQty: cash, not a fill.
MOVES_POSITION = frozenset({"Trade", "AdlTrade", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition"})

STATUS = {
    "Created": VenueStatus.OPEN,
    "New": VenueStatus.OPEN,
    "PartiallyFilled": VenueStatus.OPEN,
    "Untriggered": VenueStatus.OPEN,
    "Triggered": VenueStatus.OPEN,
    "Filled": VenueStatus.FILLED,
    "Cancelled": VenueStatus.CANCELLED,
    "PartiallyFilledCanceled": VenueStatus.CANCELLED,
    "Deactivated": VenueStatus.CANCELLED,
    "Rejected": VenueStatus.REJECTED,
}

TIME_NOT_ACCEPTED = 10002
RATE_LIMITED = 10006
BANNED = frozenset({10018, 403})
EXISTS = frozenset({110072, 170141})
CANCEL_QUERY = frozenset({110001, 110008, 110010})
# The venue looked at the order and refused it: parameters, rights, balance, price and size limits, reduce-only.
TURNED_DOWN = frozenset(
    {
        10001, 10003, 10004, 10005, 10010, 10024,
        110003, 110004, 110006, 110007, 110009, 110011, 110012, 110013, 110014, 110017, 110020, 110021, 110023,
        110044, 110045, 110052, 110063, 110066, 110090, 110094, 110095, 110103, 110104,
    }
)  # fmt: skip

TIF = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.POST_ONLY: "PostOnly"}
TIF_OF = {name: tif for tif, name in TIF.items()} | {"FOK": TimeInForce.IOC}
SIDE = {Side.BUY: "Buy", Side.SELL: "Sell"}
SIDE_OF = {name: side for side, name in SIDE.items()}


class UnknownMessage(ValueError):
    """The venue said something that has no meaning here; the message says what."""


def submit_outcome(code: int, message: str, result: Mapping[str, Any], reset_ms: int | None) -> SubmitOutcome:
    """What an answer to a create request means. Any code that is not known for sure leaves the order in doubt."""
    said = f"{code}: {message}"
    if code == 0:
        return Accepted(str(result.get("orderId", "")))
    if code in EXISTS:
        return ExistsAlready()
    return _not_taken(code, said, reset_ms) or (TurnedDown(said) if code in TURNED_DOWN else Unclear(said))


def cancel_outcome(code: int, message: str, reset_ms: int | None) -> CancelOutcome:
    """What an answer to a cancel means: 110001, 110008 and 110010 say that the order's end is to be looked up."""
    said = f"{code}: {message}"
    return CancelTaken() if code == 0 else _not_taken(code, said, reset_ms) or Unclear(said)


def _not_taken(code: int, said: str, reset_ms: int | None) -> NotTaken | None:
    if code == TIME_NOT_ACCEPTED:
        return NotTaken(said)
    if code == RATE_LIMITED:
        return NotTaken(said, resume_at=None if reset_ms is None else reset_ms * MS)
    return NotTaken(said, halt=True) if code in BANNED else None


def create_body(order: Order, rules: InstrumentRules, category: str) -> dict[str, Any]:
    return {
        "category": category,
        "symbol": rules.symbol,
        "side": SIDE[order.side],
        "orderType": "Limit",
        "qty": plain(order.quantity),
        "price": plain(order.price),
        "timeInForce": TIF[order.time_in_force],
        "orderLinkId": order.client_order_id,
        "positionIdx": 0,
        "reduceOnly": order.reduce_only,
    }


def plain(value: Decimal) -> str:
    return format(value, "f")


def amount_of(row: Mapping[str, Any], field: str) -> Decimal:
    """A decimal field where the venue writes "" for nothing. Raises UnknownMessage."""
    return Decimal(0) if row.get(field) in {"", None} else decimal_of(row, field)


def decimal_of(row: Mapping[str, Any], field: str) -> Decimal:
    """A decimal field that must be there. Raises UnknownMessage."""
    try:
        value = Decimal(str(row[field]))
    except (KeyError, InvalidOperation) as error:
        raise UnknownMessage(f"{field} is no decimal in {dict(row)}") from error
    if not value.is_finite():
        raise UnknownMessage(f"{field} is {value}")
    return value


def report_of(row: Mapping[str, Any]) -> Reported:
    """An order row of REST or stream. Raises UnknownMessage for a status that is not known."""
    name = str(row.get("orderStatus", ""))
    if name not in STATUS:
        raise UnknownMessage(f"order status {name!r}")
    cumulative = amount_of(row, "cumExecQty")
    reason = str(row.get("rejectReason", ""))
    reason = "" if reason in {"EC_NoError", ""} else reason
    cancel_type = str(row.get("cancelType", ""))
    if not reason and cancel_type not in {"", "UNKNOWN"}:
        reason = cancel_type
    return Reported(str(row.get("orderId", "")), STATUS[name], cumulative, reason)


def fill_of(row: Mapping[str, Any], instrument: str) -> Fill | None:
    """An execution row; None for one that moves no position. Raises UnknownMessage for one that is not whole."""
    if str(row.get("execType", "")) not in MOVES_POSITION:
        return None
    side = SIDE_OF.get(str(row.get("side", "")))
    execution_id = str(row.get("execId", ""))
    if side is None or not execution_id:
        raise UnknownMessage(f"execution without side or id: {dict(row)}")
    return Fill(
        execution_id=execution_id,
        client_order_id=str(row.get("orderLinkId", "")),
        venue_order_id=str(row.get("orderId", "")),
        instrument=instrument,
        side=side,
        price=decimal_of(row, "execPrice"),
        quantity=decimal_of(row, "execQty"),
        fee_quote=amount_of(row, "execFee"),
        maker=bool(row.get("isMaker", False)),
        time=int(row.get("execTime") or 0) * MS,
    )


def venue_order_of(row: Mapping[str, Any], instrument: str, account: str, now: int) -> VenueOrder:
    """An open order as the venue lists it, with what its adoption needs. Raises UnknownMessage."""
    side = SIDE_OF.get(str(row.get("side", "")))
    if side is None:
        raise UnknownMessage(f"order without side: {dict(row)}")
    report = report_of(row)
    details = Order(
        client_order_id=str(row.get("orderLinkId", "")),
        account=account,
        instrument=instrument,
        side=side,
        price=decimal_of(row, "price"),
        quantity=decimal_of(row, "qty"),
        time_in_force=TIF_OF.get(str(row.get("timeInForce", "")), TimeInForce.GTC),
        reduce_only=bool(row.get("reduceOnly", False)),
        origin=Origin.RISK,
        recorded_time=now,
        updated_time=now,
    )
    return VenueOrder(replace(details, venue_order_id=report.venue_order_id), report)


def rules_of(row: Mapping[str, Any], instrument: str) -> InstrumentRules:
    """An instruments-info row of a linear contract. Raises UnknownMessage when a filter is missing or it is closed."""
    if row.get("status") != "Trading":
        raise UnknownMessage(f"{row.get('symbol')} is {row.get('status')}, not Trading")
    lots, prices = row.get("lotSizeFilter", {}), row.get("priceFilter", {})
    return InstrumentRules(
        instrument=instrument,
        symbol=str(row["symbol"]),
        tick_size=decimal_of(prices, "tickSize"),
        lot_size=decimal_of(lots, "qtyStep"),
        min_quantity=decimal_of(lots, "minOrderQty"),
        max_quantity=decimal_of(lots, "maxOrderQty"),
        min_notional=decimal_of(lots, "minNotionalValue"),
    )
