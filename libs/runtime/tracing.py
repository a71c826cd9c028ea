"""Traces from a tick to its order: contexts travel in Kafka headers, spans go to a collector over OTLP/HTTP."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import grpc
from opentelemetry.context import Context as Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace import Tracer as SpanMaker
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"  # W3C; only records of sampled traces carry it
W3C = TraceContextTextMapPropagator()
Kind = Literal["PRODUCER", "CONSUMER", "CLIENT", "SERVER"]
if TYPE_CHECKING:  # it is generic in the stubs alone
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Interceptor = grpc.ServerInterceptor


class Hop:
    """One span of a sampled trace; `header` and `context` carry it on. Times are wall ns since 1970 UTC."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.context = set_span_in_context(span, Context())
        at = span.get_span_context()
        self.header = (HEADER, f"00-{at.trace_id:032x}-{at.span_id:016x}-01".encode())

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self, wall_ns: int, **attributes: str | int | float) -> None:
        """Say what there is to say about it, once."""
        self._span.set_attributes(attributes)
        self._span.end(wall_ns)


class Tracer:
    """Threads may share it. One that is off samples nothing and hears nothing; what is not sampled makes no object."""

    def __init__(self, make: SpanMaker | None = None, ratio: float = 0.0, close: Callable[[], None] = lambda: None):
        self._make, self._share, self.close = make, ratio if make is not None else 0.0, close

    @property
    def is_on(self) -> bool:
        return self._make is not None

    def samples(self) -> bool:
        """Whether to begin a trace here and now."""
        return self._share > 0.0 and random.random() < self._share

    def heard(self, headers: Iterable[tuple[str, Any]]) -> Context | None:
        """The sampled trace that a record or a call belongs to; None for nearly all, and for a header that is none."""
        if self._make is not None:
            for name, value in headers:
                if name == HEADER:
                    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
                    context = W3C.extract({HEADER: text}, Context())
                    return context if get_current_span(context).get_span_context().trace_flags.sampled else None
        return None

    def hop(self, name: str, began_ns: int, kind: Kind, trace: Context | None = None) -> Hop:
        """Begin a span in a trace that was heard, or (None) the first of a new one. Only for a tracer that is on."""
        assert self._make is not None, "neither `samples` nor `heard` said so"
        return Hop(self._make.start_span(name, trace or Context(), SpanKind[kind], start_time=began_ns))


OFF = Tracer()


def open_tracer(service: str, endpoint: str, ratio: float) -> Tracer:
    """A tracer that exports in a thread of its own to `endpoint` (OTLP/HTTP); an empty one is off."""
    if not endpoint:
        return OFF
    from libs.runtime.tracing_export import Outbound  # a service without traces does not load what exports them

    outbound = Outbound(service, endpoint)
    return Tracer(outbound.span_maker(), ratio, outbound.close)


class TracedCalls(Interceptor):
    """A span for each unary call whose caller sent the context of a sampled trace in its metadata."""

    def __init__(self, tracer: Tracer, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracer, self._wall_ns = tracer, wall_ns

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        trace = self._tracer.heard(details.invocation_metadata)
        if trace is None or handler is None or handler.unary_unary is None:
            return handler

        def traced(request: Any, context: grpc.ServicerContext) -> Any:
            hop = self._tracer.hop(details.method.lstrip("/"), self._wall_ns(), "SERVER", trace)
            try:
                return handler.unary_unary(request, context)
            except Exception:
                hop.fail("ended with a status")
                raise
            finally:
                hop.end(self._wall_ns())

        return grpc.unary_unary_rpc_method_handler(traced, handler.request_deserializer, handler.response_serializer)
