"""Models of Keras 0 and 1 in the words of Keras 2.

What Keras 2 cannot say is refused by name; options that are not known stay as they are.
Sources: what Keras 0.3.3 and 1.0.1 to 1.2.2 write (``to_json``), and how they read it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from .keras1_arrays import arrays as arrays
from .keras1_branches import functional, has_branches
from .keras1_layers import DATA_FORMATS, translate_layer
from .keras1_theano import Options
from .keras1_theano import written_on as written_on

Entry = dict[str, Any]
"""A layer or a model as JSON has it: ``class_name``, ``config``, a layer's ``inbound_nodes``."""

MODELS = ("Sequential", "Model", "Container")
WRAPPERS = ("TimeDistributed", "Bidirectional")
OUTER = (
    "name", "trainable", "batch_input_shape", "input_dim", "input_dtype", "input_length",
    "input_shape",
)  # fmt: skip
"""Options of a wrapper, where wrapper and layer are one class."""


def translate_model(architecture: Mapping[str, Any], *, theano: bool = False) -> Entry:
    """The architecture of a model as Keras 2 would have written it, models inside it included.

    A Sequential that begins by merging others becomes the functional model that it is. A layer
    that does not say its ``dim_ordering`` has that of the others, ``tf`` if none says it.

    Args:
        architecture: the parsed JSON or YAML, in the form of Keras 1 or of Keras 0.
        theano: whether it is to compute what it computed on Theano, which pads otherwise.

    Raises:
        UnreadableFile: it makes no sense.
        Unsupported: a layer or an option that Keras 2 cannot express.
    """
    try:
        model = _as_in_keras_1(architecture, set())
        if model["class_name"] == "Graph":
            raise Unsupported("a model of class 'Graph', of Keras 0, is not supported")
        ordering = next(_dim_orderings(model), None)
        return translate(model, ordering, theano=theano)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UnreadableFile(
            f"its architecture cannot be understood: {type(error).__name__} {error}"
        ) from None


def translate(
    layer: Mapping[str, Any], dim_ordering: str | None = None, *, theano: bool = False
) -> Entry:
    """A layer, or a model that is one, as Keras 2 would have written it.

    Args:
        layer: ``class_name`` and ``config``; what else there is stays.
        dim_ordering: ``th`` or ``tf``, for layers that say none.
        theano: whether it is to compute what it computed on Theano.

    Raises:
        Unsupported: what Keras 2 cannot express.
        UnreadableFile: options that make no sense.
    """
    kind, config = layer["class_name"], layer["config"]
    if kind in MODELS:
        return _model(layer, dim_ordering, theano)
    if kind == "TimeDistributedDense":
        kind, config = "TimeDistributed", _over_time(config)
    name, options = translate_layer(kind, dict(config), dim_ordering, theano)
    if kind in WRAPPERS:
        options["layer"] = translate(config["layer"], dim_ordering, theano=theano)
    if kind == "Merge" and "layers" in config:
        options["layers"] = [translate(m, dim_ordering, theano=theano) for m in config["layers"]]
    return {**layer, "class_name": name, "config": options}


def keeps_deviation(keras_version: str) -> bool:
    """Whether BatchNormalization's running_std is what its name says, not a variance.

    So it was up to Keras 1.0.5. An architecture without a version is older than Keras 1.0.4, the
    first that wrote one.
    """
    numbers = [int(part) for part in keras_version.split(".") if part.isdigit()]
    return numbers < [1, 0, 6]


def _model(model: Mapping[str, Any], dim_ordering: str | None, theano: bool) -> Entry:
    config: Any = model["config"]
    entries = config if isinstance(config, list) else config["layers"]
    layers = [translate(entry, dim_ordering, theano=theano) for entry in entries]
    if model["class_name"] != "Sequential":
        config = dict(config)
        return {**model, "class_name": "Model", "config": config | {"layers": layers}}
    if layers and has_branches(layers[0]):
        return {**model, "class_name": "Model", "config": functional(layers)}
    translated = layers if isinstance(config, list) else {**config, "layers": layers}
    return {**model, "config": translated}


def _over_time(config: Mapping[str, Any]) -> Options:
    """TimeDistributedDense is a wrapper and its layer at once."""
    outer = {option: config[option] for option in OUTER if option in config}
    inner = {
        o: value for o, value in config.items() if o not in OUTER or o in ("name", "trainable")
    }
    return {**outer, "layer": {"class_name": "Dense", "config": inner}}


def _as_in_keras_1(layer: Mapping[str, Any], used: set[str]) -> Entry:
    """Keras 0 keeps class and options in one object, and calls every Dense ``dense``."""
    if "class_name" in layer:
        return dict(layer)
    options = dict(layer)
    kind, name = options.pop("name"), options.pop("custom_name", None)
    if "layers" in options:
        options["layers"] = [_as_in_keras_1(one, used) for one in options["layers"]]
    if isinstance(options.get("layer"), Mapping):
        options["layer"] = _as_in_keras_1(options["layer"], used)
    if kind == "Sequential":
        return {"class_name": kind, "config": options["layers"]}
    name = unique = name or kind.lower()
    number = 1
    while unique in used:
        number += 1
        unique = f"{name}_{number}"
    used.add(unique)
    return {"class_name": kind, "config": {**options, "name": unique}}


def _dim_orderings(value: Any) -> Iterator[str]:
    """What the layers of a model say, in order."""
    if isinstance(value, Mapping):
        own = value.get("dim_ordering")
        if isinstance(own, str) and own in DATA_FORMATS:
            yield own
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _dim_orderings(one)
