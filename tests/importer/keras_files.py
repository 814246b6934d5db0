"""Keras files made without Keras, for tests that need one in a millisecond."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, Mapping[str, Any]]


def floats(values: Any, dtype: str = "float32") -> NDArray[Any]:
    """Numbers as an array in single precision, or of another type."""
    return np.asarray(values, dtype)


def entry(kind: str, name: str, *inbound: Any, **config: Any) -> dict[str, Any]:
    """A layer of a functional model of Keras 2; ``inbound`` are its calls."""
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": list(inbound),
    }


def link(*names: str) -> list[Any]:
    """A call on the outputs of these layers."""
    return [[name, 0, 0, {}] for name in names]


def given(name: str = "x", *shape: int | None, **config: Any) -> dict[str, Any]:
    """An input layer."""
    sizes = [None, *(shape or (4,))]
    return entry("InputLayer", name, batch_input_shape=sizes, dtype="float32", **config)


def functional(*layers: Any, inputs: Sequence[str] = ("x",), outputs: Sequence[str] = ()) -> Any:
    """A functional model; its output is the last layer's unless named."""
    ends = outputs or [layers[-1]["name"]]
    return {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": list(layers),
            "input_layers": [[name, 0, 0] for name in inputs],
            "output_layers": [[name, 0, 0] for name in ends],
        },
    }


def dense_arrays(inputs: int, units: int, seed: int = 0) -> dict[str, Any]:
    """Kernel and bias of a dense layer."""
    rng = np.random.default_rng(seed)
    return {
        "kernel:0": rng.normal(size=(inputs, units)).astype(np.float32),
        "bias:0": rng.normal(size=units).astype(np.float32),
    }


def write(
    path: Path,
    architecture: Any,
    arrays: Arrays | None = None,
    version: str = "2.4.0",
    backend: str = "tensorflow",
) -> Path:
    """Writes a full model as Keras 2 does."""
    arrays = arrays or {}
    config = architecture["config"]
    layers = config if isinstance(config, list) else config.get("layers", [])
    names = list(dict.fromkeys(layer["config"]["name"] for layer in layers))
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(architecture)
        file.attrs["keras_version"], file.attrs["backend"] = version, backend
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group = weights.create_group(name)
            stored = {f"{name}/{local}": value for local, value in arrays.get(name, {}).items()}
            group.attrs["weight_names"] = [key.encode() for key in stored]
            for key, value in stored.items():
                group.create_dataset(key, data=value)
    return path


def small_model(path: Path) -> Path:
    """Two dense layers, 4 → 3 → 2."""
    architecture = functional(
        given(),
        entry("Dense", "hidden", link("x"), units=3, activation="relu", use_bias=True),
        entry("Dense", "classes", link("hidden"), units=2, activation="softmax", use_bias=True),
    )
    return write(path, architecture, {"hidden": dense_arrays(4, 3), "classes": dense_arrays(3, 2)})
