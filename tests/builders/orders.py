"""Orders, fills, predictions and policies with sensible parts; say only what the test is about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from libs.trading.features.vector import EmissionReason
from libs.trading.instrument import InstrumentRules
from libs.trading.market import NS_PER_SECOND, WALL_CLOCK, Provenance, Quote, Side
from libs.trading.orders import Fill, Order, Origin, TimeInForce
from libs.trading.risk import ModelStanding, RiskLimits, TradingState
from libs.trading.scoring import DIRECTION_CLASSES, LabelKind, Prediction, Role, Scope, prediction_id
from services.order_routing.domain import ExplorePolicy, Policy

INSTRUMENT = "sim.linear.BTCUSDT"
START = 1_760_000_000 * NS_PER_SECOND

RULES = InstrumentRules(
    instrument=INSTRUMENT,
    symbol="BTCUSDT",
    tick_size=Decimal("0.10"),
    lot_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(100),
    min_notional=Decimal(5),
)

UNTRUSTED = ModelStanding(False, False, Scope.NONE, None, "unheard of")
TRUSTED = ModelStanding(True, True, Scope.SIMULATED, Provenance.SIMULATED, "a test says so")


def a_quote(mid: float = 50_000.0, spread: float = 1.0) -> Quote:
    return Quote(round(mid - spread / 2, 1), 3.0, round(mid + spread / 2, 1), 4.0)


def a_policy(
    *,
    scope: Scope = Scope.SIMULATED,
    unit: str = "1000",
    explore: ExplorePolicy | None = None,
    limits: RiskLimits | None = None,
    **parts: Any,
) -> Policy:
    return Policy("paper", "test", scope, Decimal(unit), limits or RiskLimits(), explore, **parts)


def an_order(**parts: Any) -> Order:
    known: dict[str, Any] = {
        "client_order_id": "test-1",
        "account": "paper",
        "instrument": INSTRUMENT,
        "side": Side.BUY,
        "price": Decimal("50000.0"),
        "quantity": Decimal("0.020"),
        "time_in_force": TimeInForce.IOC,
        "reduce_only": False,
        "origin": Origin.MODEL,
        "recorded_time": START,
        "updated_time": START,
        "strategy": "direction",
        "session": "s1",
    }
    return Order(**(known | parts))


def a_fill(**parts: Any) -> Fill:
    known: dict[str, Any] = {
        "execution_id": "x1",
        "client_order_id": "test-1",
        "venue_order_id": "v1",
        "instrument": INSTRUMENT,
        "side": Side.BUY,
        "price": Decimal("50000.0"),
        "quantity": Decimal("0.020"),
        "fee_quote": Decimal("0.55"),
        "maker": False,
        "time": START,
    }
    return Fill(**(known | parts))


def a_prediction(
    *, up: float = 0.6, down: float = 0.1, now: int = START, as_of: int | None = None, **parts: Any
) -> Prediction:
    """A prediction that was just made; `now` is wall ns, and session time is wall time."""
    at = now if as_of is None else as_of
    vector = f"v-{at}-{parts.get('session', 's1')}"
    known: dict[str, Any] = {
        "id": prediction_id(vector, "digest-1"),
        "vector_id": vector,
        "instrument": INSTRUMENT,
        "session": "s1",
        "as_of": at,
        "reason": EmissionReason.BOUNDARY,
        "ordinal": 0,
        "view_hash": "view",
        "bundle_digest": "digest-1",
        "model_version": 1,
        "role": Role.CHAMPION,
        "label_kind": LabelKind.DIRECTION,
        "horizon": 10 * NS_PER_SECOND,
        "classes": DIRECTION_CLASSES,
        "probabilities": (down, 1.0 - up - down, up),
        "decision_threshold": 0.2,
        "provenance": Provenance.SIMULATED,
        "model_provenance": Provenance.SIMULATED,
        "evidence": Scope.SIMULATED,
        "received_time": now,
        "clock": WALL_CLOCK,
        "quote": a_quote(),
        "input_offset": 7,
        "vector_written": now,
        "predicted": now,
    }
    return Prediction(**(known | parts))


ACTIVE = TradingState.ACTIVE
