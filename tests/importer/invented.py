"""Weights made up for an architecture that came without, stored as its generation of Keras did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cortex.importer.deferred import Deferred
from cortex.importer.keras.arrays import Arrays, Shelf
from cortex.importer.keras.build import Model
from cortex.importer.keras.builder import Builder
from cortex.importer.keras.file import KerasFile, Weights
from cortex.importer.keras.keras1 import translate_model
from cortex.importer.keras.origin import Origin
from cortex.importer.keras.wiring import read_wiring
from cortex.runtime.ir import Graph, Layer
from cortex.runtime.tensor import Tensor

Stored = Mapping[str, Mapping[str, Any]]
"""Arrays by layer and name, in order."""


class Anything(tuple[int, ...]):
    """A shape that fits whatever is asked for."""

    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False


class Wanted(Arrays):
    """The arrays of a layer that has whatever it asks for."""

    def __bool__(self) -> bool:
        return True

    def again(self) -> Wanted:
        return self

    def part(self, *names: str) -> Wanted:
        return self

    def find(self, *names: str) -> None:
        return None

    def take(self, wanted: str) -> Deferred:
        shape = Anything()
        return Deferred(wanted.split("|")[0], shape, np.dtype("float32"), lambda: np.zeros(()))


class Endless(Shelf):
    """A shelf on which there is everything."""

    def __init__(self) -> None:
        super().__init__({}, ())

    def arrays(self, layer: str) -> Wanted:
        return Wanted()


def invent(architecture: Any, rng: np.random.Generator) -> Stored:
    """Random arrays of the shapes that the graph of an architecture has; those of Keras 2."""
    version = str(architecture["keras_version"])
    file = KerasFile(Path("model"), "", version, "tensorflow", architecture, Weights(Arrays()))
    translated = translate_model(architecture) if file.generation == 1 else architecture
    wiring = read_wiring(translated)
    builder = Builder()
    facts = {layer.name: layer.config for layer in wiring.layers}
    inputs = [builder.add_input(n, _input(facts[n], i)) for i, n in enumerate(wiring.inputs)]
    Model(wiring, Endless(), builder, Origin(version, "tensorflow", "2")).call(inputs)
    last = builder.nodes[-1].name
    layers = {name: Layer(layer.value, layer.kind) for name, layer in builder.layers.items()}
    graph = Graph(builder.inputs, tuple(builder.nodes), {"y": last}, layers)
    found: dict[str, dict[str, Any]] = {}
    for name in builder.parameters:
        layer, _, rest = name.partition("/")
        found.setdefault(layer, {})[rest] = _drawn(rng, rest, graph.parameters[name].shape)
    return found


def _input(config: Any, index: int) -> Tensor:
    sizes = list((config.get("batch_input_shape") or config["batch_shape"])[1:])
    dtype = "int32" if "int" in str(config.get("dtype")) else "float"
    named = (n or f"T{index}" for n in sizes)
    return Tensor(("N", *named), dtype)


def _drawn(rng: np.random.Generator, name: str, shape: Any) -> Any:
    """Numbers that keep what flows through of about the same size."""
    if name.endswith("variance"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    rows = int(np.prod(shape[:-1])) if len(shape) > 1 else 10
    limit = 0.5 if name.endswith("embeddings") else np.sqrt(3 / rows)
    return rng.uniform(-limit, limit, shape).astype(np.float32)


GATES = ("i", "c", "f", "o")
PLACES = (0, 2, 1, 3)
"""Where Keras 2 keeps the gates that Keras 1 stores in the order of GATES."""


def as_keras_1(stored: Stored) -> Stored:
    """The same arrays under the names, and in the pieces, of Keras 1."""
    return {layer: dict(_pieces(layer, arrays)) for layer, arrays in stored.items()}


def _pieces(layer: str, arrays: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    local = {name.rpartition("/")[2]: array for name, array in arrays.items()}
    if "recurrent_kernel" not in local:
        for name, array in local.items():
            yield f"{layer}_{name.replace('kernel', 'W').replace('bias', 'b')}:0", array
        return
    for gate, place in zip(GATES, PLACES, strict=True):
        for name, letter in (("kernel", "W"), ("recurrent_kernel", "U"), ("bias", "b")):
            yield f"{layer}_{letter}_{gate}:0", np.split(local[name], 4, axis=-1)[place]


def write_weights(path: Path, stored: Stored, version: str) -> Path:
    """A file of weights; that of Keras 1 does not say so."""
    first = version.startswith("1")
    stored = as_keras_1(stored) if first else stored
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in stored]
        if not first:
            file.attrs["keras_version"], file.attrs["backend"] = version, "tensorflow"
        for layer, arrays in stored.items():
            group = file.create_group(layer)
            names = [name if first else f"{layer}/{name}:0" for name in arrays]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.values(), strict=True):
                group.create_dataset(name, data=array)
    return path
