"""Which layer is called on what: every generation's way of writing it, read into one form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from .file import Config, KerasFile

MOST_LAYERS = 100_000
MODELS = ("Sequential", "Functional", "Model")


@dataclass(frozen=True, slots=True)
class Ref:
    """Output ``output`` of call ``call`` of a layer."""

    layer: str
    call: int = 0
    output: int = 0

    @property
    def title(self) -> str:
        """LAYER, LAYER:1 for its second call, LAYER#1 for its second output."""
        call = f":{self.call}" if self.call else ""
        return f"{self.layer}{call}{f'#{self.output}' if self.output else ''}"


@dataclass(frozen=True, slots=True)
class Call:
    """A layer called on tensors, with whatever else it was given."""

    inputs: tuple[Ref, ...]
    options: Config


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """A layer as the file has it."""

    name: str
    kind: str
    config: Config
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Wiring:
    """A model's layers, the input layers in order, and the tensors that are its outputs."""

    layers: Sequence[LayerFacts]
    inputs: Sequence[str]
    outputs: Sequence[Ref]


def read_wiring(file: KerasFile) -> Wiring:
    """The wiring of the whole model.

    Raises:
        UnreadableFile: it contradicts itself.
        Unsupported: a kind of model or of connection that Cortex does not know.
    """
    kind, config = file.architecture["class_name"], file.architecture["config"]
    try:
        if kind == "Sequential":
            wiring = _sequential(config)
        elif kind in MODELS:
            wiring = _functional(config)
        else:
            raise Unsupported(f"a model of class {kind!r}; known are {', '.join(MODELS)}")
    except (UnreadableFile, Unsupported) as error:
        raise type(error)(f"{file.path}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UnreadableFile(
            f"{file.path}: its architecture cannot be understood: {type(error).__name__} {error}"
        ) from None
    for what in ("layers", "inputs", "outputs"):
        if not getattr(wiring, what):
            raise UnreadableFile(f"{file.path}: a model without {what}")
    if len(wiring.layers) > MOST_LAYERS:
        raise UnreadableFile(f"{file.path}: {len(wiring.layers):,} layers are too many")
    names = Counter(layer.name for layer in wiring.layers)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UnreadableFile(f"{file.path}: two layers are called {twice[0]!r}")
    return wiring


def _sequential(config: Any) -> Wiring:
    """A chain: up to Keras 2.2.2 a list of layers, then an object that holds one."""
    entries = config if isinstance(config, list) else config["layers"]
    layers: list[LayerFacts] = []
    for entry in entries:
        layer = _facts(entry, entry["config"]["name"], ())
        if not layers and layer.kind != "InputLayer":
            layers.append(_implied_input(layer.name, layer.config, config))
        calls = (Call((Ref(layers[-1].name),), {}),) if layers else ()
        layers.append(replace(layer, calls=calls))
    return Wiring(layers, [layers[0].name], [Ref(layers[-1].name)])


def _facts(entry: Any, name: Any, calls: tuple[Call, ...]) -> LayerFacts:
    kind, config = entry["class_name"], entry["config"]
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(config, dict):
        raise UnreadableFile(f"layer {name!r} of class {kind!r}: no name, class or options")
    return LayerFacts(name, kind, config, calls)


def _implied_input(name: str, options: Config, model: Any) -> LayerFacts:
    """The input that Keras makes from the first layer's shape."""
    shape = options.get("batch_input_shape") or options.get("batch_shape")
    if shape is None and isinstance(model, dict):
        shape = model.get("build_input_shape")
    if shape is None:
        raise UnreadableFile(f"layer {name!r}: the model does not say the shape of its input")
    dtype = options.get("dtype", "float32")
    made = {"name": f"{name}_input", "batch_shape": shape, "dtype": dtype}
    return LayerFacts(made["name"], "InputLayer", made, ())


def _functional(config: Config) -> Wiring:
    entries = config["layers"]
    written = {e["name"]: [_call(call) for call in e["inbound_nodes"]] for e in entries}
    outputs = list(_refs(config["output_layers"]))
    numbers = _call_numbers(written, outputs)

    def renumbered(ref: Ref) -> Ref:
        return Ref(ref.layer, numbers[ref.layer][ref.call], ref.output)

    def renumbered_call(call: Call) -> Call:
        return Call(tuple(renumbered(ref) for ref in call.inputs), call.options)

    layers = [
        _facts(entry, entry["name"], tuple(map(renumbered_call, written[entry["name"]])))
        for entry in entries
    ]
    inputs = [ref.layer for ref in _refs(config["input_layers"])]
    if unknown := [name for name in inputs if name not in written]:
        raise UnreadableFile(f"an input is called {unknown[0]!r}, but there is no such layer")
    return Wiring(layers, inputs, [renumbered(ref) for ref in outputs])


def _call_numbers(
    calls: Mapping[str, Sequence[Call]], outputs: Sequence[Ref]
) -> Mapping[str, Mapping[int, int]]:
    """For each layer: the call a number stands for.

    Numbers count calls in the program that built the model. A model that was cloned or cut out of
    another one may lack some: then the k-th number used stands for the k-th call that is listed.
    """
    used: dict[str, set[int]] = {name: set() for name in calls}
    for ref in [
        *outputs,
        *(ref for made in calls.values() for call in made for ref in call.inputs),
    ]:
        if ref.layer not in used:
            raise UnreadableFile(f"a layer called {ref.layer!r} is used, but there is none")
        used[ref.layer].add(ref.call)
    numbers: dict[str, Mapping[int, int]] = {}
    for name, indices in used.items():
        count = max(len(calls[name]), 1)
        if all(index < count for index in indices):
            numbers[name] = {index: index for index in indices}
        elif len(indices) <= count:
            numbers[name] = {index: k for k, index in enumerate(sorted(indices))}
        else:
            raise UnreadableFile(
                f"layer {name!r}: used as {len(indices)} calls, but it has {count}"
            )
    return numbers


def _refs(entry: Any) -> Iterator[Ref]:
    """[[name, call, output], ...], or one such triple."""
    if entry and isinstance(entry[0], str):
        entry = [entry]
    for name, call, output, *_ in entry:
        yield Ref(str(name), int(call), int(output))


def _call(entry: Any) -> Call:
    if isinstance(entry, dict):
        return _call_of_keras_3(entry)
    if entry and isinstance(entry[0], str):  # called on one tensor
        entry = [entry]
    inputs = tuple(Ref(str(one[0]), int(one[1]), int(one[2])) for one in entry)
    options: dict[str, Any] = {}
    for one in entry:
        options |= one[3] if len(one) > 3 else {}
    return Call(inputs, options)


def _call_of_keras_3(entry: Config) -> Call:
    args, options = entry["args"], dict(entry["kwargs"])
    tensors = list(_tensors(args))
    return Call(tuple(tensors), options)


def _tensors(value: Any) -> Iterator[Ref]:
    """The tensors among the arguments, in order; anything else is not understood."""
    if isinstance(value, list):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, call, output = value["config"]["keras_history"]
        yield Ref(str(name), int(call), int(output))
    else:
        raise Unsupported(f"a layer is called with the constant {value!r}, which is not supported")
