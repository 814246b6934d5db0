"""Clients by the dozen for the reliability tests: what they ask, and what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from cortex.serving.client.connection import request
from cortex.serving.pb import open_inference_grpc_pb2 as pb
from cortex.serving.rpc.protocol import path

Array = NDArray[Any]
PATIENCE = 60.0  # seconds for an answer


@dataclass
class Tally:
    """What became of the requests: how many ended in which way, and how long each took."""

    ends: Counter[str] = field(default_factory=Counter[str])
    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, end: str, began: float) -> None:
        """One request ended."""
        self.ends[end] += 1
        self.seconds.setdefault(end, []).append(monotonic() - began)

    def percentile(self, end: str, percent: float) -> float:
        """Of the seconds that requests with this end took."""
        return float(np.percentile(self.seconds[end], percent))


class Caller:
    """A connection to the server and the requests it sends, one after the other."""

    def __init__(self, address: str, tally: Tally) -> None:
        self._address = address
        self._tally = tally
        self._open()

    def _open(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        self._channel = grpc.aio.insecure_channel(self._address, options=options)
        self._infer: Any = self._channel.unary_unary(path("ModelInfer"))

    async def ask(self, model: str, x: Array, right: Callable[[str, Array], bool]) -> str:
        """Asks once; ``right`` is given the version that answered and its first output."""
        began, end = monotonic(), "right"
        try:
            answer = await self._infer(request(model, {"x": x}), timeout=PATIENCE)
            found = pb.ModelInferResponse.FromString(answer)
            output = np.frombuffer(found.raw_output_contents[0], np.float32)
            if not right(found.model_version, output.reshape(found.outputs[0].shape)):
                end = "wrong"
        except grpc.aio.AioRpcError as error:
            end = error.code().name
        self._tally.add(end, began)
        return end

    async def give_up(self, model: str, x: Array, after: float, *, disconnect: bool) -> None:
        """Asks, and cancels or cuts the connection after so many seconds."""
        began = monotonic()
        call = self._infer(request(model, {"x": x}), timeout=PATIENCE)
        await asyncio.sleep(after)
        if disconnect:
            await self.close()
            self._open()
        else:
            call.cancel()
        await asyncio.gather(_ended(call))
        self._tally.add("given up", began)

    async def close(self) -> None:
        """Cuts the connection."""
        await self._channel.close()


async def _ended(call: Any) -> None:
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await call


@asynccontextmanager
async def calling(
    address: str, count: int, work: Callable[[Caller, int], Awaitable[None]]
) -> AsyncGenerator[Tally]:
    """So many callers that each do ``work`` over and over while the block runs."""
    tally, over = Tally(), asyncio.Event()

    async def repeat(number: int) -> None:
        caller = Caller(address, tally)
        while not over.is_set():
            await work(caller, number)
        await caller.close()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(repeat(number))
        try:
            yield tally
        finally:
            over.set()
