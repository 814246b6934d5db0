"""Every JSON message of the protocol over HTTP, as clients send it and as they are answered.

The names of the fields are the protocol's and Triton's; the OpenAPI document is made of these.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel

Parameters: TypeAlias = dict[str, Any]
Datatype: TypeAlias = Annotated[str, Field(examples=["FP32"])]
Elements: TypeAlias = Annotated[
    list[Any],
    Field(
        description="In one flat list, row by row, or nested like the shape. Numbers may be NaN, "
        "Infinity and -Infinity, as Python and Triton write them. FP16 and BF16 go as binary data."
    ),
]


class Message(BaseModel):
    """One JSON object; what it has besides is ignored."""

    model_config = ConfigDict(
        strict=True, frozen=True, ser_json_inf_nan="constants", use_attribute_docstrings=True
    )


class Failure(Message):
    """Why there is no other answer."""

    error: str


class Live(Message):
    """Whether the server runs."""

    live: bool


class Ready(Message):
    """Whether the server, or a model, can be asked."""

    ready: bool


class ServerMetadata(Message):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Message):
    """An input, an output or a layer; a size of -1 is open."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(Message):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    """Those that can be asked."""
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RequestInput(Message):
    """An input; its elements are ``data``, or binary data, or lie in shared memory."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters = {}
    """``binary_data_size``: so many bytes of what follows the JSON are its elements."""
    data: Elements | None = None


class RequestOutput(Message):
    """An output, or a layer, that is asked for."""

    name: str
    parameters: Parameters = {}
    """``binary_data``: whether it is wanted as binary data; ``classification``: as how many of its
    best classes."""


class InferRequest(Message):
    """A request for inference. Binary data follow it in the order of the inputs."""

    id: str | None = None
    """Comes back with the answer."""
    parameters: Parameters = {}
    """``binary_data_output``: whether outputs are wanted as binary data; ``priority``: 1 is the
    highest; ``timeout``: in microseconds."""
    inputs: list[RequestInput]
    outputs: list[RequestOutput] = []
    """None: all that the model declares."""


class ResponseOutput(Message):
    """An output; its elements are ``data``, or binary data, or lie in shared memory."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    """``binary_data_size``: so many bytes of what follows the JSON are its elements."""
    data: Elements | None = None


class InferResponse(Message):
    """An answer. Binary data follow it in the order of the outputs."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


class IndexRequest(Message):
    """What of the repositories is asked for."""

    ready: bool = False
    """Only what can be asked."""


class ModelIndex(Message):
    """A version in the repositories: READY, LOADING, UNAVAILABLE or UNLOADING, and why."""

    name: str
    version: str
    state: str
    reason: str


class RepositoryIndex(RootModel[list[ModelIndex]]):
    """What the repositories hold."""


class ControlRequest(Message):
    """How to load or unload a model."""

    parameters: Parameters = {}
    """``config``, for loading: the model's config.json as a string."""


class Done(Message):
    """It was done."""


class Region(Message):
    """A registered region of shared memory."""

    name: str
    key: str
    offset: int
    byte_size: int


class Regions(RootModel[list[Region]]):
    """The registered regions of shared memory."""


class RegisterRequest(Message):
    """What to register: ``byte_size`` bytes of the shared memory ``key``, from ``offset`` on."""

    key: str
    offset: int = 0
    byte_size: int
