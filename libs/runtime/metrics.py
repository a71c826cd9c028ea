"""Prometheus metrics whose names come only from the one declared list, metrics.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Counter, Gauge, Histogram

METRICS_FILE = Path(__file__).with_name("metrics.yaml")
LATENCY_BUCKETS_S = (
    0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075,
    0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


@cache
def declared() -> dict[str, dict[str, Any]]:
    """The rows of metrics.yaml by name."""
    rows = yaml.safe_load(METRICS_FILE.read_text())["metrics"]
    return {row["name"]: row for row in rows}


@cache
def counter(name: str) -> Counter:
    """The counter of that name. Raises `KeyError` for a name that is not declared as one."""
    row = _row(name, "counter")
    return Counter(name, row["help"], row.get("labels", ()))


@cache
def gauge(name: str) -> Gauge:
    """The gauge of that name. Raises `KeyError` for a name that is not declared as one."""
    row = _row(name, "gauge")
    return Gauge(name, row["help"], row.get("labels", ()))


@cache
def histogram(name: str) -> Histogram:
    """The histogram of that name, in seconds unless its row gives buckets. Raises `KeyError` for an undeclared name."""
    row = _row(name, "histogram")
    return Histogram(name, row["help"], row.get("labels", ()), buckets=row.get("buckets", LATENCY_BUCKETS_S))


def _row(name: str, kind: str) -> dict[str, Any]:
    row = declared().get(name)
    if row is None or row["kind"] != kind:
        raise KeyError(f"no {kind} {name!r} is declared in {METRICS_FILE.name}")
    return row
