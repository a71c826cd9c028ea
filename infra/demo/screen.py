"""The live table: what every service says of itself, once a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infra.demo.scrape import Samples

HOPS = (
    ("ingest", "frame → Kafka"),
    ("features", "→ vector"),
    ("predict", "→ prediction"),
    ("read", "→ read by the router"),
    ("decide", "→ decision on disk"),
    ("send", "→ order written"),
    ("total", "tick → order"),
)


@dataclass(frozen=True, slots=True)
class View:
    """Everything one frame of the table shows besides the metrics."""

    title: str
    stage: str
    log: Sequence[str]
    restarts: Mapping[str, int]


def render(samples: Samples, view: View) -> RenderableType:
    """One frame of the live table."""
    columns = Table.grid(padding=(0, 3))
    columns.add_row(flow_table(samples), account_table(samples), latency_table(samples))
    parts: list[RenderableType] = [Text(view.stage, style="bold"), columns, models_table(samples)]
    reasons = reasons_table(samples)
    if reasons.row_count:
        parts.append(reasons)
    if any(view.restarts.values()):
        parts.append(
            Text("restarted: " + ", ".join(f"{name} ×{count}" for name, count in view.restarts.items() if count))
        )
    parts += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in view.log[-5:]]
    return Panel(Group(*parts), title=view.title, border_style="blue")


def flow_table(samples: Samples) -> Table:
    table = titled("flow", "count")
    table.add_row("market events", count(samples.total("data_ingestion_events_total")))
    table.add_row("feed gaps", count(samples.total("data_ingestion_gaps_total")))
    table.add_row("vectors", count(samples.total("feature_store_vectors_total")))
    table.add_row("predictions", count(samples.total("model_serving_predictions_total")))
    table.add_row("decisions", count(samples.total("order_routing_decisions_total")))
    table.add_row("records archived", count(samples.total("archive_records_total")))
    return table


def account_table(samples: Samples) -> Table:
    table = titled("account", "")
    for origin, label in (("MODEL", "model"), ("EXPLORATION", "exploring")):
        orders = count(samples.total("order_routing_orders_total", origin=origin))
        fills = count(samples.total("order_routing_fills_total", origin=origin))
        table.add_row(f"orders · fills, {label}", f"{orders} · {fills}")
    for labels, value in samples.matching("order_routing_position_base", {}):
        table.add_row(f"position {labels.get('instrument', '')}", f"{value:g}")
    table.add_row("equity", money(samples.first("order_routing_equity_quote")))
    table.add_row("realised PnL after fees", money(samples.first("order_routing_realised_pnl_quote")))
    states = samples.labels_of("order_routing_trading_state")
    table.add_row("trading state", states[0].get("state", "?") if states else "–")
    return table


def latency_table(samples: Samples) -> Table:
    table = titled("latency by hop", "p50 ms", "p99 ms")
    for hop, label in HOPS:
        table.add_row(label, *(milliseconds(hop_quantile(samples, hop, q)) for q in (0.5, 0.99)))
    return table


def hop_quantile(samples: Samples, hop: str, q: float) -> float | None:
    """Seconds. Ingestion counts every frame; the router counts the hops of what became an order."""
    if hop == "ingest":
        return samples.quantile("data_ingestion_frame_to_kafka_seconds", q)
    return samples.quantile("order_routing_hop_seconds", q, hop=hop)


def models_table(samples: Samples) -> Table:
    table = titled("model", "version", "digest", "data", "evidence", "last score")
    for labels in samples.labels_of("model_serving_model_info"):
        role = labels.get("role", "")
        score = samples.first("model_serving_last_score", role=role)
        table.add_row(
            role,
            labels.get("version", ""),
            labels.get("digest", "")[:12],
            labels.get("provenance", ""),
            labels.get("evidence", ""),
            "–" if score is None else f"{score:+.3f}",
        )
    if not table.row_count:
        table.add_row("none accepted yet", "", "", "", "", "")
    return table


def reasons_table(samples: Samples) -> Table:
    table = titled("why not", "count")
    for labels, value in sorted(samples.matching("order_routing_denials_total", {}), key=lambda item: -item[1])[:4]:
        table.add_row(f"denied: {labels.get('code', '')}", count(value))
    for labels, value in sorted(samples.matching("model_serving_unscored_total", {}), key=lambda item: -item[1])[:3]:
        table.add_row(f"not scored: {labels.get('reason', '')}", count(value))
    for labels in samples.labels_of("model_serving_refused_info"):
        table.add_row(f"refused v{labels.get('version', '')}: {labels.get('reason', '')}", "")
    return table


def titled(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    return table


def count(value: float) -> str:
    return f"{int(value):,}"


def money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.2f}"
