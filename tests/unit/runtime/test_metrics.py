"""Metrics come only from the declared list."""

from __future__ import annotations

import re

import pytest

from libs.runtime import metrics


def test_an_undeclared_name_is_refused() -> None:
    with pytest.raises(KeyError, match="no_such_total"):
        metrics.counter("no_such_total")


def test_a_name_declared_as_another_kind_is_refused() -> None:
    with pytest.raises(KeyError, match="service_ready"):
        metrics.counter("service_ready")


def test_a_declared_metric_is_made_once() -> None:
    metrics.gauge("service_ready").labels("a").set(1)
    assert metrics.gauge("service_ready") is metrics.gauge("service_ready")


@pytest.mark.parametrize("name", sorted(metrics.declared()))
def test_every_declared_row_can_be_made_and_follows_the_naming(name: str) -> None:
    row = metrics.declared()[name]
    make = {"counter": metrics.counter, "gauge": metrics.gauge, "histogram": metrics.histogram}[row["kind"]]
    make(name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert row["help"]
    assert name.endswith("_total") == (row["kind"] == "counter")
    if row["kind"] == "histogram":
        assert name.endswith(("_seconds", "_bytes", "_records", "_rows"))
