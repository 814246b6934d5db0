"""Models of Keras 0 and 1 in the words of Keras 2.

What Keras 2 cannot say is refused by name; options that are not known stay as they are.
Sources: what Keras 1.0.1 to 1.2.2 write (``to_json``), and how they read it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ....runtime.errors import UnreadableFile
from .arrays import arrays as arrays
from .branches import functional, has_branches
from .keras0 import in_keras_1, is_keras_0
from .layers import DATA_FORMATS, translate_layer
from .theano import Options
from .theano import Writer as Writer
from .theano import written_on as written_on

Entry = dict[str, Any]
"""A layer or a model as JSON has it: ``class_name``, ``config``, a layer's ``inbound_nodes``."""

LATEST = Writer(version="1.2.2")

MODELS = ("Sequential", "Model", "Container")
WRAPPERS = ("TimeDistributed", "Bidirectional")
OUTER = (
    "name", "trainable", "batch_input_shape", "input_dim", "input_dtype", "input_length",
    "input_shape",
)  # fmt: skip
"""Options of a wrapper, where wrapper and layer are one class."""


def translate_model(
    architecture: Mapping[str, Any], *, theano: bool = False, version: str = ""
) -> Entry:
    """The architecture of a model as Keras 2 would have written it, models inside it included.

    A Sequential that begins by merging others becomes the functional model that it is. A layer
    that does not say its ``dim_ordering`` has that of the others; if none says it, that which Keras
    began with, ``th`` before version 1.1.

    Args:
        architecture: the parsed JSON or YAML, in the form of Keras 1 or of Keras 0.
        theano: whether it is to compute what it computed on Theano, which pads otherwise.
        version: of the Keras that wrote it, empty if nobody knows.

    Raises:
        UnreadableFile: it makes no sense.
        Unsupported: a layer or an option that Keras 2 cannot express.
    """
    try:
        model = in_keras_1(architecture) if is_keras_0(architecture) else architecture
        writer = Writer(theano, version)
        usual = "th" if writer.is_before(1, 1) else "tf"
        return translate(model, replace(writer, dim_ordering=next(_dim_orderings(model), usual)))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UnreadableFile(
            f"its architecture cannot be understood: {type(error).__name__} {error}"
        ) from None


def translate(layer: Mapping[str, Any], writer: Writer = LATEST) -> Entry:
    """A layer, or a model that is one, as Keras 2 would have written it.

    Args:
        layer: ``class_name`` and ``config``; what else there is stays.
        writer: what wrote it, whose computation it is to be.

    Raises:
        Unsupported: what Keras 2 cannot express.
        UnreadableFile: options that make no sense.
    """
    kind, config = layer["class_name"], layer["config"]
    if kind in MODELS:
        return _model(layer, writer)
    if kind == "TimeDistributedDense":
        kind, config = "TimeDistributed", _over_time(config)
    name, options = translate_layer(kind, dict(config), writer)
    if kind in WRAPPERS:
        options["layer"] = translate(config["layer"], writer)
    if kind == "Merge" and "layers" in config:
        options["layers"] = [translate(branch, writer) for branch in config["layers"]]
    return {**layer, "class_name": name, "config": options}


def keeps_deviation(keras_version: str) -> bool:
    """Whether BatchNormalization's running_std is what its name says, not a variance.

    So it was up to Keras 1.0.5. An architecture without a version is older than Keras 1.0.4, the
    first that wrote one.
    """
    return Writer(version=keras_version).is_before(1, 0, 6)


def _model(model: Mapping[str, Any], writer: Writer) -> Entry:
    config: Any = model["config"]
    entries = config if isinstance(config, list) else config["layers"]
    layers = [translate(entry, writer) for entry in entries]
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
