"""Ends a trace: the decision on its prediction, and the order that was sent for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.runtime.kafka import Headers
from libs.runtime.tracing import Context, Tracer
from libs.trading.decisions import Decision
from libs.trading.orders import Order
from libs.trading.scoring import Prediction
from services.order_routing.adapters.counting import Metrics

Known = dict[str, str | int | float]


@dataclass(slots=True)
class Following:
    """What is said about one prediction of a sampled trace while it is handled."""

    trace: Context
    thread: int
    taken: int
    decision: Decision | None = None
    hops: dict[str, int] = field(default_factory=dict)


class DecisionTraces(Metrics):
    """An Observer that counts, and follows the prediction that its thread handles. Times are wall ns."""

    def __init__(self, tracer: Tracer, wall_ns: Callable[[], int]) -> None:
        self.tracer, self._wall_ns = tracer, wall_ns
        self._following: Following | None = None

    def begin(self, headers: Headers) -> bool:
        """Whether the prediction with these headers belongs to a sampled trace; then `end` must follow."""
        trace = self.tracer.heard(headers)
        if trace is None:
            return False
        self._following = Following(trace, threading.get_ident(), self._wall_ns())
        return True

    def end(self, prediction: Prediction, outcome: object) -> None:
        """`outcome`: the order after the venue's answer, or anything else when there is none."""
        at, self._following = self._following, None
        if at is None:
            return
        now, order = self._wall_ns(), outcome if isinstance(outcome, Order) else None
        decision, hops = at.decision, at.hops
        journaled = now if decision is None or order is None else decision.decided_time + hops.get("decide", 0)
        decide = self.tracer.hop("decide", at.taken, "CONSUMER", at.trace)
        decide.end(journaled, **about(prediction), **({"repeated": 1} if decision is None else on(decision)))
        if order is not None:
            send = self.tracer.hop("send order", journaled, "CLIENT", decide.context)
            known: Known = {"order_link_id": order.client_order_id, "order_state": order.state.name}
            times: Known = {f"{name}_ms": ns / 1e6 for name, ns in hops.items()}
            send.end(now, instrument=order.instrument, **known, **times)

    def decided(self, decision: Decision) -> None:
        super().decided(decision)
        at = self._following
        if at is not None and at.thread == threading.get_ident():
            at.decision = decision

    def hop(self, name: str, ns: int) -> None:
        super().hop(name, ns)
        at = self._following
        if at is not None and at.thread == threading.get_ident():
            at.hops[name] = ns


def about(prediction: Prediction) -> Known:
    return {
        "instrument": prediction.instrument,
        "vector_id": prediction.vector_id,
        "prediction_id": prediction.id,
        "model_version": prediction.model_version,
        "role": prediction.role.name,
    }


def on(decision: Decision) -> Known:
    denied = {} if decision.denied is None else {"denied": decision.denied[0]}
    return {"decision_id": decision.decision_key, "kind": decision.kind.name, "origin": decision.origin.name, **denied}
