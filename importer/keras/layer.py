"""What a converter sees: a layer that remembers what was read of it, and a graph to add to.

Nothing the file says is ignored in silence. An option is read, or inert by name, or inert at a
neutral value, or an error; an array is read, or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.ir import Node, node_parameters, output_types
from ...runtime.op import Operation
from ...runtime.tensor import Tensor
from ..deferred import Deferred
from .wiring import LayerFacts

INERT = frozenset(
    {
        "batch_input_shape", "batch_shape", "build_config", "fused", "input_dim", "input_dtype",
        "input_length", "input_shape", "name", "optional", "renorm_clipping", "renorm_momentum",
        "seed", "synchronized", "trainable", "virtual_batch_size",
    }
)  # fmt: skip
"""Options that never change what a layer computes at inference."""

INERT_ENDINGS = ("_constraint", "_initializer", "_regularizer")
"""Endings of such options; what they hold may be anything, code that was never read included."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "data_format": (None, "channels_last", "default"),
    "groups": (1,),
    "lora_alpha": (None,),
    "lora_rank": (None,),
    "mask": (None,),
    "mask_zero": (False,),
    "quantization_config": (None,),
    "ragged": (False,),
    "renorm": (False,),
    "sparse": (False,),
    "training": (None, False),
}
"""Options, of layers and of calls, that change nothing at these values."""

FLOATS = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
REQUIRED: Any = object()

Convert = Callable[..., str]
CONVERTERS: dict[str, Convert] = {}
"""The converter of each Keras class."""


def keras(*kinds: str) -> Callable[[Convert], Convert]:
    """Registers a converter for Keras classes.

    It is a function of a ``Layer`` and the values of its inputs; it adds nodes and returns the
    value of the output.

    Raises:
        ValueError: a class that has one.
    """

    def register(convert: Convert) -> Convert:
        for kind in kinds:
            if kind in CONVERTERS:
                raise ValueError(f"Keras {kind} has two converters")
            CONVERTERS[kind] = convert
        return convert

    return register


@dataclass
class Builder:
    """The graph as it grows."""

    nodes: list[Node] = field(default_factory=list[Node])
    types: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    parameters: dict[str, Deferred] = field(default_factory=dict[str, Deferred])

    def add(self, node: Node) -> None:
        """Adds a node and learns the types of its outputs.

        Raises:
            GraphError: it does not fit its inputs.
        """
        self.types.update(output_types(node, self.types))
        node_parameters(node, self.types)
        self.nodes.append(node)


class Layer:
    """One call of a Keras layer, for its converter.

    Raises:
        Unsupported: from every method, naming the layer and what is in the way.
    """

    def __init__(
        self,
        facts: LayerFacts,
        call: str,
        arrays: Mapping[str, Deferred],
        builder: Builder,
        generation: int,
        backend: str,
    ) -> None:
        self.name, self.kind, self.generation, self.backend = (
            facts.name, facts.kind, generation, backend,
        )  # fmt: skip
        self._call, self._config, self._arrays, self._builder = call, facts.config, arrays, builder
        self._read: set[str] = set()
        self._taken: set[str] = set()

    @property
    def title(self) -> str:
        """The layer as an error names it."""
        return f"Keras {self.kind} {self.name!r}"

    def __getitem__(self, option: str) -> Any:
        return self.get(option, REQUIRED)

    def get(self, option: str, default: Any) -> Any:
        """An option; ``default`` where the file does not say, as older versions of Keras."""
        self._read.add(option)
        value = self._config.get(option, default)
        if value is REQUIRED:
            raise UnreadableFile(f"{self.title}: its option {option!r} is missing")
        return value

    def either(self, *options: str) -> Any:
        """An option that had several names in its life."""
        return self[next((option for option in options if option in self._config), options[0])]

    def rank(self, value: str) -> int:
        """Number of axes of a value, the batch included."""
        return self._builder.types[value].rank

    def take(self, *names: str, **renamed: str) -> dict[str, Deferred]:
        """Arrays of the layer, by the operation's names.

        ``kernel="depthwise_kernel"`` takes one that is stored under another name.
        """
        wanted = {**{name: name for name in names}, **renamed}
        for stored in wanted.values():
            if stored not in self._arrays:
                raise UnreadableFile(
                    f"{self.title}: its array {stored!r} is missing; "
                    f"stored are {', '.join(self._arrays) or 'none'}"
                )
            self._taken.add(stored)
        return {ours: self._arrays[stored] for ours, stored in wanted.items()}

    def has(self, name: str) -> bool:
        """Whether the file stores an array of that name."""
        return name in self._arrays

    def add(self, op: Operation, *inputs: str, **arrays: Deferred) -> str:
        """Adds an operation; returns the value of its first output."""
        builder = self._builder
        name = self._free_name(f"{self._call}/{op.kind}")
        # A later call of a shared layer finds its parameters under the same names.
        params = {local: f"{self.name}/{array.name}" for local, array in arrays.items()}
        node = Node(name, op, inputs, params, self.name)
        self._check_arrays(op, inputs, arrays)
        builder.parameters.update({params[local]: array for local, array in arrays.items()})
        builder.add(node)
        return name

    def _free_name(self, name: str) -> str:
        number = 1
        while (free := name if number == 1 else f"{name}.{number}") in self._builder.types:
            number += 1
        return free

    def refuse(self, option: str, value: Any) -> Unsupported:
        """The error for an option that is understood but not supported."""
        return Unsupported(f"{self.title}: {option} {value!r} is not supported")

    def finish(self, call_options: Mapping[str, Any]) -> None:
        """After the converter: whatever was not read must be known to change nothing."""
        self._check_dtype()
        for option, value in {**self._config, **call_options}.items():
            known = option in self._read or option in INERT or option.endswith(INERT_ENDINGS)
            if known or value in NEUTRAL.get(option, ()):
                continue
            raise Unsupported(f"{self.title}: it sets {option}={value!r}, which would be lost")
        if left := [name for name in self._arrays if name not in self._taken]:
            raise Unsupported(f"{self.title}: its array {left[0]!r} would be lost")

    def _check_arrays(
        self, op: Operation, inputs: tuple[str, ...], arrays: Mapping[str, Deferred]
    ) -> None:
        try:
            wanted = op.params(*(self._builder.types[name] for name in inputs))
        except (ValueError, TypeError, IndexError):
            return  # the graph says it better
        for local, param in wanted.items():
            if local in arrays and arrays[local].shape != param.shape:
                raise UnreadableFile(
                    f"{self.title}: its {local} has the shape {arrays[local].shape}, "
                    f"its options ask for {param.shape}"
                )

    def _check_dtype(self) -> None:
        self._read.add("dtype")
        dtype = self._config.get("dtype", "float32")
        if isinstance(dtype, dict):  # a policy
            dtype = (dtype.get("config") or {}).get("name")
        if dtype not in (None, *FLOATS, "int32", "int64"):
            raise self.refuse("dtype", dtype)
