"""Every Prometheus metric of the server, by name; nothing else in the package knows Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from platform import python_version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder

from .errors import Code

MODEL = ("model", "version")
SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """All metrics, in a registry of their own. Labels are our models, never a client's words."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "cortex_requests", "Requests answered.", (*MODEL, "code"), registry=registry
        )
        self.request_seconds = Histogram(
            "cortex_request_seconds",
            "Time from a request's arrival to its answer.",
            MODEL,
            buckets=SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "cortex_queue_seconds",
            "Time a request waited for its batch.",
            MODEL,
            buckets=SECONDS,
            registry=registry,
        )
        self.execute_seconds = Histogram(
            "cortex_execute_seconds",
            "Time a batch took to run.",
            MODEL,
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "cortex_batch_rows", "Rows of a batch.", MODEL, buckets=ROWS, registry=registry
        )
        self.executions = Counter("cortex_executions", "Batches run.", MODEL, registry=registry)
        self.queue_requests = Gauge(
            "cortex_queue_requests", "Requests that wait now.", MODEL, registry=registry
        )
        self.model_ready = Gauge(
            "cortex_model_ready",
            "Whether a version can be asked: 1 or 0.",
            MODEL,
            registry=registry,
        )
        build = Info("cortex_build", "What is running.", registry=registry)
        build.info({"version": version, "python": python_version()})

    def model(self, name: str, version: str) -> ModelMetrics:
        """The metrics of one version of a model."""
        return ModelMetrics(self, name, version)

    def unknown(self, code: Code) -> None:
        """Counts a request for a model that the repository does not have."""
        self.requests.labels("", "", code.name).inc()

    def page(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type, in the format an ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class ModelMetrics:
    """The metrics of one version, its labels bound once; also the ``Observer`` of its batcher."""

    def __init__(self, metrics: Metrics, name: str, version: str) -> None:
        labels = (name, version)
        self._codes = {code: metrics.requests.labels(*labels, code.name) for code in Code}
        self._request_seconds = metrics.request_seconds.labels(*labels)
        self._queue_seconds = metrics.queue_seconds.labels(*labels)
        self._execute_seconds = metrics.execute_seconds.labels(*labels)
        self._batch_rows = metrics.batch_rows.labels(*labels)
        self._executions = metrics.executions.labels(*labels)
        self._queue_requests = metrics.queue_requests.labels(*labels)
        self._ready = metrics.model_ready.labels(*labels)

    def ready(self, ready: bool) -> None:
        """Whether the version can be asked."""
        self._ready.set(ready)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Asks ``length`` for the requests that wait whenever the metrics are read."""
        self._queue_requests.set_function(length)

    def answered(self, code: Code, seconds: float) -> None:
        """A request ended."""
        self._codes[code].inc()
        self._request_seconds.observe(seconds)

    def executed(self, rows: int, seconds: float, waited: Sequence[float]) -> None:
        """A batch ran."""
        self._executions.inc()
        self._batch_rows.observe(rows)
        self._execute_seconds.observe(seconds)
        for each in waited:
            self._queue_seconds.observe(each)
