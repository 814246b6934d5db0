"""REST bodies near what the server takes, of every kind: each gets a documented answer.

hypothesis makes them from the messages' own shape, so that most get past the first check;
schemathesis makes them of the OpenAPI document that the server publishes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.serving.server import Server

from .repositories import dense, sample
from .running import running
from .test_serve_command import FREE, started

LENGTH = "inference-header-content-length"
MIB = 1 << 20
MODELS = ("dense", "same-bytes", "same-fp16", "same-bool", "same-int64", "fixed", "two", "broken")
DATATYPES = ("FP32", "FP16", "BF16", "INT64", "UINT8", "BOOL", "BYTES", "FP99", "")
PARAMETERS = (
    *("binary_data_size", "binary_data", "binary_data_output", "classification", "priority"),
    *("timeout", "sequence_id", "shared_memory_region", "shared_memory_byte_size", "x"),
)
SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
X = [[0.5] * 4] * 2
GOOD = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": X}
BINARY = {"data": None, "parameters": {"binary_data_size": 32}}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, 2, 8, 2**31, 2**63, -1])
    | st.floats()
    | st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """That in most cases, else anything."""
    return st.one_of(*[strategy] * 12, anything)


parameters = mostly(st.dictionaries(st.sampled_from(PARAMETERS), scalars, max_size=3))
shapes = mostly(st.sampled_from([[2, 4], [1, 2], [2, 2], [2, 3], [0, 4], [8]])) | st.lists(
    st.integers(-1, 2**63), max_size=40
)
data = mostly(
    st.sampled_from([X, X[0] * 2, [1, 2], [True, False], ["a", "é"], [], [[]]]) | st.lists(scalars)
)
tensors = st.fixed_dictionaries(
    {
        "name": mostly(st.sampled_from(["x", "a", "b"])),
        "shape": shapes,
        "datatype": mostly(st.sampled_from(DATATYPES)),
    },
    optional={"data": data, "parameters": parameters},
)
outputs = st.fixed_dictionaries(
    {"name": mostly(st.sampled_from(["probabilities", "hidden", "y", "sum"]))},
    optional={"parameters": parameters},
)
requests = st.fixed_dictionaries(
    {"inputs": mostly(st.lists(tensors, min_size=1, max_size=3))},
    optional={
        "outputs": mostly(st.lists(outputs, max_size=3)),
        "id": mostly(st.text(max_size=20)),
        "parameters": parameters,
        "more": anything,
    },
)
good = st.sampled_from([{"inputs": [GOOD]}, {"inputs": [GOOD | BINARY]}])
bodies = st.one_of(
    st.tuples(good, requests).map(lambda both: json.dumps(both[1] | both[0]).encode()),
    *[requests.map(lambda request: json.dumps(request).encode())] * 3,
    mostly(st.binary(max_size=64)).map(lambda value: json.dumps(value, default=repr).encode()),
)
PLAIN: dict[str, str] = {}
headers = st.fixed_dictionaries(
    {},
    optional={
        LENGTH: st.integers(0, 600).map(str) | st.sampled_from(["", "-1", "x", "9" * 30]),
        "content-encoding": st.sampled_from(["gzip", "deflate", "identity", "br", "?"]),
        "accept-encoding": st.sampled_from(["gzip", "*;q=0", "deflate;q=2", ""]),
        "content-type": st.sampled_from(["application/json", "text/plain", ""]),
    },
)


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, bytes, dict[str, str]]:
    """A model, a body and its headers."""
    body, told = draw(bodies), draw(st.one_of(*[st.just(PLAIN)] * 6, headers))
    match draw(st.sampled_from(["plain", "binary", "gzip", "cut short"])):
        case "binary":
            tail = draw(st.sampled_from([b"", bytes(32)]) | st.binary(max_size=40))
            body, told = body + tail, {LENGTH: str(len(body))} | told
        case "gzip":
            body, told = gzip.compress(body), {"content-encoding": "gzip"} | told
        case "cut short":
            body = body[: draw(st.integers(0, len(body)))]
        case _:
            pass
    return draw(st.sampled_from(MODELS)), body, told


@pytest.fixture(scope="module")
def described(server: Server) -> dict[str, Any]:
    """The answers of ``infer`` by status, as the document has them."""
    document = httpx.get(f"http://{server.http}/v2/openapi.json").json()
    return document["paths"]["/v2/models/{model}/infer"]["post"]["responses"]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """One connection."""
    with httpx.Client(base_url=f"http://{server.http}") as client:
        yield client


def check(answer: httpx.Response, described: dict[str, Any]) -> None:
    """It is one that the document knows, and an error is one line of JSON."""
    assert str(answer.status_code) in described, answer.text
    assert answer.status_code != 500, answer.text
    if answer.status_code != 200:
        (error,) = answer.json().values()
        assert error
        assert "\n" not in error


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(question=asked())
def test_any_body_gets_a_documented_answer(
    client: httpx.Client, described: dict[str, Any], question: tuple[str, bytes, dict[str, str]]
) -> None:
    model, body, told = question
    check(client.post(f"/v2/models/{model}/infer", content=body, headers=told), described)


@pytest.mark.slow
def test_bodies_of_every_kind_take_no_memory(tmp_path: Path, described: dict[str, Any]) -> None:
    dense(tmp_path)
    x = [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": sample().tolist()}]

    @settings(
        max_examples=1000, deadline=None, derandomize=True, database=None,
        suppress_health_check=SLOW,
    )  # fmt: skip
    @given(question=asked())
    def ask(question: tuple[str, bytes, dict[str, str]]) -> None:
        _, body, told = question
        check(client.post("/v2/models/dense/infer", content=body, headers=told), described)

    with (
        started(tmp_path, *FREE) as server,
        httpx.Client(base_url=f"http://{server.http}") as client,
    ):
        process = psutil.Process(server.process.pid)
        ask()
        before = process.memory_info().rss
        ask()
        assert process.memory_info().rss - before < 4 * MIB
        assert client.post("/v2/models/dense/infer", json={"inputs": x}).status_code == 200


@pytest.mark.slow
def test_the_published_document_holds_for_whatever_it_allows(repository: Path) -> None:
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # models differ

    with running(repository, model_control="explicit", load=("*",)) as server:
        base = f"http://{server.http}"
        document = schemathesis.openapi.from_url(f"{base}/v2/openapi.json")
        operations: Any = document.get_all_operations()
        for operation in operations:
            case = operation.ok().as_strategy()

            @settings(
                max_examples=40, deadline=None, derandomize=True, database=None,
                suppress_health_check=SLOW,
            )  # fmt: skip
            @given(case=case)
            def conforms(case: Any) -> None:
                case.call_and_validate(base_url=base, excluded_checks=[positive_data_acceptance])

            conforms()
        assert httpx.get(f"{base}/v2/health/live").json() == {"live": True}
