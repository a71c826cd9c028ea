"""The life of one order: its states, the events that move it, and the identity that keeps it from being sent twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum

from libs.trading.features.vector import EmissionReason
from libs.trading.market import Provenance, Side

ZERO = Decimal(0)
MAX_CLIENT_ORDER_ID = 36


class OrderState(IntEnum):
    RECORDED = 1  # journaled, not yet sent
    SENT = 2  # handed to the venue, no answer yet
    ACKNOWLEDGED = 3  # received by the venue
    OPEN = 4
    PARTIALLY_FILLED = 5
    FILLED = 6
    CANCEL_PENDING = 7
    CANCELLED = 8  # may hold fills
    REJECTED = 9  # by the venue
    IN_DOUBT = 10  # the outcome of a submit or a cancel is unknown; the venue is asked
    NOT_ACCEPTED = 11  # proven absent at the venue


TERMINAL = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.NOT_ACCEPTED})
UNANSWERED = frozenset({OrderState.RECORDED, OrderState.SENT})


class TimeInForce(IntEnum):
    GTC = 1
    IOC = 2
    POST_ONLY = 3


class Origin(IntEnum):
    MODEL = 1
    EXPLORATION = 2
    MANUAL = 3
    RISK = 4  # a flatten by a risk rule or an operator, or an order of ours found at the venue


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. Price and fee in quote units (positive fee: paid), quantity in base units, venue time in ns."""

    execution_id: str
    client_order_id: str
    venue_order_id: str
    instrument: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee_quote: Decimal
    maker: bool
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order and all that is known of it. `recorded_time`, `updated_time`: wall ns; `as_of`, `horizon`: session ns.

    `venue_filled` is the greatest cumulative quantity the venue reported; `closing` is the terminal state it announced
    while executions are still missing here.
    """

    client_order_id: str
    account: str
    instrument: str
    side: Side
    price: Decimal
    quantity: Decimal
    time_in_force: TimeInForce
    reduce_only: bool
    origin: Origin
    recorded_time: int
    updated_time: int
    strategy: str = ""
    decision_key: str = ""
    prediction_id: str = ""
    bundle_digest: str = ""
    provenance: Provenance | None = None
    session: str = ""
    as_of: int = 0
    horizon: int = 0
    state: OrderState = OrderState.RECORDED
    venue_order_id: str = ""
    filled_quantity: Decimal = ZERO
    filled_notional: Decimal = ZERO
    fees_quote: Decimal = ZERO
    executions: frozenset[str] = frozenset()
    venue_filled: Decimal = ZERO
    closing: OrderState | None = None
    reason: str = ""

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def remaining(self) -> Decimal:
        """Base units that may still be filled; 0 once terminal."""
        return ZERO if self.terminal else self.quantity - self.filled_quantity

    @property
    def average_price(self) -> Decimal | None:
        return self.filled_notional / self.filled_quantity if self.filled_quantity else None


class VenueStatus(IntEnum):
    """What a venue says an order is."""

    OPEN = 1
    FILLED = 2
    CANCELLED = 3
    REJECTED = 4


@dataclass(frozen=True, slots=True)
class Sent:
    """The request's last byte was written."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue answered that it did not take the order and never will."""

    reason: str


@dataclass(frozen=True, slots=True)
class Doubted:
    """A submit or a cancel ended without a trustworthy answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProvenAbsent:
    """The venue showed the order nowhere, twice and after the receive window, or said for sure that it took it not."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The order stream's or a query's word on the order."""

    venue_order_id: str
    status: VenueStatus
    cumulative_quantity: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    fill: Fill


OrderEvent = Sent | Acknowledged | Refused | Doubted | ProvenAbsent | CancelRequested | Reported | Filled


class ImpossibleTransition(Exception):
    """The venue and the journal cannot both be right; the account must halt."""

    def __init__(self, order: Order, event: OrderEvent, why: str) -> None:
        super().__init__(f"{order.client_order_id} in {order.state.name} got {type(event).__name__}: {why}")


def advance(order: Order, event: OrderEvent, now: int) -> Order:
    """The order after one event at wall time `now` (ns). The same object when the event says nothing new.

    Raises ImpossibleTransition for an event that no correct history can contain.
    """
    match event:
        case Sent():
            after = replace(order, state=OrderState.SENT) if order.state is OrderState.RECORDED else order
        case Acknowledged():
            after = _acknowledged(order, event)
        case Refused():
            after = _refused(order, event)
        case Doubted():
            after = order if order.terminal else replace(order, state=OrderState.IN_DOUBT, reason=event.reason)
        case ProvenAbsent():
            after = _absent(order, event)
        case CancelRequested():
            after = _cancel_requested(order, event)
        case Reported():
            after = _reported(order, event)
        case Filled():
            after = _filled(order, event)
    return order if after == order else replace(after, updated_time=now)


def _with_venue_id(order: Order, event: OrderEvent, venue_order_id: str) -> Order:
    if not venue_order_id or order.venue_order_id == venue_order_id:
        return order
    if order.venue_order_id:
        raise ImpossibleTransition(order, event, f"venue id {venue_order_id} after {order.venue_order_id}")
    return replace(order, venue_order_id=venue_order_id)


def _acknowledged(order: Order, event: Acknowledged) -> Order:
    if order.state is OrderState.NOT_ACCEPTED:
        raise ImpossibleTransition(order, event, "it was proven absent")
    after = _with_venue_id(order, event, event.venue_order_id)
    if order.state in UNANSWERED:
        return replace(after, state=OrderState.ACKNOWLEDGED)
    return after


def _refused(order: Order, event: Refused) -> Order:
    if order.state in UNANSWERED and not order.filled_quantity:
        return replace(order, state=OrderState.REJECTED, reason=event.reason)
    if order.state is OrderState.REJECTED:
        return order
    raise ImpossibleTransition(order, event, event.reason)


def _absent(order: Order, event: ProvenAbsent) -> Order:
    if order.state is OrderState.NOT_ACCEPTED:
        return order
    if order.state not in UNANSWERED | {OrderState.IN_DOUBT}:
        raise ImpossibleTransition(order, event, event.reason)
    if order.venue_order_id or order.filled_quantity:
        raise ImpossibleTransition(order, event, f"the venue knew it as {order.venue_order_id!r}")
    return replace(order, state=OrderState.NOT_ACCEPTED, reason=event.reason)


def _cancel_requested(order: Order, event: CancelRequested) -> Order:
    """Whoever asks may be a moment late: an order that is over stays as it is."""
    if order.state in {OrderState.ACKNOWLEDGED, OrderState.OPEN, OrderState.PARTIALLY_FILLED}:
        return replace(order, state=OrderState.CANCEL_PENDING, reason=event.reason)
    return order


def _reported(order: Order, event: Reported) -> Order:
    if order.state is OrderState.NOT_ACCEPTED:
        raise ImpossibleTransition(order, event, "it was proven absent")
    if event.cumulative_quantity > order.quantity:
        raise ImpossibleTransition(order, event, f"{event.cumulative_quantity} of {order.quantity} filled")
    if order.terminal:
        if event.cumulative_quantity > order.filled_quantity:
            raise ImpossibleTransition(order, event, f"{event.cumulative_quantity} filled, not {order.filled_quantity}")
        return order
    cumulative = max(order.venue_filled, event.cumulative_quantity)
    after = replace(_with_venue_id(order, event, event.venue_order_id), venue_filled=cumulative)
    match event.status:
        case VenueStatus.OPEN:
            return after if order.closing else replace(after, state=_working(after))
        case VenueStatus.REJECTED:
            if cumulative or order.filled_quantity:
                raise ImpossibleTransition(order, event, "rejected with fills")
            return replace(after, state=OrderState.REJECTED, reason=event.reason or order.reason)
        case VenueStatus.FILLED if event.cumulative_quantity != order.quantity:
            raise ImpossibleTransition(order, event, f"filled with {event.cumulative_quantity} of {order.quantity}")
        case VenueStatus.FILLED:
            return _close(replace(after, closing=OrderState.FILLED))
        case VenueStatus.CANCELLED:
            return _close(replace(after, closing=OrderState.CANCELLED, reason=event.reason or order.reason))


def _working(order: Order) -> OrderState:
    """The state of an order that the venue still works on."""
    if order.state is OrderState.CANCEL_PENDING:
        return order.state
    return OrderState.PARTIALLY_FILLED if order.filled_quantity else OrderState.OPEN


def _close(order: Order) -> Order:
    """Terminal once the executions add up to what the venue reported; until then an order that waits for them."""
    if order.closing is not None and order.filled_quantity == order.venue_filled:
        state = OrderState.FILLED if order.filled_quantity == order.quantity else order.closing
        return replace(order, state=state, closing=None)
    return replace(order, state=_working(replace(order, state=OrderState.OPEN)))


def _filled(order: Order, event: Filled) -> Order:
    fill = event.fill
    if fill.execution_id in order.executions:
        return order
    if order.terminal:
        raise ImpossibleTransition(order, event, f"execution {fill.execution_id} after the end")
    if fill.side is not order.side or fill.instrument != order.instrument:
        raise ImpossibleTransition(order, event, f"execution {fill.execution_id} is {fill.side.name} {fill.instrument}")
    filled = order.filled_quantity + fill.quantity
    if fill.quantity <= 0 or filled > order.quantity:
        raise ImpossibleTransition(order, event, f"{filled} of {order.quantity} filled")
    if order.closing is not None and filled > order.venue_filled:
        raise ImpossibleTransition(order, event, f"{filled} filled where the venue closed it at {order.venue_filled}")
    cancel_in_doubt = order.state is OrderState.IN_DOUBT and bool(order.venue_order_id)
    after = replace(
        _with_venue_id(order, event, fill.venue_order_id),
        filled_quantity=filled,
        filled_notional=order.filled_notional + fill.quantity * fill.price,
        fees_quote=order.fees_quote + fill.fee_quote,
        executions=order.executions | {fill.execution_id},
    )
    if filled == order.quantity:
        return replace(after, state=OrderState.FILLED, closing=None, venue_filled=filled)
    if order.closing is not None:
        return _close(after)
    return after if cancel_in_doubt else replace(after, state=_working(after))


def namespace_tag(account: str, namespace: str) -> str:
    """Six hex digits that start every derived id of one account and namespace, so that ours are known at the venue."""
    return hashlib.sha256(f"{account}|{namespace}".encode()).hexdigest()[:6]


def client_order_id(
    account: str,
    namespace: str,
    strategy: str,
    session: str,
    instrument: str,
    as_of: int,
    reason: EmissionReason,
    ordinal: int,
    leg: int,
    attempt: int,
) -> str:
    """The identity of one order, 35 characters of [0-9a-f-]: the same decision always gives the same id.

    The model is no part of it: a hot swap between two predictions of one vector cannot make a second order.
    """
    parts = (account, namespace, strategy, session, instrument, as_of, int(reason), ordinal, leg, attempt)
    text = "\x1f".join(str(part) for part in parts)
    return f"{namespace_tag(account, namespace)}-{hashlib.sha256(text.encode()).hexdigest()[:28]}"
