"""Asking onnxruntime for any values of an exported model, each call in a session of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import MissingExtra
from .export import read, select

Array = NDArray[Any]
Ask: TypeAlias = Callable[[Sequence[str], Mapping[str, Array]], Sequence[Array]]


def engine() -> Any:
    """The module onnxruntime.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("checking a model", "cpu") from None
    return onnxruntime


def sessions(model: Path) -> Ask:
    """A function (names, inputs) → values, each name an output's or a layer's.

    It runs only what leads to them, in float32 on the CPU; the weights lie beside ``model``.

    Raises:
        MissingExtra: onnxruntime is not installed.
        UnreadableFile: no ONNX model.
    """
    onnxruntime = engine()
    proto = read(model)

    def values(names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        if not names:
            return []
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(model.parent.resolve())
        )
        chosen = select(proto, names).SerializeToString()
        session = onnxruntime.InferenceSession(chosen, options, providers=["CPUExecutionProvider"])
        fed = {given.name: inputs[given.name] for given in session.get_inputs()}
        return [np.asarray(value) for value in session.run(None, fed)]

    return values
