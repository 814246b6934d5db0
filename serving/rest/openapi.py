"""The OpenAPI document of the protocol over HTTP, made of the routes and the messages they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from .body import BINARY, HEAD_LENGTH, JSON
from .routes import Route
from .schema import Failure

OPENAPI = "3.1.0"
COMPONENTS = "#/components/schemas/"
TOKEN = "token"  # what the document calls the bearer token that a server may ask for
STATUSES: Mapping[str, str] = {
    "400": "The request contradicts itself or the model.",
    "401": "A token is needed.",
    "403": "This is not served, or not to this client.",
    "404": "No such model or version.",
    "413": "The body is too large.",
    "415": "The body has a content coding that is not known.",
    "429": "Too many requests wait.",
    "500": "A fault of the server; its log says which.",
    "503": "The model cannot be asked now.",
    "504": "The time allowed was over first.",
}


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The document, of a server of this version."""
    names = re.compile(r"\{(\w+)\}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path in route.paths:
            operation = _operation(route, path, names.findall(path))
            paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Cortex",
            "summary": "The Open Inference Protocol over HTTP, with the extensions of Triton.",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "security": [{}, {TOKEN: []}],
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, path: str, names: Sequence[str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": "_".join([route.endpoint.__name__, *names]),
        "summary": route.summary,
        "tags": [route.area.value],
        "responses": {"200": _answer(route)} | _failures(route),
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "schema": {"type": "boolean", "default": False}}
        for name in route.switches
    ]
    if route.binary:
        length = {"type": "integer", "minimum": 0}
        parameters.append({"name": HEAD_LENGTH, "in": "header", "schema": length})
    if parameters:
        operation["parameters"] = parameters
    if route.takes:
        operation["requestBody"] = {
            "required": route.binary,
            "content": _content(route.takes, route.binary),
        }
    return operation


def _answer(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": "The answer.",
        "content": _content(route.gives, route.binary),
    }
    if route.binary:
        found["headers"] = {
            HEAD_LENGTH: {
                "description": "Of how many bytes the JSON before the binary data is.",
                "schema": {"type": "integer"},
            }
        }
    return found


def _failures(route: Route) -> dict[str, Any]:
    """What else is answered; a probe has its own JSON with 503."""
    failure = {"content": _content(Failure, binary=False)}
    found = {status: {"description": why} | failure for status, why in STATUSES.items()}
    if route.probe:
        found["503"] = {"description": "Not ready.", "content": _content(route.gives, binary=False)}
    return found


def _content(kind: type[BaseModel], binary: bool) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": {"$ref": f"{COMPONENTS}{kind.__name__}"}}}
    return content | {BINARY: {}} if binary else content


class _Schema(GenerateJsonSchema):
    """Without a title for each field, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    kinds = [Failure, *(route.gives for route in routes)]
    kinds += [route.takes for route in routes if route.takes]
    mode: JsonSchemaMode = "validation"
    _, found = models_json_schema(
        [(kind, mode) for kind in dict.fromkeys(kinds)],
        ref_template=COMPONENTS + "{model}",
        schema_generator=_Schema,
    )
    return found["$defs"]
