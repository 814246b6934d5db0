"""Models of Keras 0 in the words of Keras 1, and their arrays by the names of their layers.

Keras 0 keeps class and options of a layer in one object, calls every Dense ``dense``, and numbers
arrays layer by layer, where a model inside counts as one. Source: Keras 0.2.0 to 0.3.3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ....runtime.errors import UnreadableFile, Unsupported
from ...deferred import Deferred
from ..arrays import Arrays, Place

Entry = dict[str, Any]

COUNTS = {
    "BatchNormalization": 4, "Convolution1D": 2, "Convolution2D": 2, "Convolution3D": 2, "Dense": 2,
    "Embedding": 1, "GRU": 9, "Highway": 4, "LSTM": 12, "MaxoutDense": 2, "PReLU": 1,
    "ParametricSoftplus": 2, "SReLU": 4, "SimpleRNN": 3, "TimeDistributedDense": 2,
}  # fmt: skip
"""How many arrays a layer has, if it has any."""


def is_keras_0(architecture: Mapping[str, Any]) -> bool:
    """Whether it is in the form of Keras 0."""
    return "class_name" not in architecture


def in_keras_1(architecture: Mapping[str, Any]) -> Entry:
    """The model as Keras 1 would have written it; a chain inside a chain becomes part of it.

    Raises:
        Unsupported: what Keras 1 has no more, or what the file leaves open.
    """
    if architecture["name"] == "Graph":
        raise Unsupported("a model of class 'Graph', of Keras 0, is not supported")
    text = json.dumps(architecture)
    names = _Names('"cache_enabled"' in text or '"dim_ordering"' in text)
    return _model(architecture, names)


def arrays_by_name(architecture: Mapping[str, Any], stored: Arrays) -> Arrays:
    """The arrays of a model in the form of Keras 0, by the names ``in_keras_1`` gives its layers.

    They stay numbered if it has layers of classes that are not known, which may have arrays.

    Raises:
        UnreadableFile: its layers do not have as many arrays.
    """
    layers = [(layer, _count(layer)) for layer in _leaves(in_keras_1(architecture))]
    wanted = sum(count for _, count in layers)
    if wanted != len(stored):
        if any(_share(layer) != 1 for layer, _ in layers):
            raise UnreadableFile(f"it has {len(stored)} arrays, its layers ask for {wanted}")
        return stored
    arrays = iter(array for _, array in stored.stored)
    found: list[tuple[Place, Deferred]] = []
    for layer, count in layers:
        config = layer["config"]
        for number in range(count):
            found.append(((config["name"], f"param_{number}"), _scaled(layer, next(arrays))))
    return Arrays(found)


class _Names:
    """The names of layers, each given once; ``is_0_3``: the file is not of Keras 0.2."""

    def __init__(self, is_0_3: bool) -> None:
        self.is_0_3, self._used = is_0_3, set[str]()

    def free(self, name: str) -> str:
        """The name, with a number if it is taken."""
        unique, number = name, 1
        while unique in self._used:
            number += 1
            unique = f"{name}_{number}"
        self._used.add(unique)
        return unique


def _model(entry: Mapping[str, Any], names: _Names) -> Entry:
    return {"class_name": "Sequential", "config": list(_chain(entry["layers"], names))}


def _chain(entries: Iterable[Any], names: _Names) -> Iterator[Entry]:
    for entry in entries:
        if entry["name"] == "Sequential":
            yield from _chain(entry["layers"], names)
        else:
            yield _layer(entry, names)


def _layer(entry: Mapping[str, Any], names: _Names) -> Entry:
    if entry["name"] == "Sequential":
        return _model(entry, names)
    options = dict(entry)
    kind, name = options.pop("name"), options.pop("custom_name", None)
    if "layers" in options:
        options["layers"] = [_layer(one, names) for one in options["layers"]]
    if isinstance(options.get("layer"), Mapping):
        options["layer"] = _layer(options["layer"], names)
    if kind == "Embedding":
        options.pop("input_shape", None)  # it is the number of words
    if kind == "Dropout" and options.get("p") and not names.is_0_3:
        raise Unsupported(
            f"a model with a layer of class 'Dropout' that Keras 0.2 or 0.3.0 wrote: Keras 0.2 "
            f"multiplied by {1 - options['p']:g} outside of training, 0.3.0 did not, and the file "
            "does not say which of them it was"
        )
    return {"class_name": kind, "config": {**options, "name": names.free(name or kind.lower())}}


def _leaves(entry: Entry) -> Iterator[Entry]:
    """The layers that have arrays of their own, in the order in which Keras 0 stores these."""
    kind, config = entry["class_name"], entry["config"]
    if kind == "Sequential":
        for one in config:
            yield from _leaves(one)
    elif kind == "Merge":
        for one in config["layers"]:
            yield from _leaves(one)
    else:
        yield entry


def _count(layer: Entry) -> int:
    if layer["class_name"] != "TimeDistributed":
        return COUNTS.get(layer["class_name"], 0)
    return sum(map(_count, _leaves(layer["config"]["layer"])))


def _scaled(layer: Entry, array: Deferred) -> Deferred:
    share = _share(layer)
    return array if share == 1 else array.map(lambda table: table * table.dtype.type(share))


def _share(layer: Entry) -> float:
    """Keras 0.3.3 multiplies embeddings by the share of words that training does not drop."""
    return 1 - (layer["config"].get("dropout") or 0) if layer["class_name"] == "Embedding" else 1
