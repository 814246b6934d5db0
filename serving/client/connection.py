"""A client of the Open Inference Protocol over gRPC, as small as ``cortex-predict`` needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message
from pydantic import TypeAdapter, ValidationError

from ...runtime.errors import problem
from ...runtime.preprocessing import Preprocessing
from ..datatypes import BF16, BYTES, DATATYPES, Datatype
from ..errors import InvalidArgument
from ..pb import open_inference_extensions_pb2 as extensions_pb
from ..pb import open_inference_grpc_pb2 as pb
from ..rpc.protocol import LABELS, PREPROCESSING, path
from ..tensors import Array, decode, encode
from .access import OPEN, Access, ServerError

R = TypeVar("R", bound=Message)
LABEL_LIST = TypeAdapter(tuple[str, ...])
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
BY_DTYPE = {datatype.dtype: datatype for datatype in DATATYPES.values() if datatype is not BF16}


class Unserved(ServerError):
    """The server does not have the method."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the server describes it; a size of -1 is open."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inference:
    """What a model answered, and which version of it."""

    model: str
    version: str
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a server tells of a model beside its shapes; a server that is not ours tells nothing."""

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    """What the classes of the first output are called."""


class Client:
    """A connection to ``HOST:PORT``; an answer may take ``timeout`` seconds.

    Raises:
        ServerError: from every method, with the server's own words.
    """

    def __init__(self, target: str, timeout: float = 60.0, access: Access = OPEN) -> None:
        self._target, self._timeout = target, timeout
        self._headers = access.headers
        self._channel = access.channel(target, OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()

    def metadata(self, model: str, version: str = "") -> tuple[list[Tensor], list[Tensor]]:
        """The inputs and outputs of a model."""
        request = pb.ModelMetadataRequest(name=model, version=version)
        found = self._call("ModelMetadata", request.SerializeToString(), pb.ModelMetadataResponse)
        return _tensors(found.inputs), _tensors(found.outputs)

    def advice(self, model: str, version: str = "") -> Advice:
        """What its pictures go through, and what its classes are called, as far as it tells."""
        request = extensions_pb.ModelConfigRequest(name=model, version=version)
        try:
            found = self._call(
                "ModelConfig", request.SerializeToString(), extensions_pb.ModelConfigResponse
            )
        except Unserved:
            return Advice()
        told = found.config.parameters
        how, labels = (told[name].string_value for name in (PREPROCESSING, LABELS))
        try:
            return Advice(
                Preprocessing.model_validate_json(how) if how else None,
                LABEL_LIST.validate_json(labels) if labels else (),
            )
        except ValidationError as error:
            raise ServerError(f"{self._target}: model {model!r}: {problem(error)}") from None

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] = (),
        version: str = "",
    ) -> Inference:
        """Runs a model on arrays by name; it answers with ``outputs``, or with all it declares."""
        message = request(model, inputs, outputs, version)
        response = self._call("ModelInfer", message, pb.ModelInferResponse)
        try:
            return Inference(response.model_name, response.model_version, _arrays(response))
        except (InvalidArgument, KeyError, ValueError) as error:
            raise ServerError(f"{self._target}: a damaged answer: {error}") from None

    def _call(self, method: str, message: bytes, kind: type[R]) -> R:
        try:
            call: Any = self._channel.unary_unary(
                path(method), response_deserializer=kind.FromString
            )
            return call(message, timeout=self._timeout, metadata=self._headers)
        except grpc.RpcError as error:
            at: Any = error  # a call as well, which no type says
            kind_of = Unserved if at.code() is grpc.StatusCode.UNIMPLEMENTED else ServerError
            raise kind_of(f"{self._target}: {at.details() or at.code().name}") from None


def request(
    model: str, inputs: Mapping[str, Array], outputs: Sequence[str] = (), version: str = ""
) -> bytes:
    """A ModelInferRequest that brings its arrays as raw bytes."""
    message = pb.ModelInferRequest(
        model_name=model,
        model_version=version,
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
    )
    for name, array in inputs.items():
        datatype = _datatype(array)
        message.inputs.add(name=name, datatype=datatype.name, shape=array.shape)
        message.raw_input_contents.append(bytes(encode(array, datatype)))
    return message.SerializeToString()


def _datatype(array: Array) -> Datatype:
    return BYTES if array.dtype.kind in "OSU" else BY_DTYPE[array.dtype]


def _tensors(found: Sequence[Any]) -> list[Tensor]:
    return [Tensor(each.name, each.datatype, tuple(each.shape)) for each in found]


def _arrays(response: pb.ModelInferResponse) -> dict[str, Array]:
    pairs = zip(response.outputs, response.raw_output_contents, strict=True)
    return {
        output.name: decode(
            memoryview(raw), DATATYPES[output.datatype], output.shape, f"output {output.name!r}"
        )
        for output, raw in pairs
    }
