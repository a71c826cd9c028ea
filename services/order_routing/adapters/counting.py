"""The router's metrics."""

from __future__ import annotations

from decimal import Decimal

from libs.runtime.metrics import counter, gauge, histogram
from libs.trading.decisions import Decision
from libs.trading.orders import Fill, Order
from libs.trading.risk import TradingState
from services.order_routing.domain import Held


class Metrics:
    """Implements ports.Observer."""

    def decided(self, decision: Decision) -> None:
        counter("order_routing_decisions_total").labels(decision.kind.name, decision.origin.name).inc()
        if decision.denied is not None:
            counter("order_routing_denials_total").labels(decision.denied[0]).inc()

    def ordered(self, order: Order) -> None:
        counter("order_routing_orders_total").labels(order.origin.name).inc()

    def filled(self, order: Order | None, fill: Fill) -> None:
        counter("order_routing_fills_total").labels("FOREIGN" if order is None else order.origin.name).inc()

    def held(self, held: Held) -> None:
        position = held.position
        gauge("order_routing_position_base").labels(position.instrument).set(float(position.quantity))

    def valued(self, equity: Decimal | None, realised: Decimal) -> None:
        if equity is not None:
            gauge("order_routing_equity_quote").set(float(equity))
        gauge("order_routing_realised_pnl_quote").set(float(realised))

    def drawn_down(self, share: float) -> None:
        gauge("order_routing_drawdown_ratio").set(share)

    def open_orders(self, number: int, in_doubt: int) -> None:
        gauge("order_routing_open_orders").set(number)
        gauge("order_routing_orders_in_doubt").set(in_doubt)

    def differed(self, kind: str) -> None:
        counter("order_routing_reconciliation_differences_total").labels(kind).inc()

    def leads(self, holds_lease: bool) -> None:
        gauge("order_routing_lease_held").set(holds_lease)

    def heard(self, wall_ns: int) -> None:
        gauge("order_routing_last_prediction_timestamp_seconds").set(wall_ns / 1e9)

    def state(self, state: TradingState) -> None:
        gauge("order_routing_trading_state").clear()
        gauge("order_routing_trading_state").labels(state.name).set(1)

    def hop(self, name: str, ns: int) -> None:
        histogram("order_routing_hop_seconds").labels(name).observe(ns / 1e9)
