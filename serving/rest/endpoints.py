"""What is answered; ``table.py`` says where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..engine.session import TensorSpec
from ..errors import InvalidArgument
from ..logs import note
from ..parameters import config
from ..plane import NAME, Plane
from . import schema
from .body import BINARY, HEAD_LENGTH, JSON, apart, parsed, plain, read
from .configuration import configured
from .messages import InferQuestion, without_json
from .statistics import counted

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LONG = 64 << 10
"""Bytes of a body that would hold up the event loop while they are read or written."""
SWITCH = {"true": True, "1": True, "false": False, "0": False}


class Endpoints:
    """Answers requests out of ``plane``, from bodies of at most ``largest`` bytes.

    Raises:
        RequestError: from every method.
        ClientDisconnect: from those that read a body.
    """

    def __init__(self, plane: Plane, largest: int) -> None:
        self._plane = plane
        self._largest = largest

    async def server(self, request: Request) -> Response:
        """What the server is."""
        return reply(
            schema.ServerMetadata(
                name=NAME,
                version=self._plane.version,
                extensions=list(self._plane.extensions),
            )
        )

    async def live(self, request: Request) -> Response:
        """Whether the server runs."""
        return reply(schema.Live(live=True))

    async def ready(self, request: Request) -> Response:
        """Whether the server can be asked; the status alone says it too."""
        return _state(self._plane.ready)

    async def model_ready(self, request: Request) -> Response:
        """Whether a model can be asked; the status alone says it too."""
        return _state(self._plane.model_ready(*_named(request)))

    async def model(self, request: Request) -> Response:
        """What a model takes and gives; with layers: what it can be asked for besides."""
        found = await self._plane.metadata(*_named(request), layers=_switch(request, "layers"))
        return reply(
            schema.ModelMetadata(
                name=found.name,
                versions=list(found.versions),
                platform=found.platform,
                inputs=_tensors(found.inputs),
                outputs=_tensors(found.outputs),
            )
        )

    async def config(self, request: Request) -> Response:
        """How a model is served."""
        return reply(configured(await self._plane.serving(*_named(request))))

    async def statistics(self, request: Request) -> Response:
        """What models have done since they were loaded."""
        return reply(counted(self._plane.statistics(*_named(request))))

    async def infer(self, request: Request) -> Response:
        """Runs a model."""
        question = await self._question(request, await read(request, self._largest))
        if question.head.id:
            note(id=question.head.id)
        answer = await _unless_gone(
            request, self._plane.infer(question, headers=request.headers.items)
        )
        size = sum(output.array.nbytes for output in answer.outputs)
        body, head_length = await _done(size > LONG, lambda: question.answered(answer))
        if head_length is None:
            return Response(body, media_type=JSON)
        return Response(body, headers={HEAD_LENGTH: str(head_length)}, media_type=BINARY)

    async def index(self, request: Request) -> Response:
        """What the repositories hold."""
        asked = await self._message(request, schema.IndexRequest)
        found = [
            schema.ModelIndex(
                name=each.name, version=each.version, state=each.state, reason=each.reason
            )
            for each in self._plane.index()
            if each.state == "READY" or not asked.ready
        ]
        return reply(schema.RepositoryIndex(found))

    async def load(self, request: Request) -> Response:
        """Loads a model, or loads it again."""
        asked = await self._message(request, schema.ControlRequest)
        name = request.path_params["model"]
        await self._plane.load(name, config(asked.parameters, f"model {name!r}"))
        return reply(schema.Done())

    async def unload(self, request: Request) -> Response:
        """Takes a model out of service."""
        await self._message(request, schema.ControlRequest)
        await self._plane.unload(request.path_params["model"])
        return reply(schema.Done())

    async def regions(self, request: Request) -> Response:
        """The regions of shared memory that are registered, or one of them."""
        found = self._plane.regions.registered(request.path_params.get("region", ""))
        return reply(
            schema.Regions(
                [
                    schema.Region(
                        name=at.name, key=at.key, offset=at.offset, byte_size=at.byte_size
                    )
                    for at in found
                ]
            )
        )

    async def register(self, request: Request) -> Response:
        """Makes a region of shared memory known by a name."""
        at = await self._message(request, schema.RegisterRequest)
        self._plane.regions.register(request.path_params["region"], at.key, at.offset, at.byte_size)
        return reply(schema.Done())

    async def unregister(self, request: Request) -> Response:
        """Forgets a region of shared memory, or all of them."""
        self._plane.regions.unregister(request.path_params.get("region", ""))
        return reply(schema.Done())

    async def _question(self, request: Request, body: bytes) -> InferQuestion:
        named, coding = _named(request), request.headers.get("content-encoding", "")
        head_length = request.headers.get(HEAD_LENGTH)
        without = head_length is not None and not head_length.strip("0")
        specs = (await self._plane.metadata(*named)).inputs if without else None

        def decoded() -> InferQuestion:
            text, binary = apart(plain(body, coding, self._largest), head_length)
            if specs is None:
                head = parsed(schema.InferRequest, text)
            else:
                head, binary = without_json(specs, binary)
            return InferQuestion.of(named, head, binary, self._plane.regions)

        return await _done(len(body) > LONG or bool(coding), decoded)

    async def _message(self, request: Request, kind: type[M]) -> M:
        body = await read(request, self._largest)
        coding = request.headers.get("content-encoding", "")

        def message() -> M:
            return parsed(kind, memoryview(plain(body, coding, self._largest)))

        return await _done(len(body) > LONG or bool(coding), message)


def reply(message: BaseModel, status: int = 200) -> Response:
    """A message as an answer."""
    return Response(message.model_dump_json(exclude_none=True), status, media_type=JSON)


def _named(request: Request) -> tuple[str, str]:
    found = request.path_params
    return found.get("model", ""), found.get("version", "")


def _switch(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value.lower() not in SWITCH:
        raise InvalidArgument(f"{name!r} in the query is true or false, found {value[:20]!r}")
    return SWITCH[value.lower()]


def _state(ready: bool) -> Response:
    """Probes read the status alone."""
    return reply(schema.Ready(ready=ready), 200 if ready else 503)


def _tensors(specs: Sequence[TensorSpec]) -> list[schema.TensorMetadata]:
    return [
        schema.TensorMetadata(name=spec.name, datatype=spec.datatype.name, shape=list(spec.sizes))
        for spec in specs
    ]


async def _done(aside: bool, work: Callable[[], T]) -> T:
    """What ``work`` returns, on a thread if it takes long."""
    return await asyncio.to_thread(work) if aside else work()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns; it is cancelled when the client leaves.

    Raises:
        ClientDisconnect: it left.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        gone.cancel()


async def _left(request: Request) -> None:
    """Returns when the client has closed the connection; its request has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
