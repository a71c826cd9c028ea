"""Each hop of the table is read where it is measured."""

from __future__ import annotations

import pytest

from infra.demo.scrape import Samples
from infra.demo.screen import hop_quantile

SAMPLES = Samples(
    {
        "data_ingestion_frame_to_kafka_seconds_bucket": (({"le": "0.002"}, 10.0), ({"le": "+Inf"}, 10.0)),
        "order_routing_hop_seconds_bucket": (
            ({"hop": "send", "le": "0.001"}, 10.0),
            ({"hop": "send", "le": "+Inf"}, 10.0),
        ),
    }
)


def test_the_way_into_kafka_is_ingestions_own_and_the_rest_is_the_routers() -> None:
    assert hop_quantile(SAMPLES, "ingest", 0.5) == pytest.approx(0.001)
    assert hop_quantile(SAMPLES, "send", 0.5) == pytest.approx(0.0005)
    assert hop_quantile(SAMPLES, "decide", 0.5) is None
