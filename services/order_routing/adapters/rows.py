"""Domain values to and from the journal's rows."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping

from libs.trading.decisions import Decision, DecisionKind, TradingStateChanged
from libs.trading.market import Provenance, Side
from libs.trading.orders import Fill, Order, OrderState, Origin, TimeInForce
from libs.trading.risk import RuleResult
from libs.trading.scoring import Scope
from services.order_routing.domain import InputAt
from services.order_routing.ports import Balances

# The columns of an order that change while it lives.
PROGRESS = (
    "updated_time", "state", "terminal", "venue_order_id", "filled_quantity", "filled_notional", "fees_quote",
    "venue_filled", "closing", "reason",
)  # fmt: skip


def decision_row(account: str, decision: Decision) -> dict[str, Any]:
    code, reason = decision.denied if decision.denied is not None else (None, None)
    return {
        "account": account,
        "decision_key": decision.decision_key,
        "prediction_id": decision.prediction_id,
        "vector_id": decision.vector_id,
        "bundle_digest": decision.bundle_digest,
        "model_version": decision.model_version,
        "instrument": decision.instrument,
        "session": decision.session,
        "as_of": decision.as_of,
        "strategy": decision.strategy,
        "kind": decision.kind.name,
        "origin": decision.origin.name,
        "score": decision.score,
        "threshold": decision.threshold,
        "propensity": decision.propensity,
        "denied_code": code,
        "denied_reason": reason,
        "rules": json.dumps([[rule.rule, rule.passed, rule.detail] for rule in decision.rules]),
        "decided_time": decision.decided_time,
        "prediction_partition": decision.prediction_partition,
        "prediction_offset": decision.prediction_offset,
        "features_offset": decision.features_offset,
        "provenance": decision.provenance.name,
        "evidence": decision.evidence.name,
    }


def decision_of(row: RowMapping) -> Decision:
    denied = None if row["denied_code"] is None else (row["denied_code"], row["denied_reason"])
    return Decision(
        decision_key=row["decision_key"],
        prediction_id=row["prediction_id"],
        vector_id=row["vector_id"],
        bundle_digest=row["bundle_digest"],
        model_version=row["model_version"],
        instrument=row["instrument"],
        session=row["session"],
        as_of=row["as_of"],
        strategy=row["strategy"],
        kind=DecisionKind[row["kind"]],
        origin=Origin[row["origin"]],
        score=row["score"],
        threshold=row["threshold"],
        propensity=row["propensity"],
        denied=denied,
        rules=tuple(RuleResult(rule, passed, detail) for rule, passed, detail in json.loads(row["rules"])),
        decided_time=row["decided_time"],
        prediction_partition=row["prediction_partition"],
        prediction_offset=row["prediction_offset"],
        features_offset=row["features_offset"],
        provenance=Provenance[row["provenance"]],
        evidence=Scope[row["evidence"]],
    )


def order_row(order: Order) -> dict[str, Any]:
    return {
        "account": order.account,
        "client_order_id": order.client_order_id,
        "instrument": order.instrument,
        "side": order.side.name,
        "price": str(order.price),
        "quantity": str(order.quantity),
        "time_in_force": order.time_in_force.name,
        "reduce_only": order.reduce_only,
        "origin": order.origin.name,
        "recorded_time": order.recorded_time,
        "strategy": order.strategy,
        "decision_key": order.decision_key,
        "prediction_id": order.prediction_id,
        "bundle_digest": order.bundle_digest,
        "provenance": None if order.provenance is None else order.provenance.name,
        "session": order.session,
        "as_of": order.as_of,
        "horizon": order.horizon,
        **order_progress(order),
    }


def order_progress(order: Order) -> dict[str, Any]:
    """By the names of PROGRESS."""
    return {
        "updated_time": order.updated_time,
        "state": order.state.name,
        "terminal": order.terminal,
        "venue_order_id": order.venue_order_id,
        "filled_quantity": str(order.filled_quantity),
        "filled_notional": str(order.filled_notional),
        "fees_quote": str(order.fees_quote),
        "venue_filled": str(order.venue_filled),
        "closing": None if order.closing is None else order.closing.name,
        "reason": order.reason,
    }


def order_of(row: RowMapping, execution_ids: frozenset[str]) -> Order:
    return Order(
        client_order_id=row["client_order_id"],
        account=row["account"],
        instrument=row["instrument"],
        side=Side[row["side"]],
        price=Decimal(row["price"]),
        quantity=Decimal(row["quantity"]),
        time_in_force=TimeInForce[row["time_in_force"]],
        reduce_only=bool(row["reduce_only"]),
        origin=Origin[row["origin"]],
        recorded_time=row["recorded_time"],
        updated_time=row["updated_time"],
        strategy=row["strategy"],
        decision_key=row["decision_key"],
        prediction_id=row["prediction_id"],
        bundle_digest=row["bundle_digest"],
        provenance=None if row["provenance"] is None else Provenance[row["provenance"]],
        session=row["session"],
        as_of=row["as_of"],
        horizon=row["horizon"],
        state=OrderState[row["state"]],
        venue_order_id=row["venue_order_id"],
        filled_quantity=Decimal(row["filled_quantity"]),
        filled_notional=Decimal(row["filled_notional"]),
        fees_quote=Decimal(row["fees_quote"]),
        executions=execution_ids,
        venue_filled=Decimal(row["venue_filled"]),
        closing=None if row["closing"] is None else OrderState[row["closing"]],
        reason=row["reason"],
    )


def fill_row(account: str, number: int, fill: Fill) -> dict[str, Any]:
    return {
        "account": account,
        "execution_id": fill.execution_id,
        "number": number,
        "client_order_id": fill.client_order_id,
        "venue_order_id": fill.venue_order_id,
        "instrument": fill.instrument,
        "side": fill.side.name,
        "price": str(fill.price),
        "quantity": str(fill.quantity),
        "fee_quote": str(fill.fee_quote),
        "maker": fill.maker,
        "time": fill.time,
    }


def fill_of(row: RowMapping) -> Fill:
    return Fill(
        execution_id=row["execution_id"],
        client_order_id=row["client_order_id"],
        venue_order_id=row["venue_order_id"],
        instrument=row["instrument"],
        side=Side[row["side"]],
        price=Decimal(row["price"]),
        quantity=Decimal(row["quantity"]),
        fee_quote=Decimal(row["fee_quote"]),
        maker=bool(row["maker"]),
        time=row["time"],
    )


def offset_row(account: str, at: InputAt) -> dict[str, Any]:
    return {"account": account, "topic": at.topic, "partition": at.partition, "next_offset": at.offset + 1}


def state_row(account: str, number: int, change: TradingStateChanged, time: int) -> dict[str, Any]:
    return {
        "account": account,
        "number": number,
        "before": change.before.name,
        "after": change.after.name,
        "by": change.by,
        "reason": change.reason,
        "time": time,
    }


def balances_row(account: str, new: Balances) -> dict[str, Any]:
    return {
        "account": account,
        "opening": str(new.opening),
        "peak": str(new.peak),
        "day": new.day,
        "day_equity": str(new.day_equity),
    }


def balances_of(row: RowMapping) -> Balances:
    return Balances(Decimal(row["opening"]), Decimal(row["peak"]), row["day"], Decimal(row["day_equity"]))
