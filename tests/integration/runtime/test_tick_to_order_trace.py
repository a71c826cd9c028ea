"""One trace from a venue's frame to the order it made: four real services, a real broker, a real OTLP receiver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from libs.runtime.kafka import KafkaConfig
from libs.runtime.tracing import HEADER
from libs.trading.features.catalogue import full_spec
from protos.features.v1 import features_pb2, features_pb2_grpc
from tests.builders.bundles import BAR_INTERVAL, EMISSION_INTERVAL, a_view
from tests.builders.processes import ServiceProcess, wait_for
from tests.fakes.collector import Collector, SeenSpan
from tests.integration.model_serving.place import Place
from tests.integration.order_routing.place import RouterPlace, VenuePlace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

RULE = {"imbalance_1": 1.0, "imbalance_25": -2.5}  # the best level against the lean of all: often a change of mind
SURE = 1e-6
CHAIN = [
    ("data_ingestion", "ingest"),
    ("feature_store", "make vector"),
    ("model_serving", "predict"),
    ("order_routing", "decide"),
    ("order_routing", "send order"),
]


class Chain:
    """Venue, the four services and a collector."""

    def __init__(self, kafka: KafkaConfig, mlflow: str, folder: Path) -> None:
        self.collector = Collector()
        self.venue = VenuePlace(folder)
        self.serving = Place(kafka, mlflow, folder / "serving")
        venue = {"HTTP_URL": self.venue.url, "STREAM_URL": self.venue.url.replace("http", "ws", 1)}
        feed = venue | {"CATEGORY": "linear", "SYMBOLS": "BTCUSDT"}
        self.ingestion = ServiceProcess("data_ingestion", kafka, folder / "ingestion.log", feed)
        spec = {"BAR_SECONDS": str(BAR_INTERVAL // 10**9), "EMISSION_MS": str(EMISSION_INTERVAL // 10**6)}
        self.features = ServiceProcess("feature_store", kafka, folder / "features.log", spec)
        self.router = RouterPlace(kafka, self.venue, folder)
        names = ("INTEGRITY_KEYS", "GATE_KEYS")
        self.router.settings |= {name: self.serving.settings[name] for name in names} | {"LEASE_MS": "10000"}
        self.services = (self.serving, self.features, self.router, self.ingestion)

    def start(self, ratio: float) -> None:
        self.collector.start()
        self.venue.start()
        told = {"TRACING__ENDPOINT": self.collector.address, "TRACING__RATIO": str(ratio)}
        for service in self.services:
            service.start(wait=False, **told)
        self.serving.wait_ready()
        view = a_view(tuple(RULE), full_spec(BAR_INTERVAL, EMISSION_INTERVAL))
        table = np.array([(-weight, 0.0, weight) for weight in RULE.values()])  # down, flat, up
        self.serving.champion("rule", view=view, table=table, decision_threshold=SURE)

    def stop(self) -> None:
        for service in self.services:
            service.stop()
        self.router.producer.close()
        self.venue.stop()
        self.collector.stop()


@pytest.fixture
def chain(kafka_prefix: KafkaConfig, mlflow_server: str, tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(kafka_prefix, mlflow_server, tmp_path)
    with ExitStack() as after:
        after.callback(chain.stop)
        yield chain


def order_of(collector: Collector) -> SeenSpan | None:
    """A sent order whose whole trace has arrived."""
    for span in list(collector.spans):
        if span.name == "send order" and len(collector.trace(span.trace)) >= len(CHAIN):
            return span
    return None


def test_a_frame_and_the_order_it_made_are_one_trace(chain: Chain) -> None:
    chain.start(1.0)
    sent = wait_for(lambda: order_of(chain.collector), 120.0, "an order's whole trace")
    spans = {span.id: span for span in chain.collector.trace(sent.trace)}
    path = [sent]
    while path[0].parent:
        path.insert(0, spans[path[0].parent])
    assert [(span.service, span.name) for span in path] == CHAIN
    frame, vector, prediction, decision, _ = path
    assert frame.start <= vector.start <= prediction.start <= decision.start <= sent.start <= sent.end
    assert {span.attributes["instrument"] for span in path} == {"sim.linear.BTCUSDT"}
    assert vector.attributes["vector_id"] == prediction.attributes["vector_id"] == decision.attributes["vector_id"]
    assert prediction.attributes["prediction_id"] == decision.attributes["prediction_id"]
    assert decision.attributes["model_version"] == chain.serving.serves()
    assert decision.attributes["decision_id"]
    assert sent.attributes["order_link_id"]
    hops = [sent.attributes[f"{hop}_ms"] for hop in ("features", "predict", "read", "decide", "send")]
    assert sum(hops) == pytest.approx(sent.attributes["total_ms"], abs=1.0)
    assert not any(span.failed for span in path)
    a_call_that_carries_its_trace_gets_a_span(chain)
    the_collector_going_away_stops_nothing(chain)


def a_call_that_carries_its_trace_gets_a_span(chain: Chain) -> None:
    trace, span = "ab" * 16, "cd" * 8
    assert chain.features.channel is not None
    api = features_pb2_grpc.FeatureStoreServiceStub(chain.features.channel)
    asked = features_pb2.GetFeaturesRequest(instruments=["sim.linear.BTCUSDT"])
    api.GetFeatures(asked, timeout=5.0, metadata=((HEADER, f"00-{trace}-{span}-01"),))
    [seen] = wait_for(lambda: chain.collector.trace(trace) or None, 20.0)
    assert (seen.service, seen.parent, seen.name) == (
        "feature_store",
        span,
        "features.v1.FeatureStoreService/GetFeatures",
    )


def the_collector_going_away_stops_nothing(chain: Chain) -> None:
    chain.collector.stop()
    wait_for(lambda: chain.serving.metric("service_spans_total", outcome="failed") > 0, 30.0)
    before = chain.serving.metric("model_serving_predictions_total", role="champion")
    wait_for(lambda: chain.serving.metric("model_serving_predictions_total", role="champion") > before + 8, 30.0)
    assert all(service.is_ready() for service in chain.services)
    assert "spans are lost, trading goes on" in chain.serving.said()
    chain.collector.spans.clear()
    chain.collector.start()
    wait_for(lambda: order_of(chain.collector), 60.0, "traces again, whole")
