"""Kernels and tables of few bits, and how far rounding may lead from Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.keras.converters.quantized import quantization_mode, unpacked
from cortex.importer.keras.file import read_file
from cortex.importer.keras.witness.precision import coarseness
from cortex.importer.source import ModelSource
from cortex.runtime.errors import Unsupported

from .keras_files import entry, floats, functional, given, link, write

VERSION = "3.15.1"


def policy(mode: str, kind: str = "QuantizedDTypePolicy") -> dict[str, Any]:
    """A policy as Keras 3 writes it."""
    return {"class_name": kind, "config": {"mode": mode, "source_name": "float32"}}


def model(folder: Path, layer: dict[str, Any], arrays: dict[str, Any], *shape: int) -> Path:
    file = functional(given("x", *shape), layer)
    return write(folder / "model.h5", file, {"layer": arrays}, VERSION)


MODES: list[tuple[Any, str]] = [
    (None, ""),
    ("float32", ""),
    ("mixed_float16", ""),
    ("int8_from_float32", "int8"),
    ("int4/128_from_mixed_bfloat16", "int4"),
    (policy("int8"), "int8"),
    (policy("int4/-1", "Int4DTypePolicy"), "int4"),
    ({"class_name": "DTypePolicy", "config": {"name": "float32"}}, ""),
    ({"class_name": "DTypePolicy", "config": {"name": "int8_from_float32"}}, "int8"),
]


@pytest.mark.parametrize(("dtype", "mode"), MODES)
def test_modes(dtype: Any, mode: str) -> None:
    assert quantization_mode(dtype) == mode


def test_two_numbers_in_a_byte() -> None:
    """The example of ``unpack_int4`` of Keras."""
    packed = np.array([[45, -121], [1, 0]], np.int8)
    assert unpacked(packed, 3, 0).tolist() == [[-3, 7], [2, -8], [1, 0]]


STORED: dict[str, tuple[dict[str, Any], dict[str, Any], list[list[float]]]] = {
    "int8": (
        policy("int8"),
        {
            "kernel": floats([[2, -4, 6], [8, 0, 1]], "int8"),
            "kernel_scale": floats([2, 4, 1]),
        },
        [[1, -1, 6], [4, 0, 1]],
    ),
    "int4": (
        policy("int4/-1", "Int4DTypePolicy"),
        {
            "kernel": floats([[2 | -4 << 4, 6], [7, 1]], "int8"),
            "kernel_scale": floats([2, 4, 1]),
        },
        [[1, -1, 6], [3.5, 0, 1]],
    ),
    "int4 in groups": (
        policy("int4/1", "Int4DTypePolicy"),
        {
            "kernel": floats([[2 | -4 << 4, 6], [7, 1]], "int8"),
            "kernel_scale": floats([[1, 2, 3], [4, 5, 6]]),
            "kernel_zero": floats([[1, 0, 0], [0, 1, 0]], "int8"),
            "g_idx": floats([0, 1]),
        },
        [[1, -8, 18], [28, -5, 6]],
    ),
}


@pytest.mark.parametrize("case", STORED)
def test_a_kernel_is_made_floats(case: str, tmp_path: Path) -> None:
    dtype, arrays, kernel = STORED[case]
    layer = entry("Dense", "layer", link("x"), units=3, use_bias=False, dtype=dtype)
    network = load(model(tmp_path, layer, arrays, 2)).network
    assert np.asarray(network.parameters["layer/kernel"]).tolist() == kernel


def test_a_table_is_made_floats(tmp_path: Path) -> None:
    layer = entry("Embedding", "layer", link("x"), input_dim=2, output_dim=3, dtype=policy("int8"))
    arrays = {
        "embeddings": floats([[2, 4, 6], [8, 0, 1]], "int8"),
        "embeddings_scale": floats([2, 4]),
    }
    network = load(model(tmp_path, layer, arrays, 1)).network
    found = np.asarray(network.parameters["layer/embeddings"])
    assert found.tolist() == [[1, 2, 3], [2, 0, 0.25]]


def test_a_scale_goes_to_the_axes_of_the_kernel(tmp_path: Path) -> None:
    """That of an equation has the axes of the result, here in another order than the kernel's."""
    layer = entry(
        "EinsumDense", "layer", link("x"), equation="abc,cd->adb", output_shape=[2, 1],
        bias_axes=None, dtype=policy("int8"),
    )  # fmt: skip
    arrays = {
        "kernel": floats([[2, 4], [6, 8], [10, 12]], "int8"),
        "kernel_scale": floats([[[2], [4]]]),
    }
    network = load(model(tmp_path, layer, arrays, 1, 3)).network
    found = np.asarray(network.parameters["layer/kernel"])
    assert found.tolist() == [[1, 1], [3, 2], [5, 3]]


def test_a_change_of_low_rank_is_added(tmp_path: Path) -> None:
    layer = entry("Dense", "layer", link("x"), units=2, use_bias=False, lora_rank=1, lora_alpha=2)
    arrays = {
        "lora_kernel_a": floats([[1], [2]]),
        "lora_kernel_b": floats([[3, 4]]),
        "kernel": floats([[1, 1], [1, 1]]),
    }
    network = load(model(tmp_path, layer, arrays, 2)).network
    assert np.asarray(network.parameters["layer/kernel"]).tolist() == [[7, 9], [13, 17]]


@pytest.mark.parametrize("mode", ["float8", "gptq/4/128", "awq/4/128"])
def test_other_modes_are_refused(mode: str, tmp_path: Path) -> None:
    layer = entry("Dense", "layer", link("x"), units=3, use_bias=False, dtype=policy(mode))
    with pytest.raises(Unsupported, match=f"of the mode {mode.partition('/')[0]}"):
        load(model(tmp_path, layer, {"kernel": np.zeros((2, 3), np.float32)}, 2))


QUANTIZER = {"class_name": "AbsMaxQuantizer", "config": {}}
COARSE: list[tuple[str, Any, Any, float | None]] = [
    ("Dense", "float32", None, None),
    ("Dense", "mixed_float16", None, 0.01),
    ("Conv2D", {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}, None, 0.05),
    ("Dense", policy("int8"), None, 0.02),
    ("Dense", policy("int8"), {"config": {"activation_quantizer": None}}, None),
    ("Dense", policy("int4/-1"), None, None),
    ("Dense", policy("int4/-1"), {"config": {"activation_quantizer": QUANTIZER}}, 0.02),
    ("Embedding", policy("int8"), None, None),
]


@pytest.mark.parametrize(("kind", "dtype", "config", "tolerance"), COARSE)
def test_how_far_rounding_leads(
    kind: str, dtype: Any, config: Any, tolerance: float | None, tmp_path: Path
) -> None:
    layer = entry(kind, "layer", link("x"), dtype=dtype, quantization_config=config)
    found = coarseness(read_file(ModelSource(model(tmp_path, layer, {}, 4))))
    assert (found and found.tolerance) == tolerance
