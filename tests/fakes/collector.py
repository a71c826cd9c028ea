"""A trace collector that takes OTLP over real HTTP and keeps every span."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.daemon import free_port


@dataclass(frozen=True)
class SeenSpan:
    """A span as it came over the wire; ids in hex, times in wall ns."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    kind: int
    failed: bool
    attributes: dict[str, Any]


class Collector:
    """Listens from `start` to `stop`, which may come again on the same port; `status` is what it answers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 200
        self.spans: list[SeenSpan] = []
        self.paths: set[str] = set()
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        seen = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen.paths.add(self.path)
                if seen.status == 200:
                    seen.spans += spans_of(ExportTraceServiceRequest.FromString(body))
                self.send_response(seen.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def trace(self, trace: str) -> list[SeenSpan]:
        return [span for span in list(self.spans) if span.trace == trace]


def spans_of(request: ExportTraceServiceRequest) -> list[SeenSpan]:
    found = []
    for resource in request.resource_spans:
        service = attributes_of(resource.resource.attributes)["service.name"]
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            times = (span.start_time_unix_nano, span.end_time_unix_nano)
            ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
            known = attributes_of(span.attributes)
            found.append(SeenSpan(service, span.name, *ids, *times, span.kind, span.status.code == 2, known))
    return found


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
