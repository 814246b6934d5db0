"""Onnxruntime as a witness: it runs the file itself, of which nothing but its outputs is changed.

Run as a program, in a process of its own: ``python -I -m cortex.importer.onnx.oracle MODEL
INPUTS.npz ANSWER.npz OPTIONS``. OPTIONS is a JSON object of the arguments of ``bear_witness``. The
answer holds the values under their numbers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, ValueInfoProto

from ..cage import in_a_cage
from .file import read_file

AT_ONCE = 64
"""Values that are held in memory at a time."""


def main(model: str, inputs: str, answer: str, options: str) -> int:
    """What the process does; an error is one line."""
    return in_a_cage(lambda: bear_witness(model, inputs, answer, **json.loads(options)))


def bear_witness(
    model: str, inputs: str, answer: str, *, names: Sequence[str], optimized: bool
) -> None:
    """Has onnxruntime compute values of a model, each by its name in the file.

    Without ``optimized`` each operator runs as the file has it, none joined with another.
    """
    import onnxruntime

    path = Path(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimized:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(path.parent.resolve())
    )
    asked = _with_outputs(read_file(path).model, names).SerializeToString()
    session = onnxruntime.InferenceSession(asked, options, providers=["CPUExecutionProvider"])
    with np.load(inputs, allow_pickle=False) as stored:
        given = {name: _fed(stored[name]) for name in stored.files}
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(names), AT_ONCE):
        values = session.run(list(names[start : start + AT_ONCE]), given)
        for i, value in enumerate(values, start):
            array = np.asarray(value)
            found[str(i)] = array.astype(str) if array.dtype == object else array
    np.savez(answer, **found)  # pyright: ignore[reportArgumentType]


def _with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in known
    )
    return model


def _fed(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind == "U" else array


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
