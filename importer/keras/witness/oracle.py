"""Real Keras as a witness: it runs a model, and every layer's output becomes a reference.

Run as a program, in a process of its own: ``python -I -m cortex.importer.keras.witness.oracle MODEL
INPUTS.npz REFERENCE.h5 [OPTIONS]``. Keras reads the untouched file itself, so what it says is
evidence from outside. OPTIONS is a JSON object of the arguments of ``bear_witness``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ....runtime.check import Array
from ...cage import in_a_cage
from ..containers.hdf5 import Group, open_file

Named = dict[str, Any]
"""Symbolic tensors by the name of the layer, and call, they come from."""


def main(model: str, inputs: str, answer: str, options: str = "{}") -> int:
    """What the process does; an error is one line."""
    return in_a_cage(lambda: bear_witness(model, inputs, answer, **json.loads(options)))


def bear_witness(
    model: str,
    inputs: str,
    answer: str,
    *,
    package: str = "keras",
    weights: str | None = None,
    layers: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> None:
    """Has real Keras read a model and write what it makes of ``inputs``.

    Args:
        model: a full model, or the JSON of an architecture.
        inputs: arrays by name; where Keras has other names, in order.
        answer: the reference file to write.
        package: ``keras``, on the backend that the environment names, or ``tf_keras``.
        weights: a file of weights, in the place of those of the model.
        layers: the layers to tell of; by default all.
        outputs: the layers that the outputs come from; by default in the order of Keras.
    """
    keras: Any = import_module(package)
    loaded = _loaded(keras, model, weights)
    check_order(loaded, Path(weights or model))
    arrays = read_arrays(Path(inputs))
    functional = _functional(loaded)
    if functional is None:
        loaded.build(next(iter(arrays.values())).shape)
        functional = _functional(loaded)
    tensors = dict(_tensors(functional))
    inner = dict(_inner(keras, functional))
    ends = functional.outputs if outputs is None else [(tensors | inner)[n] for n in outputs]
    known = [name for name in (*tensors, *inner) if layers is None or name in layers]
    Witnessed(
        keras,
        _in_order(functional, arrays),
        {name: tensors[name] for name in known if name in tensors},
        {name: inner[name] for name in known if name in inner},
        ends,
        functional.inputs,
        _stateful(functional),
    ).write(Path(answer), arrays)


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _loaded(keras: Any, model: str, weights: str | None) -> Any:
    if model.endswith(".json"):
        loaded = keras.models.model_from_json(Path(model).read_text("utf-8"))
    else:
        safe = {"safe_mode": True}
        loaded = keras.models.load_model(model, compile=False, **safe)
    if weights:
        loaded.load_weights(weights)
    return loaded


def check_order(loaded: Any, path: Path) -> None:
    """Whether the arrays of an HDF5 file came to the layers they are of.

    Keras goes by order, and on loading it may put layers into another order.

    Raises:
        ValueError: they did not.
    """
    if path.suffix != ".h5":
        return
    with open_file(path) as file:
        root = Group(path, file)
        stored = root.group("model_weights") if "model_weights" in root else root
        if not stored.has_attribute("layer_names"):
            return
        names = stored.texts("layer_names")
        filled = [name for name in names if stored.group(name).texts("weight_names")]
    layers = [layer.name for layer in loaded.layers if layer.weights]
    if set(layers) == set(filled) and layers != filled:
        one, other = next((a, b) for a, b in zip(filled, layers, strict=True) if a != b)
        raise ValueError(f"it gives the arrays of {one!r} to {other!r}")


def _functional(model: Any) -> Any:
    """The graph of a model: Keras 3 puts one into a Sequential; None before it is built."""
    if hasattr(model, "_functional"):
        return model._functional
    return model if getattr(model, "inputs", None) else None


def _in_order(functional: Any, arrays: Mapping[str, Array]) -> list[Array]:
    """The arrays as Keras counts its inputs."""
    names = [tensor._keras_history[0].name for tensor in functional.inputs]
    if len(names) != len(arrays):
        raise ValueError(f"it has {len(names)} inputs, {len(arrays)} are given")
    if set(names) == set(arrays):
        return [arrays[name] for name in names]
    return list(arrays.values())


def _tensors(functional: Any) -> Iterator[tuple[str, Any]]:
    """Every call of every layer of this model: LAYER, LAYER:1, …, "#1" for a second output."""
    for name, node in _calls(functional):
        for index, tensor in enumerate(flat(node.outputs)):
            yield (f"{name}#{index}" if index else name), tensor


def _calls(functional: Any) -> Iterator[tuple[str, Any]]:
    own = {id(node) for nodes in functional._nodes_by_depth.values() for node in nodes}
    for layer in getattr(functional, "operations", functional.layers):
        # A layer may have been called for other models too.
        calls = [node for node in layer._inbound_nodes if id(node) in own]
        for number, node in enumerate(calls):
            yield (f"{layer.name}:{number}" if number else layer.name), node


def _inner(keras: Any, functional: Any) -> Iterator[tuple[str, Any]]:
    """The same of the models inside: OUTER/INNER.

    A model inside is called once more, as one that puts out every tensor it has.
    """
    for name, node in _calls(functional):
        layer = getattr(node, "operation", None) or node.layer
        if not isinstance(layer, keras.Model) or (inside := _functional(layer)) is None:
            continue
        tensors = dict(_tensors(inside)) | dict(_inner(keras, inside))
        open_model = keras.Model(inside.inputs, list(tensors.values()))
        args, kwargs = _arguments(node)
        for title, tensor in zip(tensors, flat(open_model(*args, **kwargs)), strict=True):
            yield f"{name}/{title}", tensor


def _arguments(node: Any) -> tuple[Any, Any]:
    if hasattr(node, "arguments"):
        return node.arguments.args, node.arguments.kwargs
    return node.call_args, node.call_kwargs


def flat(value: Any) -> list[Any]:
    """The tensors of a structure, in the order of Keras."""
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in flat(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in flat(one)]
    return [value]


def _stateful(model: Any) -> list[Any]:
    """The layers that keep a state from call to call."""
    found: list[Any] = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            found += _stateful(layer)
        elif getattr(layer, "stateful", False):
            found.append(layer)
    return found


@dataclass(frozen=True)
class Witnessed:
    """A model of real Keras, ready to run: its symbolic tensors by name.

    ``inner`` are those of models inside, which are computed by a run of their own where a layer
    keeps a state: computing them moves it on.
    """

    keras: Any
    given: Sequence[Array]
    layers: Named
    inner: Named
    outputs: Sequence[Any]
    inputs: Sequence[Any]
    stateful: Sequence[Any] = ()

    def write(self, path: Path, arrays: Mapping[str, Array]) -> None:
        """Runs it and writes the reference; ``arrays`` are the inputs by their names."""
        groups: dict[str, Iterable[tuple[str, Array]]] = {"inputs": arrays.items()}
        once = self._run([*self.layers.values(), *self.outputs])
        layers = dict(zip(self.layers, once, strict=False))
        groups["outputs"] = _numbered(once[len(layers) :])
        if self.stateful:
            groups["outputs_second_call"] = _numbered(self._run(self.outputs))
            for layer in self.stateful:
                (layer.reset_state if hasattr(layer, "reset_state") else layer.reset_states)()
        layers |= zip(self.inner, self._run([*self.inner.values()]), strict=True)
        groups["layer_outputs"] = layers.items()
        _write(path, engine(self.keras), groups)

    def _run(self, tensors: Sequence[Any]) -> list[Array]:
        if not tensors:
            return []
        model = self.keras.Model(list(self.inputs), list(tensors))
        given = list(self.given) if len(self.given) > 1 else self.given[0]
        return [np.asarray(value) for value in flat(model(given, training=False))]


def _numbered(values: Iterable[Array]) -> list[tuple[str, Array]]:
    return [(str(i), value) for i, value in enumerate(values)]


def engine(keras: Any) -> str:
    """What ran: a name, a version, and those of what it stands on."""
    backend = "tensorflow" if keras.__name__ == "tf_keras" else keras.backend.backend()
    for distribution in (backend, f"{backend}_cpu"):
        try:
            return f"{keras.__name__} {keras.__version__} / {backend} {version(distribution)}"
        except PackageNotFoundError:
            continue
    return f"{keras.__name__} {keras.__version__} / {backend}"


def _write(path: Path, name: str, groups: Mapping[str, Iterable[tuple[str, Array]]]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["engine"] = name
        for group, arrays in groups.items():
            for key, array in arrays:
                file.create_dataset(f"{group}/{key.replace('/', '|')}", data=array)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
