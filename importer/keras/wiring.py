"""Which layer is called on what: every generation's way of writing it, read into one form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported

Config = Mapping[str, Any]
OPERATIONS = "keras.ops"
NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading raises where a file holds something else than one expects there."""
MOST_LAYERS = 100_000
DEEPEST_MODEL = 50
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
    """A layer called with arguments: lists, constants, and a ``Ref`` for each tensor."""

    args: tuple[Any, ...]
    kwargs: Config

    @property
    def refs(self) -> list[Ref]:
        """All tensors it is given."""
        return list(_leaves((self.args, self.kwargs)))

    def map(self, change: Callable[[Ref], Any]) -> Call:
        """The call with something else in the place of each tensor."""
        return Call(mapped(self.args, change), mapped(self.kwargs, change))


def mapped(value: Any, change: Callable[[Ref], Any]) -> Any:
    """``value`` with ``change`` done to every ``Ref`` inside it."""
    if isinstance(value, Ref):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(mapped(one, change) for one in value)
    if isinstance(value, dict):
        return {key: mapped(one, change) for key, one in value.items()}
    return value


def _leaves(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """A layer as the file has it; ``module`` tells a layer of Keras 3 from an operation.

    ``custom`` is what a class that is none of Keras is registered as, "package>class": its name may
    be that of one of Keras.
    """

    name: str
    kind: str
    config: Any
    calls: tuple[Call, ...] = ()
    module: str = ""
    custom: str = ""

    @property
    def is_operation(self) -> bool:
        """Whether it is one of ``keras.ops``, whose names are those of layers, too."""
        return ".ops." in f"{self.module}."

    @property
    def key(self) -> str:
        """What its converter is registered under."""
        return f"ops.{self.kind}" if self.is_operation else self.custom or self.kind

    @property
    def is_model(self) -> bool:
        """Whether it is a model with layers of its own."""
        return self.kind in MODELS and not self.custom


@dataclass(frozen=True)
class Wiring:
    """A model's layers, its inputs in order, and what its outputs are.

    ``outputs`` has the structure of the model's: a tensor, or a list or dictionary of them.
    """

    layers: Sequence[LayerFacts]
    inputs: Sequence[str]
    outputs: Any

    @property
    def output_refs(self) -> list[Ref]:
        """The outputs in order."""
        return list(_leaves(self.outputs))


def read_wiring(architecture: Config) -> Wiring:
    """The wiring of a model, whose inputs may leave their shapes to the caller.

    Raises:
        UnreadableFile: it contradicts itself.
        Unsupported: a kind of model or of connection that Cortex does not know.
    """
    kind, config = architecture["class_name"], architecture["config"]
    try:
        if kind == "Sequential":
            wiring = _sequential(config)
        elif kind in MODELS or _looks_functional(config):
            wiring = _functional(config)
        else:
            raise Unsupported(f"a model of class {kind!r}; known are {', '.join(MODELS)}")
    except NONSENSE as error:
        raise UnreadableFile(
            f"its architecture cannot be understood: {type(error).__name__} {error}"
        ) from None
    for what in ("layers", "inputs", "output_refs"):
        if not getattr(wiring, what):
            raise UnreadableFile(f"a model without {what.removesuffix('_refs')}")
    if len(wiring.layers) > MOST_LAYERS:
        raise UnreadableFile(f"{len(wiring.layers):,} layers are too many")
    names = Counter(layer.name for layer in wiring.layers)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UnreadableFile(f"two layers are called {twice[0]!r}")
    return wiring


def _looks_functional(config: Any) -> bool:
    """Whether a subclass of Model was written as the functional model that it is."""
    return isinstance(config, dict) and {"layers", "input_layers", "output_layers"} <= config.keys()


def _sequential(config: Any) -> Wiring:
    """A chain: up to Keras 2.2.2 a list of layers, then an object that holds one."""
    entries = config if isinstance(config, list) else config["layers"]
    layers: list[LayerFacts] = []
    inputs: list[str] = []
    for number, entry in enumerate(entries):
        layer = _facts(entry, entry["config"], number)
        if number == 0 and layer.kind != "InputLayer":
            layers.append(_implied_input(layer, config))
        if number == 0:
            inputs = [(layers[0] if layers else layer).name]
        calls = (Call((Ref(layers[-1].name),), {}),) if layers else ()
        layers.append(replace(layer, calls=calls))
    return Wiring(layers, inputs, Ref(layers[-1].name))


def _facts(entry: Any, config: Any, number: int = 0) -> LayerFacts:
    kind: Any = entry["class_name"]
    if isinstance(config, list) and kind in MODELS:  # so is a Sequential written up to Keras 2.2.2
        config = {"layers": config}
    if not isinstance(config, dict):
        raise UnreadableFile(f"a layer of class {kind!r} without options")
    options: Config = config
    name: Any = entry.get("name") or options.get("name")
    if name is None and kind in MODELS:  # a model of Keras 1 or 2 inside another may have none
        name = f"{kind.lower()}_{number + 1}"
    if not isinstance(name, str) or not isinstance(kind, str):
        raise UnreadableFile(f"layer {name!r} of class {kind!r}: no name or class")
    return LayerFacts(name, kind, options, (), str(entry.get("module") or ""), _custom(entry))


def _custom(entry: Any) -> str:
    """What the class is registered as, if it is none of Keras: these are registered as nothing."""
    registered, module = entry.get("registered_name"), entry.get("module")
    if not registered or str(module).split(".")[0] in PACKAGES_OF_KERAS:
        return ""
    return str(registered) if ">" in str(registered) else f"{module or '__main__'}>{registered}"


PACKAGES_OF_KERAS = ("keras", "tf_keras", "tensorflow", "keras_core", "builtins")


def inner_facts(entry: Any) -> LayerFacts:
    """A layer that another one holds: {class_name, config}."""
    if not isinstance(entry, dict) or not {"class_name", "config"} <= entry.keys():
        raise UnreadableFile("a layer inside it has no class or options")
    config = entry["config"]
    named = isinstance(config, dict) and isinstance(config.get("name"), str)
    return _facts({"name": "layer", **entry} if not named else entry, config)


def _implied_input(layer: LayerFacts, model: Any) -> LayerFacts:
    """The input that Keras makes from the first layer's shape, if that says one."""
    shape, options = _shape_of_first(layer, 0)
    if shape is None and isinstance(model, dict):
        shape = model.get("build_input_shape")
    dtype = options.get("dtype") or "float32"
    if layer.kind == "Embedding":  # it is the dtype of what it looks up
        dtype = "float32"
    name = f"{layer.name}_input"
    return LayerFacts(name, "InputLayer", {"name": name, "batch_shape": shape, "dtype": dtype})


def _shape_of_first(layer: LayerFacts, depth: int) -> tuple[Any, Any]:
    """The shape of the input that the first layer, or the first inside it, says; its options."""
    options = layer.config
    if isinstance(options, dict):
        shape = options.get("batch_input_shape") or options.get("batch_shape")
        if shape is not None:
            return shape, options
    if layer.is_model and depth < DEEPEST_MODEL:
        entries = options if isinstance(options, list) else options.get("layers", [])
        if entries:
            return _shape_of_first(_facts(entries[0], entries[0]["config"]), depth + 1)
    return None, options if isinstance(options, dict) else {}


def _functional(config: Config) -> Wiring:
    entries = config["layers"]
    known = {entry["name"] for entry in entries}
    written = {e["name"]: [_call(call, known) for call in e["inbound_nodes"]] for e in entries}
    outputs = _tensors_of(config["output_layers"])
    numbers = _call_numbers(written, list(_leaves(outputs)))

    def renumbered(ref: Ref) -> Ref:
        return Ref(ref.layer, numbers[ref.layer][ref.call], ref.output)

    layers = [
        replace(
            _facts(entry, entry["config"]),
            name=str(entry["name"]),
            calls=tuple(call.map(renumbered) for call in written[entry["name"]]),
            module=_module(entry),
        )
        for entry in entries
    ]
    inputs = [ref.layer for ref in _leaves(_tensors_of(config["input_layers"]))]
    if unknown := [name for name in inputs if name not in written]:
        raise UnreadableFile(f"an input is called {unknown[0]!r}, but there is no such layer")
    if isinstance(outputs, list) and len(outputs) == 1:  # a list of one is how one is written
        outputs = outputs[0]
    return Wiring(layers, inputs, mapped(outputs, renumbered))


def _module(entry: Any) -> str:
    """Where a class is from; in HDF5 Keras 3 does not say it, but only layers can be trained."""
    if entry.get("module"):
        return str(entry["module"])
    if isinstance(entry["config"], list):  # a Sequential
        return ""
    calls, options = entry["inbound_nodes"], entry["config"].keys()
    # Discretization, with num_bins, and SpatialDropout, with a rate, do not say whether they can.
    named = {"trainable", "layers", "num_bins", "rate"} & options
    return OPERATIONS if calls and isinstance(calls[0], dict) and not named else ""


def _call_numbers(
    calls: Mapping[str, Sequence[Call]], outputs: Sequence[Ref]
) -> Mapping[str, Mapping[int, int]]:
    """For each layer: the call a number stands for.

    Numbers count calls in the program that built the model. A model that was cloned or cut out of
    another one may lack some: then the k-th number used stands for the k-th call that is listed.
    """
    used: dict[str, set[int]] = {name: set() for name in calls}
    for ref in [*outputs, *(ref for made in calls.values() for call in made for ref in call.refs)]:
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


def _tensors_of(entry: Any) -> Any:
    """[NAME, call, output], or a list or dictionary of such triples."""
    if isinstance(entry, dict):
        return {key: _tensors_of(one) for key, one in entry.items()}
    if _is_triple(entry):
        return Ref(str(entry[0]), int(entry[1]), int(entry[2]))
    return [_tensors_of(one) for one in entry]


def _is_triple(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) in (3, 4)
        and isinstance(entry[0], str)
        and all(isinstance(n, int) for n in entry[1:3])
    )


def _call(entry: Any, known: set[str]) -> Call:
    if isinstance(entry, dict) and "args" in entry:
        return Call(tuple(_keras_3(entry["args"])), _keras_3(dict(entry["kwargs"])))
    options: dict[str, Any] = {}
    first = _keras_2(entry, known, options)
    return Call((first,), options)


CONSTANT = "_CONSTANT_VALUE"
"""What tf.keras writes in the place of a layer's name where an argument is a constant."""


def _keras_2(entry: Any, known: set[str], options: dict[str, Any]) -> Any:
    """The first argument: [NAME, call, output, {options}], or a list or dictionary of these."""
    if isinstance(entry, dict):
        return {key: _keras_2(one, known, options) for key, one in entry.items()}
    if isinstance(entry, list) and entry and isinstance(entry[0], str):
        if len(entry) > 3:
            options |= {key: _option(value, known) for key, value in entry[3].items()}
        if entry[0] == CONSTANT:
            return entry[2]
        return Ref(entry[0], int(entry[1]), int(entry[2]))
    parts = [_keras_2(one, known, options) for one in entry]
    return parts[0] if len(parts) == 1 else parts


def _option(value: Any, known: set[str]) -> Any:
    """An option of a call: a tensor is written [NAME, call, output]."""
    if _is_triple(value) and len(value) == 3 and value[0] in known:
        return Ref(value[0], value[1], value[2])
    if isinstance(value, list):
        if len(value) == 3 and value[0] == CONSTANT:
            return value[2]
        return [_option(one, known) for one in value]
    if isinstance(value, dict):
        return {key: _option(one, known) for key, one in value.items()}
    return value


def _keras_3(value: Any) -> Any:
    """An argument of a call of Keras 3, whose tensors and constants are objects with a class."""
    if isinstance(value, list):
        return [_keras_3(one) for one in value]
    if not isinstance(value, dict):
        return value
    config: Any = value.get("config")
    match value.get("class_name"):
        case "__keras_tensor__":
            name, call, output = value["config"]["keras_history"]
            return Ref(str(name), int(call), int(output))
        case "__tensor__" | "__numpy__":
            return Constant(config["value"], str(config.get("dtype", "float32")))
        case "__slice__":
            return slice(*(_keras_3(config[key]) for key in ("start", "stop", "step")))
        case "__ellipsis__":
            return ...
        case "__tuple__":
            return tuple(_keras_3(one) for one in value["config"])
        case _:
            return {key: _keras_3(one) for key, one in value.items()}


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant tensor that a call was given: nested lists of numbers."""

    value: Any
    dtype: str
