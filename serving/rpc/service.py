"""The remote procedures of the Open Inference Protocol, each from bytes to bytes.

They know nothing of what carries the bytes: a transport looks a method up by its path, hands it a
message and a ``Call``, and turns a ``RequestError`` into its status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message

from ..engine.session import TensorSpec
from ..pb import open_inference_grpc_pb2 as pb
from ..plane import NAME, Plane
from .messages import InferRequest, write_response
from .protocol import path
from .wire import Malformed

TensorMetadata = pb.ModelMetadataResponse.TensorMetadata
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Call:
    """What a transport knows of a call; ``deadline`` is on the clock of ``time.monotonic``."""

    deadline: float | None = None


Method: TypeAlias = Callable[[bytes, Call], Awaitable[bytes]]


def methods(plane: Plane) -> Mapping[str, Method]:
    """Every method by its path. They raise ``RequestError``; others are the server's fault."""
    service = _Service(plane)
    named: Mapping[str, Method] = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ModelReady": service.model_ready,
        "ServerMetadata": service.server_metadata,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
    }
    return {path(name): method for name, method in named.items()}


class _Service:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def server_live(self, message: bytes, call: Call) -> bytes:
        _parsed(pb.ServerLiveRequest, message)
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, message: bytes, call: Call) -> bytes:
        _parsed(pb.ServerReadyRequest, message)
        return pb.ServerReadyResponse(ready=self._plane.ready).SerializeToString()

    async def model_ready(self, message: bytes, call: Call) -> bytes:
        request = _parsed(pb.ModelReadyRequest, message)
        ready = self._plane.model_ready(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready).SerializeToString()

    async def server_metadata(self, message: bytes, call: Call) -> bytes:
        _parsed(pb.ServerMetadataRequest, message)
        response = pb.ServerMetadataResponse(name=NAME, version=self._plane.version)
        return response.SerializeToString()

    async def model_metadata(self, message: bytes, call: Call) -> bytes:
        request = _parsed(pb.ModelMetadataRequest, message)
        found = self._plane.metadata(request.name, request.version)
        return pb.ModelMetadataResponse(
            name=found.name,
            versions=found.versions,
            platform=found.platform,
            inputs=_tensors(found.inputs),
            outputs=_tensors(found.outputs),
        ).SerializeToString()

    async def model_infer(self, message: bytes, call: Call) -> bytes:
        request = InferRequest.read(message)
        answer = await self._plane.infer(request, call.deadline)
        return write_response(answer, request.head.id)


def _tensors(specs: Sequence[TensorSpec]) -> list[TensorMetadata]:
    return [
        TensorMetadata(name=spec.name, datatype=spec.datatype.name, shape=spec.sizes)
        for spec in specs
    ]


def _parsed(kind: type[M], message: bytes) -> M:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise Malformed(f"the message is no {kind.__name__}") from None
