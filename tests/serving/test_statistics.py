"""What is counted, and the page of metrics made of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cortex.runtime.errors import Disagreement
from cortex.serving import devices, statistics
from cortex.serving.errors import Code
from cortex.serving.metrics import COUNTERS, GAUGES, HISTOGRAMS, TRITON, Metrics
from cortex.serving.statistics import Duration, Histogram, Statistics

DENSE = {"model": "dense", "version": "1"}


def busy(at: Statistics) -> None:
    """Two requests share a batch of three rows, a third fails."""
    at.executed(3, [0.001, 0.003], gathering=0.0005, running=0.01, sharing=0.0002)
    at.answered(Code.OK, 0.02)
    at.answered(Code.OK, 0.04)
    at.answered(Code.RESOURCE_EXHAUSTED, 0.0001)


def test_a_batch_counts_for_each_of_its_requests_and_once_for_its_size() -> None:
    at = Statistics("dense", "1")
    busy(at)
    assert at.success == Duration(2, 60_000_000)
    assert at.fail == Duration(1, 100_000)
    assert at.queue == Duration(2, 4_000_000)
    assert at.compute_infer == Duration(2, 20_000_000)
    assert (at.inferences, at.executions) == (3, 1)
    assert at.batches.keys() == {3}
    assert at.batches[3].compute_infer == Duration(1, 10_000_000)
    assert at.batches[3].compute_output == Duration(1, 200_000)
    assert at.codes == Counter({Code.OK: 2, Code.RESOURCE_EXHAUSTED: 1})
    assert at.last_inference_ms > 1.7e12


def test_sizes_that_clients_choose_do_not_fill_the_memory() -> None:
    at = Statistics("dense", "1")
    for rows in range(1, statistics.MOST_SIZES + 10):
        at.executed(rows, [0.0], 0.0, 0.0, 0.0)
    assert len(at.batches) == statistics.MOST_SIZES
    assert at.executions == statistics.MOST_SIZES + 9


@pytest.mark.parametrize(("value", "bucket"), [(0.5, 0), (1, 0), (1.5, 1), (2, 1), (3, 2)])
def test_a_bucket_holds_what_is_at_most_its_bound(value: float, bucket: int) -> None:
    histogram = Histogram((1, 2))
    histogram.observe(value)
    assert histogram.counts.index(1) == bucket


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, (1, 0, 0, True)),
        (ValueError("no"), (1, 1, 0, False)),
        (Disagreement("it differs"), (1, 1, 1, False)),
    ],
)
def test_a_load_is_counted(error: Exception | None, found: tuple[int, int, int, bool]) -> None:
    at = Statistics("dense", "1")
    at.loaded(1.5, error)
    assert (at.loads.count, at.load_failures, at.check_failures, at.ready) == found
    assert at.loads.ns == 1_500_000_000


def test_the_page_says_what_was_counted() -> None:
    metrics = Metrics("0")
    busy(metrics.model("dense", "1"))
    value = metrics.registry.get_sample_value
    assert value("cortex_requests_total", {**DENSE, "code": "OK"}) == 2
    assert value("cortex_requests_total", {**DENSE, "code": "INTERNAL"}) == 0
    assert value("cortex_request_seconds_count", DENSE) == 3
    assert value("cortex_request_seconds_sum", DENSE) == pytest.approx(0.0601)
    assert value("cortex_request_seconds_bucket", {**DENSE, "le": "0.025"}) == 2
    assert value("cortex_queue_seconds_count", DENSE) == 2
    assert value("cortex_execute_seconds_sum", DENSE) == pytest.approx(0.0107)
    assert value("cortex_compute_seconds_total", {**DENSE, "part": "infer"}) == 0.02
    assert value("cortex_batch_rows_sum", DENSE) == 3
    assert value("cortex_inferences_total", DENSE) == 3
    memory = {"device": "cpu"}
    total = value("cortex_device_memory_bytes", memory) or 0
    assert 0 < (value("cortex_device_memory_used_bytes", memory) or 0) < total
    assert value("process_resident_memory_bytes")


def test_every_declared_metric_is_on_the_page_in_both_formats() -> None:
    metrics = Metrics("0", nv_metrics=True)
    metrics.model("dense", "1")
    text = metrics.page("")[0].decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {*COUNTERS, *GAUGES, *HISTOGRAMS, *TRITON} <= families
    assert metrics.page("application/openmetrics-text; version=1.0.0")[0].endswith(b"# EOF\n")


def test_tritons_names_are_told_when_asked_for() -> None:
    metrics = Metrics("0", nv_metrics=True)
    busy(metrics.model("dense", "1"))
    value = metrics.registry.get_sample_value
    assert value("nv_inference_request_success", DENSE) == 2
    assert value("nv_inference_request_failure", DENSE) == 1
    assert value("nv_inference_count", DENSE) == 3
    assert value("nv_inference_exec_count", DENSE) == 1
    assert value("nv_inference_request_duration_us", DENSE) == 60_000
    assert value("nv_inference_queue_duration_us", DENSE) == 4_000
    assert value("nv_inference_compute_infer_duration_us", DENSE) == 20_000
    assert b"nv_inference" not in Metrics("0").page("")[0]


def test_a_version_that_goes_takes_its_series_with_it() -> None:
    metrics = Metrics("0")
    busy(metrics.model("dense", "1"))
    metrics.remove("dense", "1")
    metrics.unknown(Code.NOT_FOUND)
    assert b"dense" not in metrics.page("")[0]
    missed = {"model": "", "version": "", "code": "NOT_FOUND"}
    assert metrics.registry.get_sample_value("cortex_requests_total", missed) == 1


class FakeNvml:
    """The driver's library with two GPUs, the second of which does not answer."""

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802  the names are NVML's
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, device: Any) -> int:  # noqa: N802
        return 15 if index else 0

    def nvmlDeviceGetMemoryInfo(self, device: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.total, memory._obj.used = 80 << 30, 3 << 30
        return 0


def test_the_memory_of_gpus_is_told_as_far_as_they_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_nvml", FakeNvml)
    host, gpu = devices.memories()
    assert (host.name, gpu) == ("cpu", devices.Memory("gpu:0", 80 << 30, 3 << 30))
