"""What is counted of one version of a model: plain integers, added to on the event loop.

Prometheus' page, the statistics of the protocol and ``cortex-status`` all read these; nothing is
counted a second time. The names and the meaning of each are those of Triton's statistics extension,
so that its clients read them unchanged.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..runtime.errors import Disagreement
from .errors import Code

SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOST_SIZES = 1024
"""Batch sizes told apart: clients choose how many rows they bring, and memory is bounded."""
NS = 1e9
CODES = max(Code) + 1


@dataclass(slots=True)
class Duration:
    """How often something happened, and how long all of it took."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """It happened again; ``ns`` is for all ``count`` together."""
        self.count += count
        self.ns += ns


class Histogram:
    """How often a value fell into each bucket; ``counts`` has one more, for what is larger."""

    __slots__ = ("bounds", "counts")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """A bucket holds what is at most its bound, as Prometheus has it."""
        self.counts[bisect_left(self.bounds, value)] += 1


@dataclass(slots=True)
class Batches:
    """The batches of one size. Counts are of batches, not of the requests in them."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


class Statistics:
    """All that is counted of one version; also the ``Observer`` of its batcher.

    Attributes:
        success, fail: requests by how they ended, and the time from arrival to answer.
        queue: requests that ran, and how long they waited for it.
        compute_input, compute_infer, compute_output: requests that ran, and how long the batch of
            each was gathered, executed, and shared out.
        cache_hit, cache_miss: requests that the response cache answered, or did not.
        inferences: rows of all batches.
        executions: batches; ``execute_ns`` is what gathering, executing and sharing all took.
        last_inference_ms: when the last batch ended, in milliseconds since 1970; 0: none did.
        batches: by rows, the first ``MOST_SIZES`` sizes that came up.
        loads: attempts to load it, and how long they took; ``load_failures`` of them failed,
            ``check_failures`` of these because the outputs were not those of its check.
        ready: whether it can be asked.
        fallback: whether it runs on another provider than the first that its config asks for.
        waiting: tells how many requests wait now.
    """

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version
        self.success, self.fail = Duration(), Duration()
        self.queue = Duration()
        self.compute_input, self.compute_infer = Duration(), Duration()
        self.compute_output = Duration()
        self.cache_hit, self.cache_miss = Duration(), Duration()
        self.inferences = self.executions = self.execute_ns = self.last_inference_ms = 0
        self.batches: dict[int, Batches] = {}
        self.loads = Duration()
        self.load_failures = self.check_failures = 0
        self.ready = self.fallback = False
        self.waiting: Callable[[], int] = int
        self.request_seconds, self.queue_seconds = Histogram(SECONDS), Histogram(SECONDS)
        self.execute_seconds, self.batch_rows = Histogram(SECONDS), Histogram(ROWS)
        self._codes = [0] * CODES

    @property
    def codes(self) -> Counter[Code]:
        """Requests by the status they ended with, those that came up."""
        return Counter({code: self._codes[code] for code in Code if self._codes[code]})

    def loaded(self, seconds: float, error: Exception | None = None) -> None:
        """An attempt to load it ended, by ``error`` or well."""
        self.loads.add(int(seconds * NS))
        self.load_failures += error is not None
        self.check_failures += isinstance(error, Disagreement)
        self.ready = error is None

    def answered(self, code: Code, seconds: float) -> None:
        """A request ended."""
        self._codes[code] += 1
        ended = self.fail if code else self.success
        ended.count += 1
        ended.ns += int(seconds * NS)
        self.request_seconds.counts[bisect_left(SECONDS, seconds)] += 1

    def executed(
        self, rows: int, waited: Sequence[float], gathering: float, running: float, sharing: float
    ) -> None:
        """A batch ran; each of its requests had ``waited``. All times are in seconds."""
        parts = int(gathering * NS), int(running * NS), int(sharing * NS)
        self.inferences += rows
        self.executions += 1
        self.execute_ns += sum(parts)
        self.last_inference_ms = time.time_ns() // 1_000_000
        self.execute_seconds.observe(gathering + running + sharing)
        self.batch_rows.observe(rows)
        self._waited(waited)
        self._count_parts(rows, len(waited), parts)

    def _waited(self, waited: Sequence[float]) -> None:
        counts = self.queue_seconds.counts
        for seconds in waited:
            counts[bisect_left(SECONDS, seconds)] += 1
        self.queue.add(int(sum(waited) * NS), len(waited))

    def _count_parts(self, rows: int, requests: int, parts: tuple[int, int, int]) -> None:
        gathering, running, sharing = parts
        self.compute_input.add(gathering * requests, requests)
        self.compute_infer.add(running * requests, requests)
        self.compute_output.add(sharing * requests, requests)
        batches = self.batches.get(rows)
        if batches is None:
            if len(self.batches) >= MOST_SIZES:
                return
            batches = self.batches[rows] = Batches()
        batches.compute_input.add(gathering)
        batches.compute_infer.add(running)
        batches.compute_output.add(sharing)
