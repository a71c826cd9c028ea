"""A prediction of a sampled trace ends as a decision and an order in it; one that is not sampled leaves nothing."""

from __future__ import annotations

import threading
from dataclasses import replace

from libs.runtime.tracing import HEADER, OFF, open_tracer
from services.order_routing.adapters.decision_traces import DecisionTraces
from tests.builders.orders import a_prediction
from tests.fakes.collector import Collector

SAMPLED = ((HEADER, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)


def test_what_is_not_sampled_is_not_followed(collector: Collector) -> None:
    assert not DecisionTraces(OFF, lambda: 1).begin(SAMPLED)
    traces = DecisionTraces(open_tracer("order_routing", collector.address, 1.0), lambda: 1)
    assert not traces.begin((("payload", b"x"),))
    traces.tracer.close()
    assert collector.spans == []


def test_a_prediction_decided_before_is_said_to_be_repeated(collector: Collector) -> None:
    traces = DecisionTraces(open_tracer("order_routing", collector.address, 1.0), lambda: 7_000)
    assert traces.begin(SAMPLED)
    traces.end(a_prediction(), None)
    traces.tracer.close()
    [span] = collector.spans
    assert (span.name, span.parent, span.attributes["repeated"]) == ("decide", "b7ad6b7169203331", 1)


def test_another_threads_hops_are_not_this_predictions(collector: Collector) -> None:
    traces = DecisionTraces(open_tracer("order_routing", collector.address, 1.0), lambda: 7_000)
    assert traces.begin(SAMPLED)
    other = threading.Thread(target=traces.hop, args=("send", 5))
    other.start()
    other.join()
    assert traces._following is not None
    assert traces._following.hops == {}
    traces.hop("send", 6)
    assert traces._following.hops == {"send": 6}
    traces.end(replace(a_prediction(), model_version=3), None)
    traces.tracer.close()
    assert collector.spans[0].attributes["model_version"] == 3
