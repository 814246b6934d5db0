"""The page's server: an application over the latest state, and the thread that runs it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import CortexError, UsageError
from .board import Board
from .details import Details, plain
from .pictures import bounds, kernel_png, png

HOST = "127.0.0.1"
PATIENCE = 1  # seconds for answers under way when the server closes
LINGER = 1.0  # seconds without a question after which readers have what belongs to the last news
LONGEST = 10.0  # seconds until they are left alone in any case
PAGE = {
    "/": ("index.html", "text/html"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page.css": ("page.css", "text/css"),
    "/uPlot.css": ("uPlot.css", "text/css"),
    "/uPlot.js": ("uPlot.js", "text/javascript"),
    "/uPlot.LICENSE": ("uPlot.LICENSE", "text/plain"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in ("page", "charts", "matrix", "cards", "layers")
    },
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Server:
    """Serves the page from a thread of its own until it is closed.

    Raises:
        UsageError: nothing can listen on the port.
    """

    def __init__(self, port: int) -> None:
        self.details = Details()
        self._socket = _listening(port)
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self.board = Board(self._loop)
        app = application(self.board, lambda: self.details)
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="critical",
            server_header=False,
            timeout_graceful_shutdown=PATIENCE,
        )
        self._server = _Guest(config)
        self._thread = threading.Thread(target=self._serve, name="live page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets readers have the last news, and ends: in no time if there are none."""
        watched = self.board.readers > 0
        self.board.close()
        if watched:
            self._linger()
        self._server.should_exit = True
        self._thread.join(2 * PATIENCE)

    def _linger(self) -> None:
        state, asked = self._server.server_state, -1
        latest = time.monotonic() + LONGEST
        while asked != state.total_requests and time.monotonic() < latest:
            asked = state.total_requests
            time.sleep(LINGER)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, self._socket:
            runner.run(self._served())

    async def _served(self) -> None:
        await self._server.serve([self._socket])
        for connection in [*self._server.server_state.connections]:
            left: Any = connection
            left.transport.abort()  # a reader that takes nothing would keep it open
        await asyncio.sleep(0)


class _Guest(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves the signals to the training."""
        yield


def application(board: Board, latest: Callable[[], Details]) -> Starlette:
    """The page and what it asks for; only for who calls this machine by its own name."""

    async def news(request: Request) -> Response:
        return StreamingResponse(_events(board), media_type="text/event-stream", headers=HEADERS)

    def details(request: Request) -> Response:
        return _json(latest().told())

    def projection(request: Request) -> Response:
        return _json(latest().projection)

    def cell(request: Request) -> Response:
        answers, at = latest().answers, request.path_params
        wanted, guess = at["wanted"], at["guess"]
        if answers is None or max(wanted, guess) >= len(answers.labels):
            return _missing()
        return _json(answers.cell(wanted, guess))

    def example(request: Request) -> Response:
        examples = latest().examples
        return _picture(examples and examples.png(request.path_params["index"]))

    def learnt(request: Request) -> Response:
        found, index = latest().learnt, request.path_params["index"]
        if found is None or index >= len(found.labels):
            return _missing()
        return _picture(png(found.images[index], *bounds(found.images)))

    def kernel(request: Request) -> Response:
        found = [*latest().kernels.values()][request.path_params["index"] :]
        return _picture(kernel_png(found[0]) if found else None)

    asked = {
        "/details": details,
        "/projection": projection,
        "/cells/{wanted:int}/{guess:int}": cell,
        "/examples/{index:int}.png": example,
        "/learnt/{index:int}.png": learnt,
        "/kernels/{index:int}.png": kernel,
    }
    return Starlette(
        routes=[
            *(Route(path, _file(*what)) for path, what in PAGE.items()),
            Route("/news", news),
            *(Route(path, endpoint) for path, endpoint in asked.items()),
        ],
        # another site's name that leads here must not read what is shown
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        exception_handlers={CortexError: _refused},
    )


async def _events(board: Board) -> AsyncIterator[str]:
    async for text in board.read():
        yield ":\n\n" if text is None else f"data: {text}\n\n"


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    body = (files(__name__.rpartition(".")[0]) / "page" / name).read_bytes()

    def answer(request: Request) -> Response:
        return Response(body, media_type=kind, headers=HEADERS)

    return answer


def _json(value: Any) -> Response:
    body = json.dumps(plain(value), default=_number)
    return Response(body, media_type="application/json", headers=HEADERS)


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is nothing for JSON")


def _picture(body: bytes | None) -> Response:
    return Response(body, media_type="image/png", headers=HEADERS) if body else _missing()


def _missing() -> Response:
    return PlainTextResponse("there is none", 404, HEADERS)


def _refused(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 404, HEADERS)


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UsageError(
            f"live page: port {port} of {HOST}: {error.strerror or error}; choose another"
        ) from None
    return listener
