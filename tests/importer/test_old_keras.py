"""Files as Keras 0.3.3 to 2.2.5 wrote them, on Theano and on TensorFlow, and what they computed.

Those versions themselves made ``old_keras.npz``: small models with random arrays, their inputs and
outputs. They ran on Python 3.6 with Theano 1.0.5 and with TensorFlow 0.12.1 (Keras up to 1.1.2),
1.2.1 (1.2.2) and 1.14.0 (2.x). ``index`` is JSON; ``numbers`` are all arrays, in its order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cortex.importer import load

Case = dict[str, Any]


def read_cases() -> Iterator[Case]:
    """Every case, with arrays where the index has shapes."""
    with np.load(Path(__file__).with_name("old_keras.npz")) as stored:
        index, numbers = json.loads(stored["index"].tobytes()), stored["numbers"]
    start = 0

    def array(shape: list[int]) -> Any:
        nonlocal start
        size = int(np.prod(shape))
        start += size
        return numbers[start - size : start].reshape(shape)

    for case in index:
        for _, arrays in case["groups"]:
            arrays[:] = [(name, array(shape)) for name, shape in arrays]
        case["inputs"] = {name: array(shape) for name, shape in case["inputs"]}
        for part in ("outputs", "outputs_second_call"):
            case[part] = {str(i): array(shape) for i, shape in enumerate(case.get(part, ()))}
        yield case


CASES = {case["name"]: case for case in read_cases()}


def write_weights(root: Any, groups: Any) -> None:
    """Keras 0 counts layers and arrays, later versions list their names."""
    is_numbered = groups[0][0] == "layer_0"
    if is_numbered:
        root.attrs["nb_layers"] = len(groups)
    else:
        root.attrs["layer_names"] = [layer.encode() for layer, _ in groups]
    for layer, arrays in groups:
        group = root.create_group(layer)
        if is_numbered:
            group.attrs["nb_params"] = len(arrays)
        else:
            group.attrs["weight_names"] = [name.encode() for name, _ in arrays]
        for name, array in arrays:
            group[name] = array


def write(case: Case, folder: Path) -> tuple[Path, Path | None]:
    """The model's file, the file of its weights if that is another, and beside it the reference."""
    with h5py.File(folder / "model.reference.h5", "w") as file:
        for part in ("inputs", "outputs", "outputs_second_call"):
            for name, array in case[part].items():
                file[f"{part}/{name}"] = array
    model, weights = folder / f"model.{case['form']}", folder / "weights.h5"
    if case["form"] != "h5":
        model.write_text(case["model"])
        with h5py.File(weights, "w") as file:
            write_weights(file, case["groups"])
        return model, weights
    with h5py.File(model, "w") as file:
        file.attrs["model_config"] = case["model"].encode()
        for name, value in case["attributes"].items():
            file.attrs[name] = value.encode()
        write_weights(file.create_group("model_weights"), case["groups"])
    return model, None


@pytest.mark.parametrize("name", CASES)
def test_computes_what_it_computed_then(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    has_arrays = any(arrays for _, arrays in case["groups"])  # whose names tell the backend
    told = None if has_arrays else case["backend"]
    report = load(*write(case, tmp_path), keras1_backend=told).report
    assert report.first_difference is None
    assert report.verified
    assert report.largest < 1e-5
