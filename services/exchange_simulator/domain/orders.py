"""Orders, fills and refusals as the venue keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from libs.trading.market import Side
from libs.trading.simulation.account import ZERO

MAX_LINK_ID = 36


class Status(StrEnum):
    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"

    @property
    def is_open(self) -> bool:
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class Reason(StrEnum):
    """Why an order ended, in the venue's words."""

    NONE = "EC_NoError"
    ON_REQUEST = "EC_PerCancelRequest"
    POST_ONLY = "EC_PostOnlyWillTakeLiquidity"
    NOTHING_TO_TAKE = "EC_NoImmediateQtyToFill"
    REDUCE_ONLY = "EC_ReduceOnlyOrderCancelled"


class CancelType(StrEnum):
    UNKNOWN = "UNKNOWN"
    BY_USER = "CancelByUser"
    BY_REDUCE_ONLY = "CancelByReduceOnly"


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A request to trade; `price` None is a market order."""

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool = False
    link_id: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the venue. Times in ms of the venue's (wall) clock; money in quote units.

    `number` is its place among all that was ever done, from the moment it was received.
    """

    order_id: str
    link_id: str
    account: str
    symbol: str
    side: Side
    is_market: bool
    time_in_force: TimeInForce
    price: Decimal
    quantity: Decimal
    reduce_only: bool
    created_ms: int
    updated_ms: int
    number: int
    last_price: Decimal
    status: Status = Status.NEW
    cancel_type: CancelType = CancelType.UNKNOWN
    reason: Reason = Reason.NONE
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    fee: Decimal = ZERO
    closed_pnl: Decimal = ZERO

    @property
    def leaves(self) -> Decimal:
        return self.quantity - self.filled if self.status.is_open else ZERO


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill of one order; `fee` is positive when paid, `realised` is before fees."""

    exec_id: str
    sequence: int
    account: str
    order_id: str
    link_id: str
    symbol: str
    side: Side
    is_market: bool
    order_price: Decimal
    order_quantity: Decimal
    leaves: Decimal
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_rate: Decimal
    is_maker: bool
    closed: Decimal
    realised: Decimal
    mark_price: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A one-way position with its history of profit; `realised` is cumulative, fees taken off."""

    symbol: str
    size: Decimal
    entry: Decimal
    leverage: Decimal
    realised: Decimal
    session_realised: Decimal
    created_ms: int
    updated_ms: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Received; whether it trades is told later."""

    order_id: str
    link_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not received, in the venue's code and words."""

    code: int
    message: str


BAD_PARAMETER = 10001
CLOCK_SKEW = 10002
UNKNOWN_KEY = 10003
BAD_SIGNATURE = 10004
TOO_MANY_VISITS = 10006
UNKNOWN_ORDER = 110001
NO_BALANCE = 110007
NOTHING_TO_REDUCE = 110017
MODE_UNCHANGED = 110025
LEVERAGE_UNCHANGED = 110043
NOT_TRADING = 110063
DUPLICATE_LINK_ID = 110072
TOO_SMALL = 110094
