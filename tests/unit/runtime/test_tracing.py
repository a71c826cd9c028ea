"""Traces cost nothing where they are off or not sampled, survive any header, and never stop who is traced."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer

from libs.runtime import metrics, tracing_export
from libs.runtime.tracing import HEADER, OFF, Tracer, open_tracer
from tests.builders.processes import wait_for
from tests.fakes.collector import Collector, SeenSpan

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01".encode()


@pytest.fixture
def tracer(collector: Collector) -> Iterator[Tracer]:
    tracer = open_tracer("data_ingestion", collector.address, 1.0)
    yield tracer
    tracer.close()


def counted(outcome: str) -> float:
    value: float = metrics.counter("service_spans_total").labels("data_ingestion", outcome)._value.get()
    return value


def test_off_samples_nothing_and_hears_nothing() -> None:
    tracer = open_tracer("data_ingestion", "", 1.0)
    assert tracer is OFF
    assert not tracer.is_on
    assert not tracer.samples()
    assert tracer.heard([(HEADER, SAMPLED)]) is None
    tracer.close()


def test_off_starts_no_thread() -> None:
    before = threading.active_count()
    open_tracer("data_ingestion", "", 1.0)
    assert threading.active_count() == before


def test_a_share_of_nothing_samples_nothing_but_goes_on_with_what_others_sampled(collector: Collector) -> None:
    tracer = open_tracer("data_ingestion", collector.address, 0.0)
    assert not any(tracer.samples() for _ in range(1000))
    assert tracer.heard([("payload", b"x"), (HEADER, SAMPLED)]) is not None
    tracer.close()


def test_a_share_is_about_that_share(collector: Collector) -> None:
    tracer = open_tracer("data_ingestion", collector.address, 0.25)
    assert 2000 < sum(tracer.samples() for _ in range(10_000)) < 3000
    tracer.close()


@pytest.mark.parametrize(
    "value",
    [b"", b"00", b"\xff\xfe", SAMPLED[:-3], f"00-{TRACE}-{SPAN}-00".encode(), f"00-{'0' * 32}-{SPAN}-01".encode(),
     f"00-{TRACE}-{'0' * 16}-01".encode(), f"ff-{TRACE}-{SPAN}-01".encode(), SAMPLED.upper().replace(b"0AF", b"XYZ")],
)  # fmt: skip
def test_a_header_that_is_none_or_says_unsampled_is_no_trace(tracer: Tracer, value: bytes) -> None:
    assert tracer.heard([(HEADER, value)]) is None


@given(st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=60)), max_size=4), st.binary(max_size=60))
def test_no_header_of_a_record_can_break_who_reads_it(headers: list[tuple[str, bytes]], value: bytes) -> None:
    tracer = Tracer(make=NoOpTracer(), ratio=0.5)
    tracer.heard([*headers, (HEADER, value)])


def test_a_hop_is_the_parent_of_what_hears_its_header(tracer: Tracer, collector: Collector) -> None:
    first = tracer.hop("ingest", 1_000, "PRODUCER")
    heard = tracer.heard([first.header])
    assert heard is not None
    second = tracer.hop("make vector", 2_000, "CONSUMER", heard)
    inner = tracer.hop("inside", 2_500, "CLIENT", second.context)
    inner.end(2_600)
    second.fail("no room")
    second.end(3_000, instrument="a.b.C", events=3, share=0.5)
    first.end(4_000)
    spans = {span.name: span for span in arrived(collector, 3)}
    assert {span.trace for span in spans.values()} == {first.header[1].decode().split("-")[1]}
    assert (spans["ingest"].parent, spans["make vector"].parent) == ("", spans["ingest"].id)
    assert spans["inside"].parent == spans["make vector"].id
    assert (spans["ingest"].start, spans["ingest"].end) == (1_000, 4_000)
    assert spans["make vector"].attributes == {"instrument": "a.b.C", "events": 3, "share": 0.5}
    assert {name: span.failed for name, span in spans.items()} == {
        "ingest": False,
        "make vector": True,
        "inside": False,
    }
    assert {span.service for span in spans.values()} == {"data_ingestion"}
    assert collector.paths == {"/v1/traces"}


def test_two_first_hops_are_two_traces(tracer: Tracer) -> None:
    assert tracer.hop("a", 1, "PRODUCER").header != tracer.hop("a", 1, "PRODUCER").header


def test_closing_sends_what_is_left(collector: Collector) -> None:
    tracer = open_tracer("data_ingestion", f"{collector.address}/v1/traces", 1.0)
    tracer.hop("last", 1, "PRODUCER").end(2)
    tracer.close()
    assert [span.name for span in collector.spans] == ["last"]


def test_a_collector_that_is_away_is_counted_and_waited_for_by_nobody(collector: Collector) -> None:
    collector.stop()
    tracer = open_tracer("data_ingestion", collector.address, 1.0)
    failed, exported = counted("failed"), counted("exported")
    begun = time.monotonic()
    for _ in range(100):
        tracer.hop("a", 1, "PRODUCER").end(2)
    assert time.monotonic() - begun < 1.0
    wait_for(lambda: counted("failed") == failed + 100, 20.0)
    collector.start()
    tracer.hop("back", 1, "PRODUCER").end(2)
    wait_for(lambda: counted("exported") == exported + 1, 20.0)
    tracer.close()
    assert [span.name for span in collector.spans] == ["back"]


def test_a_collector_that_refuses_is_counted(tracer: Tracer, collector: Collector) -> None:
    collector.status, failed = 400, counted("failed")
    tracer.hop("a", 1, "PRODUCER").end(2)
    wait_for(lambda: counted("failed") == failed + 1, 20.0)


def test_more_spans_than_the_queue_holds_are_dropped_and_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing_export, "QUEUED", 5)
    monkeypatch.setattr(tracing_export, "EVERY_S", 60.0)
    tracer, dropped = open_tracer("data_ingestion", collector.address, 1.0), counted("dropped")
    for _ in range(12):
        tracer.hop("a", 1, "PRODUCER").end(2)
    assert counted("dropped") == dropped + 7
    tracer.close()
    assert len(collector.spans) == 5


def arrived(collector: Collector, count: int) -> list[SeenSpan]:
    wait_for(lambda: len(collector.spans) >= count, 20.0)
    return list(collector.spans)
