"""From the facts of a file to a network: every call of a layer through its converter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ...runtime.errors import CortexError, GraphError, UnreadableFile, Unsupported
from ...runtime.ir import Layer as SourceLayer
from ...runtime.network import Network
from ...runtime.tensor import STRING, Size, Tensor
from .arrays import TREES, Arrays, Shelf, in_tree, listed, of_layers
from .builder import Builder, Value
from .converters import families as families  # registers the converters
from .converters.functions.operand import array_of
from .converters.substitute import NOTHING, Substitutes, is_known, refusal
from .file import KerasFile
from .layer import FLOATS, WHOLE, Layer, Result, dtype_name, keras, with_masks
from .origin import Origin
from .wiring import (
    DEEPEST_MODEL,
    MODELS,
    NONSENSE,
    Call,
    Constant,
    LayerFacts,
    Ref,
    Wiring,
    mapped,
    read_wiring,
)

MOST_CALLS = 100_000
"""Layers called, those inside models each time the model is called: these may multiply."""
OPEN_AXES: Mapping[int, str] = {3: "NT", 4: "NHW", 5: "NDHW"}


def build(file: KerasFile, substitutes: Substitutes = NOTHING) -> Network:
    """The network a file describes; its arrays stay in the file until they are used.

    Raises:
        UnreadableFile: the file contradicts itself.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    builder = Builder(substitute=substitutes.find, substitute_function=substitutes.activation)
    try:
        wiring = read_wiring(file.architecture)
        _check_supported(wiring, substitutes)
        shelf = shelf_of(file, wiring)
        facts = {layer.name: layer for layer in wiring.layers}
        inputs = [
            builder.add_input(name, _input(facts[name], index))
            for index, name in enumerate(wiring.inputs)
        ]
        origin = Origin(file.keras_version, file.backend, file.weights.keras_version)
        model = Model(wiring, shelf, builder, origin)
        results = model.call(inputs)
        shelf.check_empty()
        return builder.network(_outputs(builder, wiring, results))
    except GraphError as error:
        raise UnreadableFile(f"{file.title}: {error}") from None
    except CortexError as error:
        raise type(error)(f"{file.title}: {error}") from None
    except NONSENSE as error:
        raise UnreadableFile(
            f"{file.title}: its architecture cannot be understood: {type(error).__name__} {error}"
        ) from error


class Model:
    """A model being called: the file's, or one that is a layer of another."""

    def __init__(
        self,
        wiring: Wiring,
        shelf: Shelf,
        builder: Builder,
        origin: Origin,
        outer: str = "",
        is_shown: bool = True,
    ) -> None:
        """``outer`` is the path of the layer that the model is, ``is_shown`` as a layer has it."""
        self._wiring, self._shelf, self._builder = wiring, shelf, builder
        self._origin, self._outer, self._is_shown = origin, outer, is_shown

    def call(self, inputs: list[Value], outer_call: str = "") -> Any:
        """Its outputs, in the structure the model has, for these inputs in order."""
        wiring = self._wiring
        if len(inputs) != len(wiring.inputs):
            raise UnreadableFile(
                f"a model of {len(wiring.inputs)} inputs is called on {len(inputs)}"
            )
        values: dict[Ref, Any] = {}
        kinds = {layer.name: layer.kind for layer in wiring.layers}
        for name, value in zip(wiring.inputs, inputs, strict=True):
            values[Ref(name)] = value
            self._record(Ref(name), kinds[name], value, outer_call)
        for ref, facts, call in in_order(wiring):
            found = _lookup(values, f"layer {ref.title!r}")
            given = call.map(lambda used, found=found: self._builder.seen(found(used)))
            result = self._convert(facts, ref, given, outer_call)
            for number, value in enumerate(_parts(result)):
                output = Ref(ref.layer, ref.call, number)
                values[output] = value
                if isinstance(value, Value):
                    self._record(output, facts.kind, value, outer_call)
        return mapped(wiring.outputs, _lookup(values, "the model's output"))

    def _record(self, ref: Ref, kind: str, value: Value, outer_call: str) -> None:
        if not self._is_shown:
            return
        title = f"{outer_call}/{ref.title}" if outer_call else ref.title
        self._builder.layers[title] = SourceLayer(value.name, kind, value.axes)

    def _convert(self, facts: LayerFacts, ref: Ref, call: Call, outer_call: str) -> Result:
        path, title = (
            f"{outer}/{name}" if outer else name
            for outer, name in ((self._outer, facts.name), (outer_call, ref.title))
        )
        self._builder.calls += 1
        if self._builder.calls > MOST_CALLS:
            raise UnreadableFile(f"its layers are called more than {MOST_CALLS:,} times")
        arrays = self._arrays_of(facts)
        layer = Layer(facts, path, title, arrays, self._builder, self._origin, self._is_shown)
        arguments = _with_constants(layer, call)
        try:
            return layer.convert(*arguments.args, **arguments.kwargs)
        except CortexError:
            raise
        except NONSENSE as error:
            raise UnreadableFile(f"{layer.title}: its options make no sense: {error}") from None

    def _arrays_of(self, facts: LayerFacts) -> Callable[[], Arrays]:
        def arrays() -> Arrays:
            stored = self._shelf.arrays(facts.name)
            if facts.is_model:
                return stored
            return self._origin.in_keras_2(facts.kind, facts.config, stored)

        return arrays


def _lookup(values: Mapping[Ref, Any], user: str) -> Callable[[Ref], Any]:
    """What a reference stands for."""

    def found(ref: Ref) -> Any:
        if ref not in values:
            raise UnreadableFile(f"{user} needs {ref.title!r}, which no layer computes")
        return values[ref]

    return found


@keras(*MODELS, structured=True)
def model(layer: Layer, *args: Any, mask: Any = None, training: Any = None) -> Any:
    """A model inside another."""
    if training:
        raise layer.refuse("training", training)
    if layer.path.count("/") > DEEPEST_MODEL:
        raise Unsupported(f"{layer.title}: models lie more than {DEEPEST_MODEL} deep in each other")
    layer.read_all()
    wiring = read_wiring({"class_name": layer.kind, "config": layer.config})
    shelf = shelf_inside(layer.hand_over(), wiring)
    inner = Model(wiring, shelf, layer.builder, layer.origin, layer.path, layer.is_shown)
    result = inner.call(with_masks(list(layer.flat(args)), mask), layer.call)
    shelf.check_empty()
    return result


def shelf_inside(arrays: Arrays, wiring: Wiring) -> Shelf:
    if arrays.below(*TREES):
        return in_tree(arrays, ((layer.name, layer.kind) for layer in _saved(wiring)))
    return listed(arrays, _homes(wiring))


def _homes(wiring: Wiring) -> dict[str, str]:
    """Each layer, and each inside one, with the layer of this model that it is in."""
    homes = {layer.name: layer.name for layer in wiring.layers}
    for layer in wiring.layers:
        for inside in _inside(layer):
            homes.setdefault(inside, layer.name)
    return homes


def _inside(layer: LayerFacts, depth: int = 0) -> Iterator[str]:
    """The names of the layers inside one."""
    if layer.is_model and depth < DEEPEST_MODEL:
        wiring = read_wiring({"class_name": layer.kind, "config": layer.config})
        for inner in wiring.layers:
            yield inner.name
            yield from _inside(inner, depth + 1)


def shelf_of(file: KerasFile, wiring: Wiring) -> Shelf:
    stored = file.weights
    if stored.is_tree:
        return in_tree(stored.arrays, ((layer.name, layer.kind) for layer in _saved(wiring)))
    return Shelf(of_layers(stored.arrays), (layer.name for layer in wiring.layers))


def _saved(wiring: Wiring) -> Iterator[LayerFacts]:
    """The layers that Keras 3 counts: operations are none."""
    return (layer for layer in wiring.layers if not layer.is_operation)


def _parts(result: Any) -> Iterator[Any]:
    """The outputs of a call, counted as Keras counts them."""
    if isinstance(result, list | tuple) and not hasattr(result, "_fields"):
        for one in result:
            yield from _parts(one)
    elif isinstance(result, dict):
        for one in result.values():
            yield from _parts(one)
    else:
        yield result


def _with_constants(layer: Layer, call: Call) -> Call:
    """The call with constant tensors as values of the graph; operations take them as arrays."""
    is_operation = layer.key.startswith("ops.")

    def resolved(value: Any) -> Any:
        if isinstance(value, Constant):
            made = array_of if is_operation else layer.constant
            return made(value.value, value.dtype)
        if isinstance(value, list | tuple):
            return type(value)(resolved(one) for one in value)
        if isinstance(value, dict):
            return {key: resolved(one) for key, one in value.items()}
        return value

    return Call(resolved(call.args), resolved(call.kwargs))


def _outputs(builder: Builder, wiring: Wiring, results: Any) -> dict[str, str]:
    """The value of each output, by the layer it comes from."""
    outputs: dict[str, str] = {}
    for ref, value in zip(wiring.output_refs, _parts(results), strict=True):
        if not isinstance(value, Value):
            raise Unsupported(f"its output {ref.title!r} is no tensor")
        name, number = ref.title, 1
        while name in outputs or name in builder.inputs:  # names of outputs must be their own
            name, number = f"{ref.title}.{number}", number + 1
        outputs[name] = (
            builder.turned(value.name, value.axes, ref.layer) if value.axes else value.name
        )
    return outputs


def _check_supported(wiring: Wiring, substitutes: Substitutes) -> None:
    """All unknown layers at once: a user wants the whole list."""
    layers = [layer for layer in _all_layers(wiring) if layer.key != "InputLayer"]
    substitutes.check(layers)
    unknown = [layer for layer in layers if not (is_known(layer) or substitutes.find(layer))]
    if unknown:
        raise Unsupported(refusal(unknown))


def _all_layers(wiring: Wiring, depth: int = 0) -> Iterator[LayerFacts]:
    for layer in wiring.layers:
        yield layer
        if layer.is_model and depth < DEEPEST_MODEL:
            inner = read_wiring({"class_name": layer.kind, "config": layer.config})
            yield from _all_layers(inner, depth + 1)


def _input(layer: LayerFacts, index: int) -> Tensor:
    if layer.kind != "InputLayer":
        raise UnreadableFile(f"input {layer.name!r}: a layer of class {layer.kind}, not InputLayer")
    shape: Any = layer.config.get("batch_input_shape") or layer.config.get("batch_shape")
    if shape is None:
        raise UnreadableFile(f"input {layer.name!r}: the model does not say its shape")
    if not isinstance(shape, list) or not shape:
        raise UnreadableFile(f"input {layer.name!r}: its shape is {shape!r}")
    if any(n is not None and (not isinstance(n, int) or n < 1) for n in shape[1:]):
        raise UnreadableFile(f"input {layer.name!r}: its shape is {shape!r}")
    dtype = dtype_name(layer.config.get("dtype")) or "float32"
    if dtype in FLOATS:
        dtype = "float"
    elif dtype in WHOLE:
        dtype = WHOLE[dtype]
    elif dtype != STRING:
        raise Unsupported(f"input {layer.name!r}: dtype {dtype!r} is not supported")
    for flag in ("sparse", "ragged"):
        if layer.config.get(flag):
            raise Unsupported(f"input {layer.name!r}: {flag} inputs are not supported")
    sizes = (_size(n, axis, len(shape), index) for axis, n in enumerate(shape))
    return Tensor(("N", *list(sizes)[1:]), dtype)


def _size(n: int | None, axis: int, rank: int, index: int) -> Size:
    """A number, or a name for an axis that is open: the same one in one input only."""
    if n is not None:
        return n
    letters = OPEN_AXES.get(rank, "")
    letter = letters[axis] if axis < len(letters) else f"D{axis}"
    return f"{letter}{index}" if index else letter


def in_order(wiring: Wiring) -> Iterator[tuple[Ref, LayerFacts, Call]]:
    """Every call after those it needs; in the file's order if that is one."""
    calls = {
        Ref(layer.name, number): (layer, call)
        for layer in wiring.layers
        for number, call in enumerate(layer.calls)
    }
    needs = {
        ref: [Ref(used.layer, used.call) for used in call.refs] for ref, (_, call) in calls.items()
    }
    done = {Ref(name) for name in wiring.inputs}
    for ref, sources in needs.items():
        for source in sources:
            if source not in calls and source not in done:
                raise UnreadableFile(
                    f"layer {ref.title!r} needs {source.title!r}, which no layer computes"
                )
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        ring = " → ".join(ref.title for ref in error.args[1])
        raise UnreadableFile(f"its layers go in a circle: {ring}") from None
    position = {ref: i for i, ref in enumerate(calls)}
    if all(position[s] < position[r] for r in calls for s in needs[r] if s in calls):
        order = list(calls)
    for ref in order:
        if ref in calls and ref not in done:
            yield ref, *calls[ref]
