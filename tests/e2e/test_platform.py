"""The whole platform: from an empty state to filled orders, then a kill of every process, without a difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.drive import Driven

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Where things are lost if they can be: the log first, the venue last, because its restart begins another session.
KILLED = (
    "data_ingestion",
    "feature_store",
    "model_serving",
    "order_routing",
    "archive",
    "mlflow",
    "kafka",
    "exchange_simulator",
)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Driven]:
    driven = Driven(tmp_path)
    try:
        driven.demo.start()
        yield driven
    finally:
        driven.demo.stop()


def test_orders_are_filled_and_no_kill_loses_or_doubles_anything(platform: Driven) -> None:
    platform.until(lambda: fills(platform) >= 2, 300, "the first model-driven fills")
    for name in KILLED:
        platform.kill(name)
        platform.until_more("feature_store_vectors_total", 120, f"vectors after a kill of {name}")
    platform.until_more("order_routing_fills_total", 240, "a fill after the kills")
    platform.bring_to_rest()
    report = platform.audit()
    assert report.differences == []
    assert report.compared["fills at the venue"] >= 3


def fills(platform: Driven) -> float:
    return platform.total("order_routing_fills_total", origin="MODEL")
