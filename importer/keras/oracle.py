"""Real Keras as a witness: it runs a file, and every layer's output becomes a reference.

Run as a program, in a process of its own: ``python -I -m cortex.importer.keras.oracle MODEL
INPUTS.npz REFERENCE.h5``. Keras reads the untouched file itself, so what it says is evidence from
outside.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.check import Array
from ...runtime.errors import MissingExtra, Unsupported
from .file import KerasFile

NOT_INSTALLED = 4
SECONDS = 1800
LARGEST_FILE = 64 << 30  # bytes that the process may write to one file


def misread(file: KerasFile) -> str | None:
    """Why Keras 3 is known to load this file and compute something else; None if it is not."""
    layers: Any = file.architecture["config"]
    text = str(layers)
    if file.backend == "theano" and "Conv" in text:
        return "it does not turn round the convolution kernels of a file written on Theano"
    if file.generation < 3 and "hard_sigmoid" in text:
        return "its hard_sigmoid has another slope than that of Keras 1 and 2"
    return None


def ask_keras(file: KerasFile, inputs: Mapping[str, Array], folder: Path) -> Path:
    """Has real Keras write a reference file into ``folder`` for these inputs.

    Raises:
        MissingExtra: Keras is not installed.
        Unsupported: Keras cannot read the file, or is known to read it wrongly.
    """
    if file.format != "keras-h5":
        raise Unsupported(f"{file.path}: real Keras is asked about full models only")
    if why := misread(file):
        raise Unsupported(f"{file.path}: Keras 3 is no witness for this file: {why}")
    given, answer = folder / "inputs.npz", folder / "keras.reference.h5"
    np.savez(given, **inputs)  # pyright: ignore[reportArgumentType]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    module = "cortex.importer.keras.oracle"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", module, str(file.path.resolve()), str(given), str(answer)],
            capture_output=True, text=True, timeout=SECONDS, env=environment, cwd=folder,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unsupported(f"{file.path}: Keras did not answer within {SECONDS} seconds") from None
    if done.returncode == NOT_INSTALLED:
        raise MissingExtra("--reference keras", "keras")
    if done.returncode or not answer.exists():
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        raise Unsupported(f"{file.path}: Keras cannot read it: {said[-1].strip()}")
    return answer


def main(model: str, inputs: str, answer: str) -> int:
    """What the process does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        import keras
    except ImportError:
        return NOT_INSTALLED
    loaded: Any = keras.saving.load_model(model, compile=False, safe_mode=True)
    functional: Any = getattr(loaded, "_functional", loaded)  # a Sequential holds one
    with np.load(inputs, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    tensors = dict(_layer_tensors(functional))
    everything = keras.Model(functional.inputs, [*tensors.values(), *functional.outputs])
    values = [np.asarray(value) for value in everything(list(arrays.values()), training=False)]
    layers = dict(zip(tensors, values, strict=False))
    _write(Path(answer), f"keras {keras.__version__}", arrays, layers, values[len(layers) :])
    return 0


def _layer_tensors(functional: Any) -> Iterator[tuple[str, Any]]:
    """Every call of every layer of this model: LAYER, LAYER:1, …, "#1" for a second output."""
    own = {id(node) for nodes in functional._nodes_by_depth.values() for node in nodes}
    for layer in functional.layers:
        # A layer may have been called for other models too.
        calls = [node for node in layer._inbound_nodes if id(node) in own]
        if not calls:
            raise ValueError(f"layer {layer.name!r} has no call in this model")
        for number, node in enumerate(calls):
            name = f"{layer.name}:{number}" if number else layer.name
            for index, tensor in enumerate(node.outputs):
                yield (f"{name}#{index}" if index else name), tensor


def _write(
    path: Path,
    engine: str,
    inputs: Mapping[str, Array],
    layers: Mapping[str, Array],
    outputs: Sequence[Array],
) -> None:
    import h5py

    groups = {
        "inputs": inputs,
        "layer_outputs": layers,
        "outputs": {str(i): value for i, value in enumerate(outputs)},
    }
    with h5py.File(path, "w") as file:
        file.attrs["engine"] = engine
        for group, arrays in groups.items():
            for name, array in arrays.items():
                file.create_dataset(f"{group}/{name.replace('/', '|')}", data=array)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
