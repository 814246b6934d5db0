"""Health, metadata and metrics over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton
from prometheus_client.parser import text_string_to_metric_families

from cortex.serving.server import Server

from .repositories import sample

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
MODEL = {
    "name": "dense",
    "versions": ["1", "2"],
    "platform": "onnxruntime_onnx",
    "inputs": [TENSOR],
    "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}],
}
PAGES: dict[str, tuple[int, Any]] = {
    "/v2/health/live": (200, {"live": True}),
    "/v2/health/ready": (200, {"ready": True}),
    "/v2/models/dense": (200, MODEL),
    "/v2/models/dense/versions/1": (200, MODEL),
    "/v2/models/dense/ready": (200, {"ready": True}),
    "/v2/models/dense/versions/1/ready": (200, {"ready": True}),
    "/v2/models/broken/ready": (503, {"ready": False}),
    "/v2/models/broken": (
        503,
        {"error": "model 'broken': no version of it is ready; the server's log says why"},
    ),
    "/v2/models/dense/versions/7": (
        404,
        {"error": "model 'dense' has no version '7'; it has '1', '2'"},
    ),
    "/v2/models/dense/versions/7/ready": (
        404,
        {"error": "model 'dense' has no version '7'; it has '1', '2'"},
    ),
}


@pytest.mark.parametrize(("page", "status", "body"), [(page, *at) for page, at in PAGES.items()])
def test_a_page(server: Server, page: str, status: int, body: Any) -> None:
    answer = httpx.get(f"http://{server.http}{page}")
    assert (answer.status_code, answer.json()) == (status, body)


def test_the_server_has_a_name(server: Server) -> None:
    answer = httpx.get(f"http://{server.http}/v2").json()
    assert answer["name"] == "cortex"
    assert "binary_tensor_data" in answer["extensions"]


def test_layers_are_told_if_asked_for(server: Server) -> None:
    url = f"http://{server.http}/v2/models/dense"
    found = httpx.get(url, params={"layers": "true"}).json()["outputs"]
    assert [each["name"] for each in found] == ["probabilities", "hidden", "turned", "scores"]
    assert found[1] == {"name": "hidden", "datatype": "FP32", "shape": [-1, 8]}
    refused = httpx.get(url, params={"layers": "yes"})
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "'layers' in the query is true or false, found 'yes'",
    }


def test_what_is_not_served_is_told_as_json(server: Server) -> None:
    answer = httpx.get(f"http://{server.http}/v3")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "GET /v3: nothing is served here; /v2/openapi.json lists what there is"},
    )
    answer = httpx.get(f"http://{server.http}/v2/models/dense/infer")
    assert (answer.status_code, answer.json()) == (
        405,
        {"error": "GET /v2/models/dense/infer: nothing is served here; use POST"},
    )


def test_there_is_nothing_else(server: Server) -> None:
    assert httpx.get(f"http://{server.http}/metrics").status_code == 404
    assert httpx.get(f"http://{server.metrics}/v2").status_code == 404
    assert httpx.post(f"http://{server.http}/v2").status_code == 405


def scrape(server: Server) -> dict[str, Any]:
    """The families of the page of metrics, by name."""
    page = httpx.get(f"http://{server.metrics}/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(page.text)}


def value(families: dict[str, Any], family: str, sample: str = "", **labels: str) -> float:
    """The one sample with these labels."""
    (found,) = [
        each.value
        for each in families[family].samples
        if each.name == (sample or family) and labels.items() <= each.labels.items()
    ]
    return found


def test_every_metric_is_there_and_counts(server: Server) -> None:
    before = scrape(server)
    with triton.InferenceServerClient(str(server.grpc)) as client:
        x = triton.InferInput("x", [3, 4], "FP32")
        x.set_data_from_numpy(sample(3))
        client.infer("dense", [x], model_version="1")
        for name in ("no-such-model", "another"):
            with pytest.raises(triton.InferenceServerException):
                client.infer(name, [x])
    after = scrape(server)
    dense = {"model": "dense", "version": "1"}

    def grown(family: str, sample: str = "", **labels: str) -> float:
        return value(after, family, sample, **labels) - value(before, family, sample, **labels)

    assert grown("cortex_requests", "cortex_requests_total", code="OK", **dense) == 1
    assert grown("cortex_request_seconds", "cortex_request_seconds_count", **dense) == 1
    assert grown("cortex_queue_seconds", "cortex_queue_seconds_count", **dense) == 1
    assert grown("cortex_execute_seconds", "cortex_execute_seconds_count", **dense) == 1
    assert grown("cortex_batch_rows", "cortex_batch_rows_sum", **dense) == 3
    assert grown("cortex_executions", "cortex_executions_total", **dense) == 1
    assert value(after, "cortex_queue_requests", **dense) == 0
    assert value(after, "cortex_model_ready", **dense) == 1
    assert value(after, "cortex_model_ready", model="broken", version="1") == 0
    assert value(after, "cortex_build_info") == 1
    models = {each.labels["model"] for each in after["cortex_requests"].samples}
    assert "no-such-model" not in models  # a client's words are no labels
    assert value(after, "cortex_requests", "cortex_requests_total", model="", code="NOT_FOUND") >= 2


def test_the_page_of_metrics_can_be_openmetrics(server: Server) -> None:
    page = httpx.get(
        f"http://{server.metrics}/metrics",
        headers={"accept": "application/openmetrics-text; version=1.0.0"},
    )
    assert page.headers["content-type"].startswith("application/openmetrics-text")
    assert page.text.endswith("# EOF\n")
