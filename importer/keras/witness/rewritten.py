"""A model as we rewrote it, run by real Keras 3: wiring, options and arrays are of our reading.

Run as a program, as ``oracle`` is, with what names the model as a JSON object in the place of its
path. Models inside others are laid open: their layers are called one by one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ....runtime.check import Array
from ....runtime.errors import Unsupported
from ...cage import in_a_cage
from ...source import ModelSource
from ..arrays import Arrays, Shelf
from ..build import in_order, shelf_inside, shelf_of
from ..file import read_file
from ..layer import NEUTRAL
from ..origin import Origin
from ..wiring import Call, Constant, LayerFacts, Ref, Wiring, read_wiring
from .oracle import Witnessed, flat, read_arrays
from .rewritten_layers import RECURRENT, FindArrays, Maker, assign
from .vanished import MERGES

OPERATIONS = ("core", "image", "linalg", "math", "nn", "numpy")
"""The modules with the operations that a functional model may have for layers."""


def main(source: str, inputs: str, answer: str, options: str = "{}") -> int:
    """What the process does; an error is one line."""
    return in_a_cage(
        lambda: run_rewritten(json.loads(source), inputs, answer, **json.loads(options))
    )


def run_rewritten(
    source: Mapping[str, Any], inputs: str, answer: str, layers: Sequence[str] | None = None
) -> None:
    """Runs the model and writes a reference.

    Raises:
        Unsupported: what Keras 3 cannot express, by name.
    """
    keras: Any = import_module("keras")
    weights = source["weights"] and Path(source["weights"])
    options = (source[key] for key in ("architecture", "keras1_backend"))
    file = read_file(ModelSource(Path(source["path"]), weights, *options))
    arrays = read_arrays(Path(inputs))
    wiring = read_wiring(file.architecture)
    origin = Origin(file.keras_version, file.backend, file.weights.keras_version)
    model = Rewritten(keras, origin)
    given = [_input(keras, array) for array in arrays.values()]
    shelf = shelf_of(file, wiring)
    results = model.call(wiring, shelf, given)
    ends = flat_refs(wiring, results)
    kept = {n: t for n, t in model.tensors.items() if layers is None or n in layers}
    values = list(arrays.values())
    stateful = model.stateful if model.is_repeatable else ()
    Witnessed(keras, values, kept, {}, ends, given, stateful).write(Path(answer), arrays)


def _input(keras: Any, array: Array) -> Any:
    return keras.Input(batch_shape=array.shape, dtype=str(array.dtype))


def flat_refs(wiring: Wiring, values: Mapping[Ref, Any]) -> list[Any]:
    """The outputs of a model in the order of the file."""
    return [values[ref] for ref in wiring.output_refs]


class Rewritten:
    """A model as it is called in real Keras; every layer's output is kept by its name."""

    def __init__(self, keras: Any, origin: Origin) -> None:
        self.tensors: dict[str, Any] = {}
        self.stateful: list[Any] = []
        self.is_repeatable = True
        """Whether its second call is that of the file: Keras 2 heeds given states only at first."""
        self._keras, self._origin = keras, origin
        self._maker = Maker(keras, origin, self._model)
        self._layers: dict[str, Any] = {}

    def call(
        self, wiring: Wiring, shelf: Shelf, inputs: Sequence[Any], path: str = "", title: str = ""
    ) -> dict[Ref, Any]:
        """The value of every call of every layer of a model, by its output.

        ``path`` and ``title`` name the layer, and the call of it, that the model is.
        """
        values: dict[Ref, Any] = {
            Ref(name): value for name, value in zip(wiring.inputs, inputs, strict=True)
        }
        self.tensors |= {_below(title, ref.title): value for ref, value in values.items()}
        for ref, facts, call in in_order(wiring):
            arguments = call.map(values.__getitem__)
            own, name = _below(path, facts.name), _below(title, ref.title)
            result = self._called(facts, arguments, own, name, shelf)
            for number, value in enumerate(flat(result)):
                values[Ref(ref.layer, ref.call, number)] = value
                self.tensors[f"{name}#{number}" if number else name] = value
        return values

    def _called(self, facts: LayerFacts, call: Call, path: str, title: str, shelf: Shelf) -> Any:
        if facts.is_model:
            wiring = read_wiring({"class_name": facts.kind, "config": facts.config})
            inner = shelf_inside(shelf.arrays(facts.name), wiring)
            return flat_refs(wiring, self.call(wiring, inner, _tensors(call), path, title))
        try:
            return self._result(facts, call, path, shelf)
        except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
            said = str(error).strip().splitlines()
            raise Unsupported(f"layer {path!r}: Keras 3 says {' '.join(said[:1])}") from None

    def _result(self, facts: LayerFacts, call: Call, path: str, shelf: Shelf) -> Any:
        kind, find = facts.kind, self._find(facts, shelf)
        is_new = path not in self._layers
        if is_new:
            self._layers[path] = (
                self._operation(facts)
                if facts.is_operation
                else self._maker.layer(kind, facts.config, find)
            )
        layer = self._layers[path]
        args, kwargs = _arguments(self._keras, facts.key, call)
        if "initial_state" in kwargs and self._origin.generation < 3:  # today the mask must be said
            kwargs.setdefault("mask", getattr(args[0], "_keras_mask", None))
        result = layer(*args, **kwargs)
        if is_new:
            if getattr(layer, "weights", None):
                assign(self._maker, layer, kind, find())
            if getattr(layer, "stateful", False):
                self.stateful.append(layer)
                self.is_repeatable &= "initial_state" not in kwargs or self._origin.generation > 2
        return result

    def _operation(self, facts: LayerFacts) -> Any:
        """One of ``keras.ops``, which our reader knows by its class."""
        modules = [import_module(f"keras.src.ops.{family}") for family in OPERATIONS]
        found = next(
            (getattr(one, facts.kind) for one in modules if hasattr(one, facts.kind)), None
        )
        if found is None:
            raise Unsupported(f"Keras 3 has no operation {facts.kind}")
        options = {
            key: value for key, value in facts.config.items() if key not in ("dtype", "name")
        }
        return found(**options)

    def _find(self, facts: LayerFacts, shelf: Shelf) -> FindArrays:
        found: list[Arrays] = []

        def arrays() -> Arrays:
            if not found:
                stored = shelf.arrays(facts.name)
                found.append(self._origin.in_keras_2(facts.kind, facts.config, stored))
            return found[0]

        return arrays

    def _model(self, kind: str, config: Any, arrays: FindArrays) -> Any:
        """A model that a wrapper holds, as one object of real Keras."""
        wiring = read_wiring({"class_name": kind, "config": config})
        facts = {layer.name: layer.config for layer in wiring.layers}
        shapes = [
            facts[name].get("batch_shape") or facts[name]["batch_input_shape"]
            for name in wiring.inputs
        ]
        inputs = [self._keras.Input(batch_shape=shape) for shape in shapes]
        inner = Rewritten(self._keras, self._origin)
        values = inner.call(wiring, shelf_inside(arrays(), wiring), inputs)
        ends = flat_refs(wiring, values)
        return self._keras.Model(inputs, ends[0] if len(ends) == 1 else ends)


def _below(outer: str, name: str) -> str:
    return f"{outer}/{name}" if outer else name


def _tensors(call: Call) -> list[Any]:
    found = flat([list(call.args), dict(call.kwargs)])
    return [one for one in found if hasattr(one, "_keras_history")]


def _arguments(keras: Any, kind: str, call: Call) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as Keras 3 takes them."""

    def constant(value: Any) -> Any:
        if isinstance(value, Constant):
            return keras.ops.convert_to_tensor(value.value, value.dtype)
        return value

    args = [constant(arg) for arg in call.args]
    kwargs = {
        option: constant(value)
        for option, value in call.kwargs.items()
        if not (isinstance(value, bool | None) and value in NEUTRAL.get(option, ()))
    }
    first = args[0] if args else None
    if isinstance(first, list) and kind in (*RECURRENT, "RNN", "ConvLSTM2D", "Bidirectional"):
        args[0], *states = first
        kwargs["initial_state"] = states
    if kind in (*MERGES, "Merge") and not isinstance(first, list):
        args[0] = [first]
    return args, kwargs


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
