"""Orders, fills, positions, decisions and account events between messages and domain values."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from libs.trading.decisions import (
    AccountEvent,
    Decision,
    DecisionKind,
    Fact,
    ReconciliationDifference,
    TradingStateChanged,
)
from libs.trading.market import Provenance, Side
from libs.trading.orders import Fill, Order, OrderState, Origin, TimeInForce
from libs.trading.portfolio import Position
from libs.trading.risk import RuleResult, TradingState
from libs.trading.scoring import Scope
from protos.orders.v1 import orders_pb2


def decimal_text(value: Decimal) -> str:
    """Plain digits without exponent and without trailing zeros: 1E+3 is "1000", 0.500 is "0.5"."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(value: IntEnum | None) -> Any:
    """An enum's number; the stubs of protoc and of mypy-protobuf disagree on its type, so it has none here."""
    return 0 if value is None else int(value)


def timestamp(ns: int) -> Timestamp:
    message = Timestamp()
    message.FromNanoseconds(ns)
    return message


def order_message(order: Order) -> orders_pb2.Order:
    average = order.average_price
    return orders_pb2.Order(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        account=order.account,
        instrument=order.instrument,
        side=_number(order.side),
        price=decimal_text(order.price),
        quantity=decimal_text(order.quantity),
        time_in_force=_number(order.time_in_force),
        reduce_only=order.reduce_only,
        state=_number(order.state),
        filled_quantity=decimal_text(order.filled_quantity),
        average_price="" if average is None else decimal_text(average),
        fees_quote=decimal_text(order.fees_quote),
        origin=_number(order.origin),
        reason=order.reason,
        recorded_time=timestamp(order.recorded_time),
        updated_time=timestamp(order.updated_time),
        decision_key=order.decision_key,
        prediction_id=order.prediction_id,
        bundle_digest=order.bundle_digest,
        provenance=_number(order.provenance),
        session=order.session,
    )


def order_value(message: orders_pb2.Order) -> Order:
    """The order that a message tells of. Raises ValueError for an enum or a decimal that means nothing.

    A message has the average price, not the exact notional, and no list of executions: `filled_notional` is their
    product, `executions` is empty.
    """
    filled = Decimal(message.filled_quantity or "0")
    return Order(
        client_order_id=message.client_order_id,
        venue_order_id=message.venue_order_id,
        account=message.account,
        instrument=message.instrument,
        side=Side(message.side),
        price=Decimal(message.price),
        quantity=Decimal(message.quantity),
        time_in_force=TimeInForce(message.time_in_force),
        reduce_only=message.reduce_only,
        state=OrderState(message.state),
        filled_quantity=filled,
        filled_notional=filled * Decimal(message.average_price or "0"),
        fees_quote=Decimal(message.fees_quote or "0"),
        venue_filled=filled,
        origin=Origin(message.origin),
        reason=message.reason,
        recorded_time=message.recorded_time.ToNanoseconds(),
        updated_time=message.updated_time.ToNanoseconds(),
        decision_key=message.decision_key,
        prediction_id=message.prediction_id,
        bundle_digest=message.bundle_digest,
        provenance=Provenance(message.provenance) if message.provenance else None,
        session=message.session,
    )


def fill_message(fill: Fill) -> orders_pb2.Fill:
    return orders_pb2.Fill(
        execution_id=fill.execution_id,
        client_order_id=fill.client_order_id,
        venue_order_id=fill.venue_order_id,
        instrument=fill.instrument,
        side=_number(fill.side),
        price=decimal_text(fill.price),
        quantity=decimal_text(fill.quantity),
        fee_quote=decimal_text(fill.fee_quote),
        maker=fill.maker,
        time=timestamp(fill.time),
    )


def fill_value(message: orders_pb2.Fill) -> Fill:
    """Raises ValueError (or decimal.InvalidOperation) for a message that means nothing."""
    return Fill(
        execution_id=message.execution_id,
        client_order_id=message.client_order_id,
        venue_order_id=message.venue_order_id,
        instrument=message.instrument,
        side=Side(message.side),
        price=Decimal(message.price),
        quantity=Decimal(message.quantity),
        fee_quote=Decimal(message.fee_quote),
        maker=message.maker,
        time=message.time.ToNanoseconds(),
    )


def position_message(account: str, position: Position, mark: Decimal | None) -> orders_pb2.Position:
    average = position.average_price
    unrealised = None if mark is None else position.unrealised_pnl(mark)
    return orders_pb2.Position(
        account=account,
        instrument=position.instrument,
        quantity=decimal_text(position.quantity),
        average_price="" if average is None else decimal_text(average),
        realised_pnl_quote=decimal_text(position.realised_pnl),
        unrealised_pnl_quote="" if unrealised is None else decimal_text(unrealised),
    )


def rule_message(result: RuleResult) -> orders_pb2.RuleResult:
    return orders_pb2.RuleResult(rule=result.rule, passed=result.passed, detail=result.detail)


def decision_message(decision: Decision) -> orders_pb2.Decision:
    message = orders_pb2.Decision(
        decision_key=decision.decision_key,
        prediction_id=decision.prediction_id,
        vector_id=decision.vector_id,
        bundle_digest=decision.bundle_digest,
        model_version=decision.model_version,
        instrument=decision.instrument,
        session=decision.session,
        as_of_ns=decision.as_of,
        kind=_number(decision.kind),
        origin=_number(decision.origin),
        score=decision.score,
        threshold=decision.threshold,
        propensity=decision.propensity,
        rules=[rule_message(result) for result in decision.rules],
        decided_time=timestamp(decision.decided_time),
        prediction_offset=decision.prediction_offset,
        features_offset=decision.features_offset,
        provenance=_number(decision.provenance),
        evidence=_number(decision.evidence),
    )
    if decision.denied is not None:
        message.denied.code, message.denied.reason = decision.denied
    return message


def decision_value(message: orders_pb2.Decision) -> Decision:
    """Raises ValueError for an enum that means nothing. The strategy and the partition are not on the wire."""
    return Decision(
        decision_key=message.decision_key,
        prediction_id=message.prediction_id,
        vector_id=message.vector_id,
        bundle_digest=message.bundle_digest,
        model_version=message.model_version,
        instrument=message.instrument,
        session=message.session,
        as_of=message.as_of_ns,
        strategy="",
        kind=DecisionKind(message.kind),
        origin=Origin(message.origin),
        score=message.score,
        threshold=message.threshold if message.HasField("threshold") else None,
        propensity=message.propensity if message.HasField("propensity") else None,
        denied=(message.denied.code, message.denied.reason) if message.HasField("denied") else None,
        rules=tuple(RuleResult(rule.rule, rule.passed, rule.detail) for rule in message.rules),
        decided_time=message.decided_time.ToNanoseconds(),
        prediction_partition=0,
        prediction_offset=message.prediction_offset,
        features_offset=message.features_offset,
        provenance=Provenance(message.provenance),
        evidence=Scope(message.evidence),
    )


def event_message(event: AccountEvent) -> orders_pb2.OrderEvent:
    message = orders_pb2.OrderEvent(sequence=event.sequence, account=event.account, time=timestamp(event.time))
    match event.fact:
        case Decision():
            message.decision.CopyFrom(decision_message(event.fact))
        case Order():
            message.order.CopyFrom(order_message(event.fact))
        case Fill():
            message.fill.CopyFrom(fill_message(event.fact))
        case TradingStateChanged(before, after, by, reason):
            change = message.trading_state
            setattr(change, "from", _number(before))  # `from` is a Python keyword
            change.to, change.by, change.reason = _number(after), by, reason
        case ReconciliationDifference(kind, detail, action):
            message.difference.kind, message.difference.detail, message.difference.action = kind, detail, action
    return message


def event_value(message: orders_pb2.OrderEvent) -> AccountEvent:
    """The account event that a message tells of. Raises ValueError for one that means nothing."""
    return AccountEvent(message.sequence, message.account, message.time.ToNanoseconds(), _fact(message))


def _fact(message: orders_pb2.OrderEvent) -> Fact:
    match message.WhichOneof("event"):
        case "decision":
            return decision_value(message.decision)
        case "order":
            return order_value(message.order)
        case "fill":
            return fill_value(message.fill)
        case "trading_state":
            change = message.trading_state
            before, after = TradingState(getattr(change, "from")), TradingState(change.to)
            return TradingStateChanged(before, after, change.by, change.reason)
        case "difference":
            difference = message.difference
            return ReconciliationDifference(difference.kind, difference.detail, difference.action)
        case _:
            raise ValueError(f"the account event {message.account}/{message.sequence} says nothing")


def encode_event(event: AccountEvent) -> bytes:
    return event_message(event).SerializeToString()


def decode_event(value: bytes) -> AccountEvent:
    """Raises google.protobuf.message.DecodeError or ValueError for bytes that are no account event."""
    return event_value(orders_pb2.OrderEvent.FromString(value))
