"""Traces: what spans a request leaves, and that they reach a collector."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cortex.serving.batching.batcher import Batcher
from cortex.serving.batching.queue import Limits
from cortex.serving.errors import Code
from cortex.serving.statistics import Statistics
from cortex.serving.tracing import Tracer

from .repositories import dense, sample
from .running import running

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def memory() -> InMemorySpanExporter:
    """Where the spans go."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(memory: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return Tracer(provider)


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Its trace and itself."""
    context: Any = span.context
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def named(memory: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in memory.get_finished_spans() if span.name == name]


def test_requests_that_share_a_batch_link_to_it(
    memory: InMemorySpanExporter, tracer: Tracer
) -> None:
    async def main() -> None:
        # The batch waits for its second request.
        limits = Limits(max_batch=2, delay=60.0)
        async with Batcher(limits, Statistics("m", "1")) as batcher:
            traces = [tracer.begin(SENT.items), tracer.begin(tuple)]
            inputs = [np.zeros((1, 2), np.float32)]
            runs = [batcher.infer(_same, inputs, follow=trace.ran) for trace in traces]
            async with asyncio.timeout(20):
                await asyncio.gather(*runs)
            for trace in traces:
                trace.end(Code.OK, None)

    asyncio.run(main())
    (batch,) = named(memory, "batch")
    requests, executes = named(memory, "infer"), named(memory, "execute")
    assert batch.attributes == {"cortex.rows": 2, "cortex.requests": 2}
    assert batch.parent is None
    assert ids(batch)[0] not in {ids(each)[0] for each in requests}
    assert len(requests) == len(executes) == len(named(memory, "queue")) == 2
    assert [each.links[0].context for each in executes] == [batch.context] * 2
    for part in (*executes, *named(memory, "queue")):
        assert part.parent in [request.context for request in requests]
    (child,) = [each for each in requests if each.parent]
    assert ids(child)[0] == TRACE
    assert f"{child.parent.span_id:016x}" == PARENT if child.parent else False


def test_the_parts_follow_each_other(memory: InMemorySpanExporter, tracer: Tracer) -> None:
    async def main() -> None:
        async with Batcher(Limits(), Statistics("m", "1")) as batcher:
            trace = tracer.begin(tuple)
            await batcher.infer(_same, [np.zeros((1, 2), np.float32)], follow=trace.ran)
            trace.end(Code.OK, None)

    asyncio.run(main())
    request, queue, execute = (named(memory, at)[0] for at in ("infer", "queue", "execute"))
    times = [queue.start_time, queue.end_time, execute.start_time, execute.end_time]
    assert times == sorted(times, key=lambda at: at or 0)
    slack = 1_000_000  # ns: the clocks of a request are brought together once
    assert (request.start_time or 0) - slack <= (queue.start_time or 0)
    assert (execute.end_time or 0) <= (request.end_time or 0) + slack


@pytest.mark.parametrize(
    ("code", "failed"), [(Code.OK, False), (Code.INVALID_ARGUMENT, False), (Code.INTERNAL, True)]
)
def test_only_the_servers_faults_are_errors(
    memory: InMemorySpanExporter, tracer: Tracer, code: Code, failed: bool
) -> None:
    tracer.begin(tuple).end(code, None)
    (span,) = memory.get_finished_spans()
    assert span.attributes == {"cortex.code": code.name}
    assert (span.status.status_code.name == "ERROR") == failed


def test_spans_of_both_protocols_reach_a_collector(tmp_path: Path) -> None:
    dense(tmp_path)
    with collector() as (address, spans):
        with running(tmp_path, trace_endpoint=f"http://{address}") as server:
            x = triton.InferInput("x", [2, 4], "FP32")
            x.set_data_from_numpy(sample())
            with triton.InferenceServerClient(str(server.grpc)) as client:
                client.infer("dense", [x], headers=SENT)
            body = {
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]
            }
            url = f"http://{server.http}/v2/models/dense/infer"
            assert httpx.post(url, json=body, headers=SENT).status_code == 200
        # The server has sent what it had when it ends.
        requests = [span for span in spans if span.name == "infer"]
        assert [span.trace_id.hex() for span in requests] == [TRACE] * 2
        assert {span.parent_span_id.hex() for span in requests} == {PARENT}
        found = {at.key: at.value.string_value for at in requests[0].attributes}
        assert found == {"cortex.model": "dense", "cortex.version": "1", "cortex.code": "OK"}


@contextmanager
def collector() -> Generator[tuple[str, list[Any]]]:
    """An OTLP collector that keeps the spans."""
    spans: list[Any] = []

    def export(request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
    )
    service, _, method = EXPORT.removeprefix("/").partition("/")
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", spans
    finally:
        server.stop(None).wait()


def _same(inputs: Any) -> Any:
    return inputs
