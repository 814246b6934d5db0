"""Asking onnxruntime what the file itself computes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...runtime.check import SMALLEST_SCALE, Array, Recorded
from ...runtime.errors import MissingExtra, Unsupported
from ..cage import run_caged
from ..reference import Reference
from .file import OnnxFile

HERE = __name__.rpartition(".")[0]
WHOLE = 1 << 62
SIGMOID = 2.5e-3
"""The least scale of a sigmoid: onnxruntime computes it as a half and a rest, and what rounding
leaves of one near zero is up to 2**-23."""
SAME = ("Concat", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators whose elements are those of their inputs."""


def witness_name() -> str:
    """Who is asked, as a report names it.

    Raises:
        MissingExtra: it is not installed.
    """
    if not find_spec("onnxruntime"):
        raise MissingExtra("checking a model", "cpu")
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return f"onnxruntime {version(package)}"
        except ModuleNotFoundError:
            continue
    return "onnxruntime"


def computed(
    path: Path, names: Sequence[str], inputs: Mapping[str, Array], *, optimized: bool = False
) -> list[Array]:
    """What onnxruntime computes of the file as it is, in a process of its own.

    ``names`` are those of values in the file.

    Raises:
        MissingExtra: onnxruntime is not installed.
        Unsupported: it cannot run the file on these inputs.
    """
    witness_name()
    with tempfile.TemporaryDirectory(prefix="cortex-onnx-") as folder:
        given, answer = Path(folder) / "inputs.npz", Path(folder) / "answer.npz"
        plain = {n: a.astype(str) if a.dtype == object else a for n, a in inputs.items()}
        np.savez(given, **plain)  # pyright: ignore[reportArgumentType]
        options = json.dumps({"names": list(names), "optimized": optimized})
        arguments = [str(path.resolve()), str(given), str(answer), options]
        if problem := run_caged(f"{HERE}.oracle", arguments, answer, {}):
            raise Unsupported(f"{path}: onnxruntime cannot run it: {problem}; see --input")
        with np.load(answer, allow_pickle=False) as stored:
            found = [stored[str(i)] for i in range(len(names))]
    return [array.astype(object) if array.dtype.kind == "U" else array for array in found]


def reference(
    file: OnnxFile, inputs: Mapping[str, Array], outputs: Sequence[str], layers: Mapping[str, str]
) -> Reference:
    """The file's outputs, and the values in it that are those of the layers, by layer."""
    names = [*outputs, *layers.values()]
    sigmoids = _sigmoids(file)
    recorded = [
        replace(Recorded.of(array, WHOLE), least=SIGMOID if name in sigmoids else SMALLEST_SCALE)
        for name, array in zip(names, computed(file.path, names, inputs), strict=True)
    ]
    count = len(outputs)
    return Reference(
        "onnxruntime",
        witness_name(),
        inputs,
        recorded[:count],
        layers=dict(zip(layers, recorded[count:], strict=True)),
    )


def _sigmoids(file: OnnxFile) -> set[str]:
    """The values that a sigmoid computed, whatever shape or order they have now."""
    found: set[str] = set()
    for node in file.graph.node:
        if node.op_type == "Sigmoid" or (node.op_type in SAME and found.intersection(node.input)):
            found.update(node.output)
    return found
