"""From the facts of a file to a network: every call of a layer through its converter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ...runtime.errors import CortexError, GraphError, UnreadableFile, Unsupported
from ...runtime.ir import Graph
from ...runtime.ir import Layer as SourceLayer
from ...runtime.network import Network
from ...runtime.tensor import Size, Tensor
from . import convolution, core, merge
from .file import KerasFile
from .layer import CONVERTERS, FLOATS, Builder, Layer
from .wiring import Call, LayerFacts, Ref, Wiring, read_wiring

FAMILIES = (core, convolution, merge)  # importing them registers their converters
OPEN_AXES: Mapping[int, str] = {3: "NT", 4: "NHW", 5: "NDHW"}


def build(file: KerasFile) -> Network:
    """The network a file describes; its arrays stay in the file until they are used.

    Raises:
        UnreadableFile: the file contradicts itself.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    wiring = read_wiring(file)
    builder, values, layers = Builder(), dict[Ref, str](), dict[str, SourceLayer]()
    facts = {layer.name: layer for layer in wiring.layers}
    _check_supported(file, wiring)
    for index, name in enumerate(wiring.inputs):
        try:
            builder.types[name] = _input(facts[name], index)
        except CortexError as error:
            raise type(error)(f"{file.path}: {error}") from None
        values[Ref(name)] = name
        layers[name] = SourceLayer(name, facts[name].kind)
    inputs = dict(builder.types)
    for ref, layer, call in _in_order(file, wiring):
        value = _convert(file, layer, call, ref, [values[i] for i in call.inputs], builder)
        values[ref] = value
        layers[ref.title] = SourceLayer(value, layer.kind)
    outputs: dict[str, str] = {}
    for ref in wiring.outputs:
        if ref not in values:
            raise UnreadableFile(f"{file.path}: its output {ref.title!r} is computed by no layer")
        outputs[ref.title] = values[ref]
    try:
        graph = Graph(inputs, tuple(builder.nodes), outputs, layers)
    except GraphError as error:
        raise UnreadableFile(f"{file.path}: {error}") from None
    return Network(graph, builder.parameters)  # pyright: ignore[reportArgumentType]


def _check_supported(file: KerasFile, wiring: Wiring) -> None:
    """All unknown classes at once: a user wants the whole list."""
    unknown = {
        layer.kind: layer.name
        for layer in wiring.layers
        if layer.kind not in CONVERTERS and layer.kind != "InputLayer"
    }
    if unknown:
        named = ", ".join(f"{kind} ({name!r})" for kind, name in unknown.items())
        raise Unsupported(f"{file.path}: no converter for the Keras layers {named}")


def _input(layer: LayerFacts, index: int) -> Tensor:
    if layer.kind != "InputLayer":
        raise UnreadableFile(f"input {layer.name!r}: a layer of class {layer.kind}, not InputLayer")
    shape: Any = layer.config.get("batch_input_shape") or layer.config.get("batch_shape")
    if not isinstance(shape, list) or len(shape) < 2:
        raise UnreadableFile(f"input {layer.name!r}: its shape is {shape!r}")
    if any(n is not None and (not isinstance(n, int) or n < 1) for n in shape[1:]):
        raise UnreadableFile(f"input {layer.name!r}: its shape is {shape!r}")
    dtype = layer.config.get("dtype") or "float32"
    if dtype in FLOATS:
        dtype = "float"
    elif dtype not in ("int32", "int64"):
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


def _in_order(file: KerasFile, wiring: Wiring) -> Iterator[tuple[Ref, LayerFacts, Call]]:
    """Every call after those it needs; in the file's order if that is one."""
    calls = {
        Ref(layer.name, number): (layer, call)
        for layer in wiring.layers
        for number, call in enumerate(layer.calls)
    }
    done = {Ref(name) for name in wiring.inputs}
    for ref, (_, call) in calls.items():
        for source in call.inputs:
            if source not in calls and source not in done:
                raise UnreadableFile(
                    f"{file.path}: layer {ref.title!r} needs {source.title!r}, "
                    "which no layer computes"
                )
    sorter = TopologicalSorter({ref: call.inputs for ref, (_, call) in calls.items()})
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        ring = " → ".join(ref.title for ref in error.args[1])
        raise UnreadableFile(f"{file.path}: its layers go in a circle: {ring}") from None
    position = {ref: i for i, ref in enumerate(calls)}
    if all(position[s] < position[r] for r in calls for s in calls[r][1].inputs if s in calls):
        order = list(calls)
    for ref in order:
        if ref in calls:
            yield ref, *calls[ref]


def _convert(
    file: KerasFile, facts: LayerFacts, call: Call, ref: Ref, inputs: list[str], builder: Builder
) -> str:
    arrays = file.arrays.get(facts.name, {})
    layer = Layer(facts, ref.title, arrays, builder, file.generation, file.backend)
    try:
        value = CONVERTERS[facts.kind](layer, *inputs)
        layer.finish(call.options)
    except CortexError as error:
        raise type(error)(f"{file.path}: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UnreadableFile(
            f"{file.path}: {layer.title}: its options make no sense: {error}"
        ) from None
    return value
