"""Reflection: what the server tells of its services and messages, from bytes to bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from grpc_reflection.v1alpha import reflection, reflection_pb2

from .call import Call, Stream
from .descriptions import descriptions
from .parsing import parsed

NAME = reflection.SERVICE_NAME
INFO = f"/{NAME}/ServerReflectionInfo"


def reflecting(services: Sequence[str]) -> Mapping[str, Stream]:
    """The method, by its path, that tells of ``services`` and of itself."""
    servicer: Any = reflection.aio.ReflectionServicer((*services, NAME), pool=descriptions())

    async def answer(messages: AsyncIterable[bytes], call: Call) -> AsyncGenerator[bytes]:
        async def requests() -> AsyncGenerator[Any]:
            async for message in messages:
                yield parsed(reflection_pb2.ServerReflectionRequest, message)

        async with aclosing(servicer.ServerReflectionInfo(requests(), None)) as answers:
            async for each in answers:
                yield each.SerializeToString()

    return {INFO: answer}
