"""OpenTelemetry traces of requests; imported only where they are on.

A request is a span ``infer``, the child of its client's where the headers name one (W3C
``traceparent``), with a child ``queue`` and a child ``execute``. A batch is a span in a trace of
its own, and the ``execute`` of each request that it carried links to it: a batch has many parents,
which a tree of spans cannot say. What is sampled follows OTEL_TRACES_SAMPLER.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from ..runtime.errors import MissingExtra
from .batching.queue import Ran
from .errors import Code

try:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise MissingExtra("tracing", "trace") from None

if TYPE_CHECKING:
    from .model import Model

NAME = "cortex-serve"
HEADERS = frozenset({"traceparent", "tracestate"})
PATIENCE = 2.0  # seconds for the last spans to reach the collector
THEIR_FAULT = frozenset({Code.CANCELLED, Code.INVALID_ARGUMENT, Code.NOT_FOUND})

Headers: TypeAlias = Callable[[], Iterable[tuple[str, str | bytes]] | None]


@asynccontextmanager
async def exporting(endpoint: str, version: str) -> AsyncGenerator[Tracer]:
    """A tracer that sends its spans to the OTLP collector (gRPC) at ``endpoint``, a URL."""
    resource = Resource.create({"service.name": NAME, "service.version": version})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http:"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield Tracer(provider)
    finally:
        closing = asyncio.create_task(asyncio.to_thread(provider.shutdown))
        if not (await asyncio.wait([closing], timeout=PATIENCE))[0]:
            await asyncio.to_thread(exporter.shutdown)  # it would try again and again
        await closing


class Tracer:
    """Begins the traces of requests."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(NAME)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, headers: Headers) -> Trace:
        """The trace of a request that arrives now; ``headers`` gives what its client sent along."""
        sent = {
            name: value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in headers() or ()
            if name in HEADERS
        }
        parent = self._propagator.extract(sent)
        return Trace(self, self._tracer.start_span("infer", parent, SpanKind.SERVER))

    def part(self, name: str, of: Span, began: int, ended: int, links: list[Link]) -> None:
        """A part of a request that is over; times in nanoseconds since 1970."""
        within = set_span_in_context(of, Context())
        self._tracer.start_span(name, within, start_time=began, links=links).end(ended)

    def batch(self, ran: Ran, began: int, ended: int) -> Link:
        """To the span of a batch, which the first of its requests makes."""
        if ran.mark is None:
            found = {"cortex.rows": ran.rows, "cortex.requests": ran.requests}
            span = self._tracer.start_span("batch", Context(), attributes=found, start_time=began)
            span.end(ended)
            ran.mark = Link(span.get_span_context())
        return ran.mark


class Trace:
    """The trace of one request."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._epoch = time.time_ns() - time.monotonic_ns()

    def ran(self, ran: Ran, since: float) -> None:
        """It waited from ``since`` on, by the clock of ``time.monotonic``, and was run."""
        if not self._span.is_recording():
            return
        waited, began, ended = (self._ns(at) for at in (since, ran.began, ran.ended))
        batch = self._tracer.batch(ran, began, ended)
        self._tracer.part("queue", self._span, waited, began, [])
        self._tracer.part("execute", self._span, began, ended, [batch])

    def end(self, code: Code, model: Model | None) -> None:
        """It ended; without a model, it reached none."""
        if model is not None:
            self._span.set_attributes({"cortex.model": model.name, "cortex.version": model.version})
        self._span.set_attribute("cortex.code", code.name)
        if code and code not in THEIR_FAULT:
            self._span.set_status(StatusCode.ERROR, code.name)
        self._span.end()

    def _ns(self, at: float) -> int:
        return self._epoch + int(at * 1e9)
