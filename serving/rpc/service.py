"""The remote procedures of the Open Inference Protocol, each from bytes to bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import suppress

from ..engine.session import TensorSpec
from ..errors import InvalidArgument, told
from ..logs import note, of_stream
from ..pb import open_inference_extensions_pb2 as extensions_pb
from ..pb import open_inference_grpc_pb2 as pb
from ..plane import NAME, Plane
from .call import Call, Method, Stream
from .extensions import extensions
from .messages import InferRequest
from .parsing import parsed
from .protocol import path
from .stream import in_order
from .wire import delimited

TensorMetadata = pb.ModelMetadataResponse.TensorMetadata
LAYERS = "cortex-layers"
"""The metadata of a call by which a client asks for layers among the outputs of a model."""
STREAMED = extensions_pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER
FINAL = pb.ModelInferResponse(
    parameters={"triton_final_response": pb.InferParameter(bool_param=True)}
).SerializeToString()
"""Behind a response in its bytes: one request has one response here, and clients may wait for it
to be called the last."""


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
    return {**{path(name): method for name, method in named.items()}, **extensions(plane)}


def streams(plane: Plane) -> Mapping[str, Stream]:
    """Every method of streams by its path."""
    return {path("ModelStreamInfer"): _Service(plane).model_stream_infer}


class _Service:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def server_live(self, message: bytes, call: Call) -> bytes:
        parsed(pb.ServerLiveRequest, message)
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, message: bytes, call: Call) -> bytes:
        parsed(pb.ServerReadyRequest, message)
        return pb.ServerReadyResponse(ready=self._plane.ready).SerializeToString()

    async def model_ready(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.ModelReadyRequest, message)
        ready = self._plane.model_ready(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready).SerializeToString()

    async def server_metadata(self, message: bytes, call: Call) -> bytes:
        parsed(pb.ServerMetadataRequest, message)
        return pb.ServerMetadataResponse(
            name=NAME, version=self._plane.version, extensions=self._plane.extensions
        ).SerializeToString()

    async def model_metadata(self, message: bytes, call: Call) -> bytes:
        request = parsed(pb.ModelMetadataRequest, message)
        layers = call.says(LAYERS)
        found = await self._plane.metadata(request.name, request.version, layers)
        return pb.ModelMetadataResponse(
            name=found.name,
            versions=found.versions,
            platform=found.platform,
            inputs=_tensors(found.inputs),
            outputs=_tensors(found.outputs),
        ).SerializeToString()

    async def model_infer(self, message: bytes, call: Call) -> bytes:
        request = InferRequest.read(message, self._plane.regions)
        if request.head.id:
            note(id=request.head.id)
        answer = await self._plane.infer(request, call.deadline, call.metadata)
        if request.slow(answer):
            return await asyncio.to_thread(request.answered, answer)
        return request.answered(answer)

    def model_stream_infer(
        self, messages: AsyncIterable[bytes], call: Call
    ) -> AsyncGenerator[bytes]:
        async def answer(message: bytes) -> bytes:
            with of_stream() as line:
                try:
                    response = await self.model_infer(message, call)
                except Exception as error:
                    failure = told(error)
                    line.code = failure.code
                    return _failed(message, failure.message)
            return b"".join(delimited(STREAMED, response + FINAL))

        return in_order(messages, answer)


def _failed(message: bytes, error: str) -> bytes:
    """The answer on a stream to a request that has none."""
    response = extensions_pb.ModelStreamInferResponse(error_message=error)
    with suppress(InvalidArgument):
        response.infer_response.id = InferRequest.read(message).head.id
    return response.SerializeToString()


def _tensors(specs: Sequence[TensorSpec]) -> list[TensorMetadata]:
    return [
        TensorMetadata(name=spec.name, datatype=spec.datatype.name, shape=spec.sizes)
        for spec in specs
    ]
