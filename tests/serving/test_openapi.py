"""The OpenAPI document, and that the server does what it says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource

from cortex.serving.server import Server

from .repositories import sample

REQUEST = {
    "inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": sample().tolist()}]
}
WHERE = "urn:document"
CALLS: list[tuple[str, str, Any, int]] = [
    ("GET", "/v2", None, 200),
    ("GET", "/v2/health/live", None, 200),
    ("GET", "/v2/health/ready", None, 200),
    ("GET", "/v2/models/stats", None, 200),
    ("GET", "/v2/models/{model}", None, 200),
    ("GET", "/v2/models/{model}/versions/{version}", None, 200),
    ("GET", "/v2/models/{model}/ready", None, 200),
    ("GET", "/v2/models/{model}/config", None, 200),
    ("GET", "/v2/models/{model}/stats", None, 200),
    ("POST", "/v2/models/{model}/infer", REQUEST, 200),
    ("POST", "/v2/models/{model}/infer", {"inputs": []}, 400),
    ("POST", "/v2/repository/index", {"ready": True}, 200),
    ("POST", "/v2/repository/models/{model}/load", {}, 403),
    ("GET", "/v2/systemsharedmemory/status", None, 200),
]


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return httpx.get(f"http://{server.http}/v2/openapi.json").json()


def test_the_document_is_one(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_operations_are_told_apart(document: Any) -> None:
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names) > 20


@pytest.mark.parametrize(("method", "path", "body", "status"), CALLS)
def test_an_answer_is_as_described(
    server: Server, document: Any, method: str, path: str, body: Any, status: int
) -> None:
    operation = document["paths"][path][method.lower()]
    url = f"http://{server.http}{path.format(model='dense', version='1')}"
    answer = httpx.request(method, url, json=body)
    assert answer.status_code == status
    described = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    _check(document, described, answer.json())
    if body is not None and status == 200:
        taken = operation["requestBody"]["content"]["application/json"]["schema"]
        _check(document, taken, body)


def _check(document: Any, schema: Any, message: Any) -> None:
    contents = document | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    registry: Any = Registry().with_resource(WHERE, Resource.from_contents(contents))
    Draft202012Validator({"$ref": WHERE + schema["$ref"]}, registry=registry).validate(message)
