"""Triton's ``config.pbtxt``: the fields that mean something here; the others are named.

https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ...runtime.errors import RepositoryError, Unsupported, problem
from ...runtime.repository import ModelConfig
from ...runtime.versions import Latest, VersionPolicy
from ..engine.session import TensorSpec
from . import textproto

CONFIG = "config.pbtxt"
ONNX = ("", "onnxruntime_onnx", "onnxruntime")
DATATYPES = {"STRING": "BYTES"}  # the protocol's names of what Triton calls otherwise
PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "KIND_CPU": ("cpu",),
    "KIND_GPU": ("cuda", "cpu"),
}


def _last(found: Any) -> Any:
    """Of a field that is no list: as in protobuf, the last value counts."""
    return found[-1] if isinstance(found, list) and found else found


Text: TypeAlias = Annotated[str, BeforeValidator(_last)]
Number: TypeAlias = Annotated[int, BeforeValidator(_last)]


class _Message(BaseModel):
    """Takes protobuf's JSON too, names in either case; what it does not know is kept aside."""

    model_config = ConfigDict(
        extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class _Tensor(_Message):
    name: Text = ""
    data_type: Text = ""
    dims: tuple[int, ...] = ()


class _QueuePolicy(_Message):
    max_queue_size: Number = 0
    default_timeout_microseconds: Number = 0


class _Batching(_Message):
    max_queue_delay_microseconds: Number = 0
    default_priority_level: Number = 0
    default_queue_policy: Annotated[_QueuePolicy | None, BeforeValidator(_last)] = None


class _Group(_Message):
    count: Number = 1
    kind: Text = "KIND_AUTO"
    gpus: tuple[int, ...] = ()


class _Newest(_Message):
    num_versions: Number = 1


class _Named(_Message):
    versions: tuple[int, ...] = ()


class _Policy(_Message):
    latest: Annotated[_Newest | None, BeforeValidator(_last)] = None
    all: Annotated[_Message | None, BeforeValidator(_last)] = None
    specific: Annotated[_Named | None, BeforeValidator(_last)] = None


class _Config(_Message):
    name: Text = ""
    platform: Text = ""
    backend: Text = ""
    default_model_filename: Text = ""
    max_batch_size: Annotated[int | None, Field(ge=0), BeforeValidator(_last)] = None
    input: tuple[_Tensor, ...] = ()
    output: tuple[_Tensor, ...] = ()
    dynamic_batching: Annotated[_Batching | None, BeforeValidator(_last)] = None
    instance_group: tuple[_Group, ...] = ()
    version_policy: Annotated[_Policy | None, BeforeValidator(_last)] = None


@dataclass(frozen=True, slots=True)
class Declared:
    """What a Triton configuration says of a model.

    Attributes:
        config: how to serve it.
        inputs, outputs: what it is said to have, as far as it says.
        file: the graph's name; empty: not told.
        ignored: the fields that have no meaning here.
    """

    config: ModelConfig
    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    outputs: Mapping[str, tuple[str, tuple[int, ...]]]
    file: str
    ignored: Sequence[str]

    def hold_against(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Sees that the model has what was declared.

        Raises:
            RepositoryError: it has not.
        """
        for kind, declared, specs in (
            ("input", self.inputs, inputs),
            ("output", self.outputs, outputs),
        ):
            found = {spec.name: (spec.datatype.name, tuple(spec.sizes)) for spec in specs}
            for name, tensor in declared.items():
                if name not in found:
                    raise RepositoryError(
                        f"{CONFIG}: {kind} {name!r}: the model has {', '.join(found)}"
                    )
                if not _agree(tensor, found[name]):
                    raise RepositoryError(
                        f"{CONFIG}: {kind} {name!r} is declared as {_shown(tensor)}, "
                        f"the model has {_shown(found[name])}"
                    )


def read(text: bytes, name: str, what: str) -> Declared:
    """Reads the ``config.pbtxt`` of model ``name``; messages begin with ``what``.

    Raises:
        UnreadableFile: no protobuf text.
        RepositoryError: a field that makes no sense, or another model's name.
        Unsupported: the model is no ONNX model.
    """
    return of_fields(textproto.read(text.decode(errors="replace"), what), name, what)


def of_fields(fields: Mapping[str, Any], name: str, what: str) -> Declared:
    """Reads such a configuration from its fields; raises as ``read``."""
    try:
        found = _Config.model_validate(fields)
        config = ModelConfig.model_validate(dict(_options(found)))
    except ValidationError as error:
        raise RepositoryError(f"{what}: {problem(error)}") from None
    if found.name not in ("", name):
        raise RepositoryError(f"{what}: name {found.name!r}: the model's folder is {name!r}")
    for field, kind in (("platform", found.platform), ("backend", found.backend)):
        if kind not in ONNX:
            raise Unsupported(f"{what}: {field} {kind!r}: only ONNX models are served")
    return Declared(
        config,
        dict(_declared(found.input, found.max_batch_size)),
        dict(_declared(found.output, found.max_batch_size)),
        found.default_model_filename,
        sorted(set(_ignored(found, ""))),
    )


def _options(found: _Config) -> Iterator[tuple[str, object]]:
    if found.max_batch_size is not None:
        yield "max_batch", found.max_batch_size or 1
    if found.dynamic_batching:
        yield from _queueing(found.dynamic_batching)
    if found.instance_group:
        yield "runners", sum(group.count for group in found.instance_group)
        if providers := PROVIDERS.get(found.instance_group[0].kind):
            yield "providers", providers
        yield "devices", [number for group in found.instance_group for number in group.gpus]
    if found.version_policy:
        yield "version_policy", _policy(found.version_policy)


def _queueing(found: _Batching) -> Iterator[tuple[str, object]]:
    yield "queue_delay_ms", found.max_queue_delay_microseconds / 1000
    if found.default_priority_level:
        yield "default_priority", found.default_priority_level
    if policy := found.default_queue_policy:
        if policy.max_queue_size:
            yield "max_queue", policy.max_queue_size
        if policy.default_timeout_microseconds:
            yield "timeout_ms", policy.default_timeout_microseconds / 1000


def _policy(found: _Policy) -> VersionPolicy:
    if found.all is not None:
        return "all"
    if found.specific is not None:
        return found.specific.versions
    return Latest(latest=found.latest.num_versions if found.latest else 1)


def _declared(
    tensors: Sequence[_Tensor], max_batch: int | None
) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Each tensor as the graph has it: where requests are batched the first axis is not told."""
    for tensor in tensors:
        datatype = tensor.data_type.removeprefix("TYPE_")
        batch = (-1,) if max_batch else ()
        yield tensor.name, (DATATYPES.get(datatype, datatype), (*batch, *tensor.dims))


def _agree(declared: tuple[str, tuple[int, ...]], found: tuple[str, tuple[int, ...]]) -> bool:
    """An open axis agrees with any, and what is not told with all."""
    (datatype, dims), (actual, sizes) = declared, found
    same = len(dims) == len(sizes) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(dims, sizes, strict=True)
    )
    return datatype in ("", actual) and (same or not dims)


def _shown(tensor: tuple[str, tuple[int, ...]]) -> str:
    return f"{tensor[0]} {list(tensor[1])}"


def _ignored(message: _Message, prefix: str) -> Iterator[str]:
    for field in message.model_extra or ():
        yield prefix + field
    for field, value in message:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, _Message):
                yield from _ignored(part, f"{prefix}{field}.")
