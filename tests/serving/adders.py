"""A model that adds a number, so that an answer tells which version gave it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from cortex.runtime.check import Check, Recorded
from cortex.runtime.export import LAYERS, ServedLayer
from cortex.runtime.repository import CONFIG, MODEL, install, write_check

from .repositories import FLOAT

X = np.arange(4, dtype=np.float32).reshape(2, 2)


def adder(
    root: Path,
    name: str = "adder",
    *,
    wrong: bool = False,
    padding: int = 0,
    version: int | None = None,
    **config: Any,
) -> int:
    """Installs the next version: it adds its own number; ``wrong``: its check says otherwise.

    ``padding`` is how many bytes the files have on top. Returns the number.
    """
    with install(root, name, version) as stage:
        (stage.path / MODEL).write_bytes(graph(float(stage.version), padding))
        y = Recorded.of(X + stage.version + wrong)
        write_check(stage.path / "check.safetensors", Check({"x": X}, {"y": y}, {"added": y}))
    if config:
        configure(root, name, **config)
    return stage.version


def configure(root: Path, name: str = "adder", **config: Any) -> None:
    """Writes its ``config.json``, whatever it says."""
    stage = root / name / ".config"
    stage.write_text(json.dumps(config))
    stage.replace(root / name / CONFIG)


def graph(number: float, padding: int = 0, rows: str | int = "N") -> bytes:
    """The file of a model that adds ``number`` to two floats."""
    initializers = [numpy_helper.from_array(np.array(number, np.float32), "n")]
    if padding:
        initializers.append(numpy_helper.from_array(np.zeros(padding, np.uint8), "padding"))
    onnx_graph = helper.make_graph(
        [helper.make_node("Add", ["x", "n"], ["y"])],
        "adder",
        [helper.make_tensor_value_info("x", FLOAT, [rows, 2])],
        [helper.make_tensor_value_info("y", FLOAT, [rows, 2])],
        initializers,
    )
    model = helper.make_model(
        onnx_graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    helper.set_model_props(
        model, {LAYERS: json.dumps({"added": asdict(ServedLayer("y", (rows, 2)))})}
    )
    return model.SerializeToString()
