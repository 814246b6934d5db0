"""A server's page of metrics, read twice: what its models did in between."""

from __future__ import annotations

import http.client
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .access import OPEN, Access, ServerError

TIMEOUT = 5.0  # seconds
WANTED = (
    *("cortex_build", "cortex_requests", "cortex_request_seconds"),
    *("cortex_inferences", "cortex_executions"),
    *("cortex_queue_requests", "cortex_model_ready", "cortex_model_fallback"),
    *("cortex_model_load_failures", "cortex_model_check_failures"),
)
"""Of a thousand models all metrics would take seconds."""
PATH = "/metrics?" + urllib.parse.urlencode([("name[]", name) for name in WANTED])
SAMPLE = re.compile(r"^(cortex_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
"""No value that we write has a quote in it."""

Version: TypeAlias = tuple[str, str]  # of a model: name, version
Values: TypeAlias = dict[tuple[str, str], float]  # by metric, and code or bound of a bucket


@dataclass(frozen=True, slots=True)
class Page:
    """The numbers of each version, and when they were asked for, by ``time.monotonic``."""

    asked_at: float
    versions: Mapping[Version, Values]


@dataclass(frozen=True, slots=True)
class Row:
    """What a version did between two pages. Times are in seconds; None: there was nothing to tell.

    ``failures_per_second`` counts what ended neither well nor by its client's own leaving;
    ``rows_per_batch`` is a mean.
    """

    model: str
    version: str
    state: str
    requests_per_second: float
    failures_per_second: float
    p50_seconds: float | None
    p99_seconds: float | None
    rows_per_batch: float | None
    waiting: int


def read_page(address: str, access: Access = OPEN) -> Page:
    """Reads the page of the metrics port at ``HOST:PORT``.

    Raises:
        ServerError: it cannot be reached, or is something else.
    """
    asked_at = time.monotonic()
    try:
        text = _open(address, access).decode()
    except urllib.error.HTTPError as error:
        error.close()
        raise ServerError(f"{address}: /metrics answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise ServerError(f"{address}: cannot be reached: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServerError(f"{address}: {_not_metrics(error)}") from None
    versions = _versions(text)
    if ("cortex_build_info", "") not in versions.get(("", ""), {}):
        raise ServerError(f"{address}: not the metrics of cortex-serve; give its --metrics-port")
    return Page(asked_at, versions)


def _open(address: str, access: Access) -> bytes:
    context = access.context()
    scheme = "https" if context else "http"
    asked = urllib.request.Request(f"{scheme}://{address}{PATH}", headers=dict(access.headers))
    with urllib.request.urlopen(asked, timeout=TIMEOUT, context=context) as answer:
        return answer.read()


def rows(before: Page, after: Page) -> list[Row]:
    """What each version did from ``before`` to ``after``, by name and version."""
    found = [at for at, values in after.versions.items() if ("cortex_model_ready", "") in values]
    seconds = max(after.asked_at - before.asked_at, 1e-9)
    return [
        _Change(before.versions.get(at, {}), after.versions[at], seconds).row(*at)
        for at in sorted(found, key=lambda at: (at[0], len(at[1]), at[1]))
    ]


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The value that ``share`` of all are below, of cumulative buckets, in ascending order.

    Linear within its bucket, as ``histogram_quantile`` of Prometheus; the last finite bound where
    it lies beyond; None where there are no values.
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    lower = below = 0.0
    for bound, count in buckets:
        if count >= share * total:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (share * total - below) / (count - below)
        lower, below = bound, count
    return lower


@dataclass(frozen=True, slots=True)
class _Change:
    """A version's numbers before and after so many seconds."""

    before: Values
    after: Values
    seconds: float

    def row(self, model: str, version: str) -> Row:
        codes = self._grown("cortex_requests_total")
        failed = sum(count for code, count in codes.items() if code not in ("OK", "CANCELLED"))
        found = self._grown("cortex_request_seconds_bucket")
        buckets = sorted((float(bound), count) for bound, count in found.items())
        batches = self._grown("cortex_executions_total").get("", 0.0)
        batched = self._grown("cortex_inferences_total").get("", 0.0)
        return Row(
            model,
            version,
            self._state(),
            sum(codes.values()) / self.seconds,
            failed / self.seconds,
            quantile(0.5, buckets),
            quantile(0.99, buckets),
            batched / batches if batches else None,
            int(self._now("cortex_queue_requests")),
        )

    def _state(self) -> str:
        if self._now("cortex_model_ready"):
            return "fallback" if self._now("cortex_model_fallback") else "ready"
        if self._now("cortex_model_check_failures_total"):
            return "check failed"
        return "not loaded" if self._now("cortex_model_load_failures_total") else "loading"

    def _grown(self, metric: str) -> dict[str, float]:
        """By how much its counters grew, by code or bound; one that fell began anew."""
        grown: dict[str, float] = {}
        for (name, detail), now in self.after.items():
            if name == metric:
                then = self.before.get((name, detail), 0.0)
                grown[detail] = now - then if now >= then else now
        return grown

    def _now(self, name: str) -> float:
        return self.after.get((name, ""), 0.0)


def _not_metrics(error: Exception) -> str:
    """What answered instead of metrics, without a byte of it: it may be anything."""
    if isinstance(error, TimeoutError):
        return f"no answer in {TIMEOUT:g} s"
    if isinstance(error, ConnectionError | http.client.RemoteDisconnected):
        return "it closes the connection without an answer; to one with TLS give --tls-ca"
    return "it does not speak HTTP, as the gRPC port does not; give its --metrics-port"


def _versions(text: str) -> dict[Version, Values]:
    versions: dict[Version, Values] = {}
    for name, told, value in SAMPLE.findall(text):
        labels = dict(LABEL.findall(told))
        model = labels.get("model", "")
        version = (model, labels.get("version", "") if "model" in labels else "")
        detail = labels.get("code") or labels.get("le") or ""
        versions.setdefault(version, {})[name, detail] = float(value)
    return versions
