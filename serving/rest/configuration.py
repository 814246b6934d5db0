"""How a model is served, as JSON; the names are those of Triton's model configuration."""

from __future__ import annotations

from google.protobuf.json_format import MessageToDict
from pydantic import ConfigDict

from ..plane import Served
from ..rpc.model_config import model_config
from .schema import Message


class Part(Message):
    """Read out of the gRPC message, whose JSON has long integers as strings."""

    model_config = ConfigDict(strict=False)


class ConfiguredTensor(Part):
    """An input or output; its sizes stand without the batch where there is one."""

    name: str
    data_type: str
    dims: list[int]


class InstanceGroup(Part):
    """What runs a model."""

    name: str
    count: int
    """Threads that run batches side by side."""
    kind: str
    gpus: list[int]


class QueuePolicy(Part):
    """How many requests wait, and how long those may that do not say."""

    max_queue_size: int
    default_timeout_microseconds: int


class DynamicBatching(Part):
    """How requests are gathered."""

    max_queue_delay_microseconds: int
    default_priority_level: int
    default_queue_policy: QueuePolicy


class ResponseCache(Part):
    """Whether answers are kept."""

    enable: bool


class Parameter(Part):
    """What Triton has no field for."""

    string_value: str


class ModelConfig(Part):
    """How a model is served."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    """0: requests share no run."""
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]
    instance_group: list[InstanceGroup]
    dynamic_batching: DynamicBatching | None = None
    parameters: dict[str, Parameter]
    response_cache: ResponseCache | None = None


def configured(served: Served) -> ModelConfig:
    """The message that gRPC has too."""
    return ModelConfig.model_validate(
        MessageToDict(
            model_config(served),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
    )
