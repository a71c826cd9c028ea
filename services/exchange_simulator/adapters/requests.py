"""From REST parameters to order requests; what cannot be read is refused in the venue's code."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from libs.trading.market import Side
from services.exchange_simulator.domain.instrument import CATEGORY
from services.exchange_simulator.domain.orders import BAD_PARAMETER, NewOrder, Refused, TimeInForce

SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
CONDITIONS = (
    "triggerPrice",
    "triggerDirection",
    "triggerBy",
    "takeProfit",
    "stopLoss",
    "tpslMode",
    "orderIv",
    "marketUnit",
)
Params = Mapping[str, object]


class BadParameter(Exception):
    """A parameter that the venue refuses; carries the answer."""

    def __init__(self, message: str, code: int = BAD_PARAMETER) -> None:
        super().__init__(message)
        self.refused = Refused(code, message)


def new_order(body: Params) -> NewOrder:
    """Read /v5/order/create. Raises `BadParameter`."""
    check_category(body)
    asked = [name for name in CONDITIONS if body.get(name) not in (None, "", "0", 0)]
    if asked:
        raise BadParameter(f"params error: {asked[0]} is not supported, this venue has no conditional orders")
    if str(body.get("positionIdx", 0)) != "0":
        raise BadParameter("position idx not match position mode")
    side = SIDES.get(str(body.get("side", "")))
    if side is None:
        raise BadParameter("params error: side invalid")
    kind = str(body.get("orderType", ""))
    if kind not in ("Limit", "Market"):
        raise BadParameter("params error: orderType invalid")
    quantity = decimal(body, "qty")
    price = decimal(body, "price") if kind == "Limit" else None
    named = str(body.get("timeInForce") or ("IOC" if kind == "Market" else "GTC"))
    if named not in TimeInForce.__members__.values():
        raise BadParameter("params error: timeInForce invalid")
    link_id = str(body.get("orderLinkId") or "")
    reduce_only = flag(body, "reduceOnly") or flag(body, "closeOnTrigger")
    return NewOrder(str(body.get("symbol", "")), side, quantity, price, TimeInForce(named), reduce_only, link_id)


def check_category(params: Params) -> None:
    category = params.get("category")
    if category != CATEGORY:
        raise BadParameter(
            f"params error: category {category} is not traded here" if category else "params error: category is missing"
        )


def decimal(params: Params, name: str) -> Decimal:
    text = params.get(name)
    try:
        value = Decimal(str(text))
    except InvalidOperation as error:
        raise BadParameter(f"params error: {name} invalid") from error
    if text is None or not value.is_finite():
        raise BadParameter(f"params error: {name} invalid")
    return value


def flag(params: Params, name: str) -> bool:
    value = params.get(name, False)
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise BadParameter(f"params error: {name} invalid")


def whole(params: Params, name: str, default: int, least: int, most: int) -> int:
    text = str(params.get(name) or default)
    if not text.isdigit() or not least <= int(text) <= most:
        raise BadParameter(f"params error: {name} must lie in {least}..{most}")
    return int(text)
