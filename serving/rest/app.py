"""The Open Inference Protocol over HTTP as an application, and the page of metrics as another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import RequestError, Unauthenticated, told
from ..live import Live
from ..logs import Line, access
from ..metrics import Metrics
from ..plane import Plane
from ..security.areas import Area
from ..security.guard import Caller
from .body import JSON
from .coding import deflated, preferred
from .endpoints import LONG, Endpoints, reply
from .openapi import document
from .patience import CERTIFICATE
from .schema import Failure
from .table import HEALTH, ROUTES

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

OPENAPI = "/v2/openapi.json"
SMALL = 1 << 10  # bytes of a body that stays as it is: its headers are as large
GONE = 499  # what nginx logs of a client that did not wait; it never sees this


def rest_app(plane: Plane, live: Live) -> Starlette:
    """The protocol's application, for those whom ``live`` admits."""
    described = to_json(document(ROUTES, plane.version))

    async def openapi(request: Request) -> Response:
        return Response(described, media_type=JSON)

    return _app([_route("GET", OPENAPI, openapi, Area.HEALTH, live), *_protocol(plane, live)])


def metrics_app(metrics: Metrics, plane: Plane, live: Live) -> Starlette:
    """``/metrics``, in the format the reader asks for, all or each ``name[]``; health, for probes.

    They may have no certificate to show, which the protocol's own port can ask for.
    """
    area = Area.DATA if live.settings.protect_metrics else Area.HEALTH

    async def page(request: Request) -> Response:
        accept, names = request.headers.get("accept", ""), request.query_params.getlist("name[]")
        body, content_type = await asyncio.to_thread(metrics.page, accept, names)  # may be long
        return Response(body, media_type=content_type)

    health = [route for route in _protocol(plane, live) if route.path.startswith(HEALTH)]
    return _app([_route("GET", "/metrics", page, area, live), *health])


def _protocol(plane: Plane, live: Live) -> list[Route]:
    at = Endpoints(plane, live.settings.largest_message)
    return [
        _route(route.method, path, partial(route.endpoint, at), route.area, live)
        for route in ROUTES
        for path in route.paths
    ]


def _app(routes: list[Route]) -> Starlette:
    return Starlette(routes=routes, exception_handlers={HTTPException: _nowhere})


def _route(method: str, path: str, endpoint: Endpoint, area: Area, live: Live) -> Route:
    """``endpoint`` for those whom the guard admits; of the body of others nothing is read.

    What nobody checks and no log wants to know of goes the short way.
    """

    async def answer(request: Request) -> Response:
        logged = area is Area.DATA and not access.disabled
        try:
            if logged or live.guard.checks(area):
                return await guarded(request)
            return await _coded(request, await endpoint(request))
        except ClientDisconnect:
            return Response(status_code=GONE)
        except Exception as error:
            return _failed(told(error))

    async def guarded(request: Request) -> Response:
        caller = _caller(request)
        with Line(request.url.path, area, caller) as line:
            try:
                line.identity = live.guard.admit(area, caller)
                return await _coded(request, await endpoint(request))
            except ClientDisconnect:
                raise
            except Exception as error:
                failure = told(error)
                line.code = failure.code
                raise failure from error

    return Route(path, answer, methods=[method])


def _caller(request: Request) -> Caller:
    host, port = request.client or ("", "")
    certificate: str = request.scope.get("state", {}).get(CERTIFICATE, "")
    return Caller(host, str(port), request.headers, certificate)


async def _coded(request: Request, response: Response) -> Response:
    """The answer in the coding that the client likes best, if there is enough of it."""
    body = bytes(response.body)
    coding = preferred(request.headers.get("accept-encoding", ""))
    if not coding or len(body) < SMALL:
        return response
    aside = len(body) > LONG
    response.body = (
        await asyncio.to_thread(deflated, body, coding) if aside else deflated(body, coding)
    )
    response.headers["content-length"] = str(len(response.body))
    response.headers["content-encoding"] = coding
    response.headers["vary"] = "accept-encoding"
    return response


def _failed(failure: RequestError) -> Response:
    response = reply(Failure(error=failure.message), failure.http)
    if isinstance(failure, Unauthenticated):
        response.headers["www-authenticate"] = "Bearer"
    return response


async def _nowhere(request: Request, error: Any) -> Response:
    """There is no such path, or not for this method."""
    headers = dict(error.headers or {})
    where = f"{request.method} {request.url.path[:100]}"
    told = f"use {headers['Allow']}" if "Allow" in headers else f"{OPENAPI} lists what there is"
    response = reply(Failure(error=f"{where}: nothing is served here; {told}"), error.status_code)
    response.headers.update(headers)
    return response
