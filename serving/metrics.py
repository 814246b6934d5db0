"""Every Prometheus metric of the server, by name; nothing else in the package knows Prometheus.

They are made when the page is read, from what is counted anyway (``statistics.py``): a counter of
Prometheus' own costs a request several times as much, and a version that goes takes its series with
it. Labels are our models, never a client's words.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from platform import python_version
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .devices import Memory, memories
from .errors import Code
from .statistics import NS, Histogram, Statistics

MODEL = ("model", "version")
PARTS = ("input", "infer", "output")

Read: TypeAlias = Callable[[Statistics], float]
Families: TypeAlias = Iterator[tuple[str, Callable[[], Metric]]]
"""What there is, by name, and how it is made."""
COUNTERS: dict[str, tuple[str, Read]] = {
    "cortex_executions": ("Batches run.", lambda at: at.executions),
    "cortex_inferences": ("Rows of all batches.", lambda at: at.inferences),
    "cortex_cache_hits": ("Requests the response cache answered.", lambda at: at.cache_hit.count),
    "cortex_cache_misses": (
        "Requests the response cache did not know.",
        lambda at: at.cache_miss.count,
    ),
    "cortex_model_loads": ("Attempts to load it.", lambda at: at.loads.count),
    "cortex_model_load_failures": ("Attempts that failed.", lambda at: at.load_failures),
    "cortex_model_check_failures": (
        "Attempts at which it did not reproduce its recorded outputs.",
        lambda at: at.check_failures,
    ),
    "cortex_model_load_seconds": (
        "Time that loading it took in all.",
        lambda at: at.loads.ns / NS,
    ),
}
GAUGES: dict[str, tuple[str, Read]] = {
    "cortex_queue_requests": ("Requests that wait now.", lambda at: at.waiting()),
    "cortex_model_ready": ("Whether a version can be asked: 1 or 0.", lambda at: at.ready),
    "cortex_model_fallback": (
        "Whether it runs on another provider than the first its config asks for: 1 or 0.",
        lambda at: at.fallback,
    ),
}
HISTOGRAMS: dict[str, tuple[str, Callable[[Statistics], tuple[Histogram, float]]]] = {
    "cortex_request_seconds": (
        "Time from a request's arrival to its answer.",
        lambda at: (at.request_seconds, (at.success.ns + at.fail.ns) / NS),
    ),
    "cortex_queue_seconds": (
        "Time a request waited for its batch.",
        lambda at: (at.queue_seconds, at.queue.ns / NS),
    ),
    "cortex_execute_seconds": (
        "Time a batch took to gather, run and share out.",
        lambda at: (at.execute_seconds, at.execute_ns / NS),
    ),
    "cortex_batch_rows": ("Rows of a batch.", lambda at: (at.batch_rows, at.inferences)),
}
DEVICES: dict[str, tuple[str, Callable[[Memory], float]]] = {
    "cortex_device_memory_bytes": ("Memory of a device.", lambda at: at.total),
    "cortex_device_memory_used_bytes": (
        "Memory of a device that is in use, by any process.",
        lambda at: at.used,
    ),
}
TRITON: dict[str, tuple[str, Read]] = {
    "nv_inference_request_success": (
        "Number of successful inference requests.",
        lambda at: at.success.count,
    ),
    "nv_inference_request_failure": (
        "Number of failed inference requests.",
        lambda at: at.fail.count,
    ),
    "nv_inference_count": ("Number of inferences performed.", lambda at: at.inferences),
    "nv_inference_exec_count": (
        "Number of model executions performed.",
        lambda at: at.executions,
    ),
    "nv_inference_request_duration_us": (
        "Cumulative inference request duration in microseconds.",
        lambda at: at.success.ns // 1000,
    ),
    "nv_inference_queue_duration_us": (
        "Cumulative inference queuing duration in microseconds.",
        lambda at: at.queue.ns // 1000,
    ),
    "nv_inference_compute_input_duration_us": (
        "Cumulative compute input duration in microseconds.",
        lambda at: at.compute_input.ns // 1000,
    ),
    "nv_inference_compute_infer_duration_us": (
        "Cumulative compute inference duration in microseconds.",
        lambda at: at.compute_infer.ns // 1000,
    ),
    "nv_inference_compute_output_duration_us": (
        "Cumulative inference compute output duration in microseconds.",
        lambda at: at.compute_output.ns // 1000,
    ),
    "nv_inference_pending_request_count": (
        "Instantaneous number of pending requests awaiting execution.",
        lambda at: at.waiting(),
    ),
}
"""Triton's names and units, for dashboards made for it. Its counters lack the ending ``_total``."""


class Metrics:
    """What is counted of every model, and the page that shows it, in a registry of its own.

    ``nv_metrics`` adds Triton's names.
    """

    def __init__(self, version: str, *, nv_metrics: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._build = {"version": version, "python": python_version()}
        self._statistics: dict[tuple[str, str], Statistics] = {}
        self._unknown = Statistics("", "")
        ProcessCollector(registry=self.registry)
        self.registry.register(_Collector(self._families))
        if nv_metrics:
            self.registry.register(_Collector(self._triton_families))

    def model(self, name: str, version: str) -> Statistics:
        """What is counted of one version of a model; from its first mention until ``remove``."""
        key = (name, version)
        return self._statistics.get(key) or self._statistics.setdefault(key, Statistics(*key))

    def remove(self, name: str, version: str) -> None:
        """Forgets a version that is gone."""
        self._statistics.pop((name, version), None)

    def models(self) -> list[Statistics]:
        """Those of all versions."""
        return list(self._statistics.values())

    def unknown(self, code: Code) -> None:
        """Counts a request that reached no model."""
        self._unknown.answered(code, 0.0)

    def page(self, accept: str, names: Container[str] = ()) -> tuple[bytes, str]:
        """Metrics and their content type, in the format that an ``Accept`` header asks for.

        ``names``: of those wanted, among ours; none: all. A thousand models have 6 MB.
        """
        encode, content_type = choose_encoder(accept)
        chosen: Any = _Collector(self._families, names) if names else self.registry
        return encode(chosen), content_type

    def _families(self) -> Families:
        every = self.models()
        yield "cortex_requests", lambda: _requests([*every, self._unknown])
        yield "cortex_compute_seconds", lambda: _compute(every)
        for name, (text, read) in COUNTERS.items():
            yield name, partial(_filled, CounterMetricFamily(name, text, labels=MODEL), every, read)
        for name, (text, read) in GAUGES.items():
            yield name, partial(_filled, GaugeMetricFamily(name, text, labels=MODEL), every, read)
        for name, (text, parts) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, text, labels=MODEL)
            yield name, partial(_histogram, histogram, every, parts)
        for name, (text, size) in DEVICES.items():
            yield name, partial(_memory, GaugeMetricFamily(name, text, labels=("device",)), size)
        yield "cortex_build", lambda: InfoMetricFamily("cortex_build", "What runs.", self._build)

    def _triton_families(self) -> Families:
        for name, (text, read) in TRITON.items():
            family = UntypedMetricFamily(name, text, labels=MODEL)
            yield name, partial(_filled, family, self.models(), read)


class _Collector(Collector):
    """Makes the families that are wanted; no ``names``: all."""

    def __init__(self, families: Callable[[], Families], names: Container[str] = ()) -> None:
        self._families, self._names = families, names

    def collect(self) -> Iterable[Metric]:
        for name, make in self._families():
            if not self._names or name in self._names:
                yield make()


_Plain: TypeAlias = CounterMetricFamily | GaugeMetricFamily | UntypedMetricFamily


def _filled(family: _Plain, models: Sequence[Statistics], read: Read) -> Metric:
    for at in models:
        family.add_metric((at.name, at.version), read(at))
    return family


def _histogram(
    family: HistogramMetricFamily,
    models: Sequence[Statistics],
    parts: Callable[[Statistics], tuple[Histogram, float]],
) -> Metric:
    for at in models:
        histogram, total = parts(at)
        bounds = [*map(str, map(float, histogram.bounds)), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric((at.name, at.version), buckets, total)
    return family


def _requests(models: Sequence[Statistics]) -> Metric:
    """Every code from the start: a counter that appears with its first error shows no increase."""
    family = CounterMetricFamily("cortex_requests", "Requests answered.", labels=(*MODEL, "code"))
    for at in models:
        codes = at.codes
        for code in Code:
            family.add_metric((at.name, at.version, code.name), codes[code])
    return family


def _compute(models: Sequence[Statistics]) -> Metric:
    family = CounterMetricFamily(
        "cortex_compute_seconds",
        "Time that the requests' batches took, by part, counted for each request.",
        labels=(*MODEL, "part"),
    )
    for at in models:
        durations = (at.compute_input, at.compute_infer, at.compute_output)
        for part, duration in zip(PARTS, durations, strict=True):
            family.add_metric((at.name, at.version, part), duration.ns / NS)
    return family


def _memory(family: GaugeMetricFamily, size: Callable[[Memory], float]) -> Metric:
    for device in memories():
        family.add_metric((device.name,), size(device))
    return family
