"""A functional model of Keras as it is written: layers, their calls, and their configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....runtime.check import Array

LAYERS = "keras.layers"
OPERATIONS = "keras.src.ops."
"""Where Keras has the classes of its operations: they have no public names."""


@dataclass(eq=False)
class KerasLayer:
    """A layer, or an operation, of the model.

    ``arrays`` are its weights by name, in the order in which Keras counts them; ``calls`` are the
    arguments of each call.
    """

    kind: str
    module: str
    name: str
    config: Mapping[str, Any]
    arrays: Mapping[str, Array] = field(default_factory=dict[str, Array])
    inside: str = ""
    """The object inside the layer whose weights they are: the cell of a recurrent layer."""
    calls: list[Arguments] = field(default_factory=list["Arguments"])

    @property
    def is_layer(self) -> bool:
        """Whether it is one of the model's layers, as Keras counts them."""
        return self.module == LAYERS


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Output ``number`` of call ``call`` of a layer."""

    layer: KerasLayer
    call: int = 0
    number: int = 0
    shape: Sequence[int | None] = ()
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a layer is called with: ``Output``, arrays, plain values, and lists of these."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @property
    def outputs(self) -> list[Output]:
        """All tensors among them, in the order in which Keras looks through them."""
        return [*_leaves(self.args), *_leaves(self.kwargs)]


def _leaves(value: Any) -> Iterator[Output]:
    if isinstance(value, Output):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value):  # so does optree
            yield from _leaves(value[key])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)


@dataclass(frozen=True)
class KerasModel:
    """A functional model; ``layers`` in the order in which Keras will have them."""

    name: str
    layers: Sequence[KerasLayer]
    inputs: Sequence[Output]
    outputs: Sequence[Output]

    def to_config(self) -> dict[str, Any]:
        """The configuration, which JSON can have."""
        return {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": self.name,
                "trainable": True,
                "layers": [_layer(layer) for layer in self.layers],
                "input_layers": [_place(output) for output in self.inputs],
                "output_layers": [_place(output) for output in self.outputs],
            },
            "registered_name": "Functional",
        }


def _layer(layer: KerasLayer) -> dict[str, Any]:
    calls = [] if layer.kind == "InputLayer" else [_called(call) for call in layer.calls]
    return {
        "module": layer.module,
        "class_name": layer.kind,
        "config": {"name": layer.name, **written(layer.config)},
        "registered_name": None if layer.is_layer else layer.kind,
        "name": layer.name,
        "inbound_nodes": calls,
    }


def _called(call: Arguments) -> dict[str, Any]:
    return {"args": [written(one) for one in call.args], "kwargs": written(call.kwargs)}


def _place(output: Output) -> list[Any]:
    return [output.layer.name, output.call, output.number]


def written(value: Any) -> Any:
    """A value as Keras 3 has it in JSON (``serialization_lib.serialize_keras_object``)."""
    match value:
        case Output():
            config = {
                "shape": list(value.shape),
                "dtype": value.dtype,
                "keras_history": _place(value),
            }
            return {"class_name": "__keras_tensor__", "config": config}
        case np.ndarray():
            config = {"value": value.tolist(), "dtype": value.dtype.name}
            return {"class_name": "__numpy__", "config": config}
        case slice():
            parts = {"start": value.start, "stop": value.stop, "step": value.step}
            return {"class_name": "__slice__", "config": parts}
        case tuple() | list():
            return [written(one) for one in value]
        case dict():
            return {key: written(one) for key, one in value.items()}
        case _:
            return value
