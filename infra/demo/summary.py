"""The one line that a demo prints last: what happened, as JSON."""

from __future__ import annotations

import json
from typing import Any

from infra.demo.run import Outcome
from infra.demo.scrape import Samples
from infra.demo.screen import HOPS, hop_quantile


def summary_of(outcome: Outcome, environment: str) -> dict[str, Any]:
    """Counts, latencies in ms, the model and its standing, and the reasons of refusals."""
    samples = outcome.samples
    return {
        "environment": environment,
        "provenance": outcome.session.provenance if outcome.session else None,
        "events": int(samples.total("data_ingestion_events_total")),
        "vectors": int(samples.total("feature_store_vectors_total")),
        "predictions": int(samples.total("model_serving_predictions_total")),
        "decisions": int(samples.total("order_routing_decisions_total")),
        "orders": by_origin(samples, "order_routing_orders_total"),
        "fills": by_origin(samples, "order_routing_fills_total"),
        "realised_pnl_quote": samples.first("order_routing_realised_pnl_quote"),
        "equity_quote": samples.first("order_routing_equity_quote"),
        "latency_ms": {hop: latency(samples, hop) for hop, _ in HOPS},
        "models": [dict(labels) for labels in samples.labels_of("model_serving_model_info")],
        "refused_by_gate": outcome.verdict.reasons if outcome.verdict else [],
        "refused_by_serving": [dict(labels) for labels in samples.labels_of("model_serving_refused_info")],
        "denied": {
            labels.get("code", ""): int(value) for labels, value in samples.matching("order_routing_denials_total", {})
        },
    }


def by_origin(samples: Samples, name: str) -> dict[str, int]:
    return {
        "model": int(samples.total(name, origin="MODEL")),
        "exploring": int(samples.total(name, origin="EXPLORATION")),
        "manual": int(samples.total(name, origin="MANUAL")),
        "risk": int(samples.total(name, origin="RISK")),
    }


def latency(samples: Samples, hop: str) -> dict[str, float] | None:
    p50, p99 = (hop_quantile(samples, hop, q) for q in (0.5, 0.99))
    return None if p50 is None or p99 is None else {"p50": round(p50 * 1000, 3), "p99": round(p99 * 1000, 3)}


def has_traded(summary: dict[str, Any]) -> bool:
    """Whether decisions of the platform became orders, and orders fills; a person or a risk rule does not count."""
    return all(summary[what]["model"] + summary[what]["exploring"] > 0 for what in ("orders", "fills"))


def line(summary: dict[str, Any]) -> str:
    return json.dumps(summary, separators=(",", ":"))
