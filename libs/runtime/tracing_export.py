"""Ended spans on their way to a collector: a bounded queue and one thread, which nobody ever waits for."""

from __future__ import annotations

import logging
import queue
import socket
import threading
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from libs.runtime import metrics
from libs.runtime.logs import get_logger

PATH = "/v1/traces"
QUEUED, AT_ONCE = 4096, 512  # spans
EVERY_S, TIMEOUT_S, FAREWELL_S = 1.0, 5.0, 2.0
LIBRARY = logging.getLogger("opentelemetry")

log = get_logger("tracing")


class Outbound(SpanProcessor):
    """Takes every ended span of this process. What cannot be sent is counted and forgotten."""

    def __init__(self, service: str, endpoint: str) -> None:
        whole = urlsplit(endpoint).path.strip("/")
        self._endpoint = endpoint if whole else endpoint.rstrip("/") + PATH
        self._service = service
        self._spans: queue.Queue[ReadableSpan] = queue.Queue(QUEUED)
        self._stop = threading.Event()
        self._reached = True
        self._why = LastWords()
        LIBRARY.handlers, LIBRARY.propagate = [self._why], False  # it repeats itself every second
        self._exporter: SpanExporter = OTLPSpanExporter(self._endpoint, timeout=TIMEOUT_S)
        counts = metrics.counter("service_spans_total")
        self._counts = {outcome: counts.labels(service, outcome) for outcome in ("exported", "failed", "dropped")}
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def span_maker(self) -> Tracer:
        """What begins spans that end here. Whether a trace is sampled was decided before."""
        who = Resource.create({"service.name": self._service, "service.instance.id": socket.gethostname()})
        provider = TracerProvider(sampler=ALWAYS_ON, resource=who, shutdown_on_exit=False)
        provider.add_span_processor(self)
        return provider.get_tracer(self._service)

    def on_end(self, span: ReadableSpan) -> None:
        try:
            self._spans.put_nowait(span)
        except queue.Full:
            self._counts["dropped"].inc()

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        self._stop.set()
        self._thread.join(FAREWELL_S)
        self._exporter.shutdown()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(EVERY_S)
            while batch := self._take():
                self._export(batch)

    def _take(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        while len(batch) < AT_ONCE and not self._spans.empty():
            batch.append(self._spans.get_nowait())
        return batch

    def _export(self, batch: list[ReadableSpan]) -> None:
        try:
            reached = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # whatever a collector or a proxy before it may say: trading goes on
            reached, self._why.text = False, repr(error)
        self._counts["exported" if reached else "failed"].inc(len(batch))
        if reached and not self._reached:
            log.info("the trace collector takes spans again", endpoint=self._endpoint)
        if not reached and self._reached:
            log.warning("spans are lost, trading goes on", endpoint=self._endpoint, because=self._why.text)
        self._reached = reached


class LastWords(logging.Handler):
    """Keeps the newest message of the library."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
