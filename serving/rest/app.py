"""Health and metadata over HTTP, as the Open Inference Protocol has them; the page of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..engine.session import TensorSpec
from ..errors import RequestError, told
from ..metrics import Metrics
from ..plane import NAME, Plane

MODEL = "/v2/models/{model}"
VERSION = f"{MODEL}/versions/{{version}}"


def rest_app(plane: Plane) -> Starlette:
    """The protocol's application."""
    at = _Endpoints(plane)
    routes = [
        Route("/v2", at.server),
        Route("/v2/health/live", at.live),
        Route("/v2/health/ready", at.ready),
        Route(MODEL, at.model),
        Route(f"{MODEL}/ready", at.model_ready),
        Route(VERSION, at.model),
        Route(f"{VERSION}/ready", at.model_ready),
    ]
    return Starlette(routes=routes, exception_handlers={Exception: _failed, RequestError: _failed})


def metrics_app(metrics: Metrics) -> Starlette:
    """``/metrics``, in the format the reader asks for."""

    async def page(request: Request) -> Response:
        body, content_type = metrics.page(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return Starlette(routes=[Route("/metrics", page)])


class _Endpoints:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def server(self, request: Request) -> Response:
        return JSONResponse({"name": NAME, "version": self._plane.version, "extensions": []})

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        return _state(self._plane.ready)

    async def model_ready(self, request: Request) -> Response:
        return _state(self._plane.model_ready(*_named(request)))

    async def model(self, request: Request) -> Response:
        found = self._plane.metadata(*_named(request))
        return JSONResponse(
            {
                "name": found.name,
                "versions": list(found.versions),
                "platform": found.platform,
                "inputs": _tensors(found.inputs),
                "outputs": _tensors(found.outputs),
            }
        )


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["model"], request.path_params.get("version", "")


def _state(ready: bool) -> Response:
    """Probes read the status alone."""
    return JSONResponse({"ready": ready}, status_code=200 if ready else 503)


def _tensors(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [
        {"name": spec.name, "datatype": spec.datatype.name, "shape": spec.sizes} for spec in specs
    ]


async def _failed(request: Request, error: Exception) -> Response:
    failure = told(error)
    return JSONResponse({"error": failure.message}, status_code=failure.http)
