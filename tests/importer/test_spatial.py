"""Converters of layers with spatial axes: by hand what must be told apart, and by real Keras."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.runtime import ops
from cortex.runtime.errors import CortexError
from cortex.runtime.op import Operation

from .keras_files import entry, functional, given, link, write
from .spatial_cases import shapes

Array = Any
SERIES, IMAGE, VOLUME = (7, 4), (8, 7, 4), (4, 6, 5, 4)


def network(
    path: Path,
    kind: str,
    shape: tuple[int | None, ...],
    arrays: Mapping[str, Array] | None = None,
    *,
    version: str = "2.15.0",
    backend: str = "tensorflow",
    dtype: str = "float32",
    **options: Any,
) -> Any:
    """The network of a model of one layer."""
    x = given("x", *shape) | {}
    x["config"] = {**x["config"], "dtype": dtype}
    model = functional(x, entry(kind, "layer", link("x"), **options))
    return load(write(path / "model.h5", model, {"layer": arrays or {}}, version, backend)).network


def computed(net: Any, x: Array) -> Array:
    """What it makes of an input."""
    return net.run({"x": x}, dtype=np.float64)["layer"]


FIRST = {"data_format": "channels_first"}

BECOMES: Mapping[str, tuple[str, tuple[int | None, ...], dict[str, Any], Sequence[Operation]]] = {
    "windows of Theano": (
        "AveragePooling2D",
        IMAGE,
        {"pool_size": [3, 2], "strides": [2, 2], "padding": [[1, 1], [1, 0]]},
        [ops.AveragePooling((3, 2), (2, 2), ((1, 1), (1, 0)))],
    ),
    "a window along one axis": (
        "MaxPooling1D",
        SERIES,
        {"pool_size": [3], "strides": None},
        [ops.MaxPooling((3,), (3,), "valid")],
    ),
    "adaptive": (
        "AdaptiveMaxPooling2D",
        IMAGE,
        {"output_size": [2, 3]},
        [ops.AdaptiveMaxPooling((2, 3))],
    ),
    "adaptive by one number": (
        "AdaptiveAveragePooling3D",
        VOLUME,
        {"output_size": 2},
        [ops.AdaptiveAveragePooling((2, 2, 2))],
    ),
    "a frame around a volume": (
        "ZeroPadding3D",
        VOLUME,
        {"padding": [1, [0, 2], 3]},
        [ops.ZeroPadding(((1, 1), (0, 2), (3, 3)))],
    ),
    "longer": ("UpSampling1D", SERIES, {"size": 3}, [ops.Resample(factors=(3,))]),
    "larger": (
        "UpSampling3D",
        VOLUME,
        {"size": [2, 1, 3]},
        [ops.Resample(factors=(2, 1, 3))],
    ),
    "larger and smoother": (
        "UpSampling2D",
        (None, None, 3),
        {"size": [2, 2], "interpolation": "bilinear"},
        [ops.Resample(factors=(2, 2), method="bilinear")],
    ),
    "of TensorFlow 1": (
        "UpSampling2D",
        IMAGE,
        {"size": 2, "interpolation": "bilinear", "version": "2.1.6-tf"},
        [ops.Resample(factors=(2, 2), method="corner_bilinear")],
    ),
    "of TensorFlow 2": (
        "UpSampling2D",
        IMAGE,
        {"size": 2, "interpolation": "bilinear", "version": "2.2.4-tf"},
        [ops.Resample(factors=(2, 2), method="bilinear")],
    ),
    "of Keras alone": (
        "UpSampling2D",
        IMAGE,
        {"size": 2, "interpolation": "bilinear", "version": "2.2.4"},
        [ops.Resample(factors=(2, 2), method="corner_bilinear")],
    ),
    "of a late Keras 2": (
        "UpSampling2D",
        IMAGE,
        {"size": 2, "interpolation": "bilinear", "version": "2.21.0"},
        [ops.Resample(factors=(2, 2), method="bilinear")],
    ),
    "cubic by a table": (
        "Resizing",
        IMAGE,
        {"height": 3, "width": 4, "interpolation": "BICUBIC"},
        [ops.Resample((3, 4), method="tabulated_bicubic")],
    ),
    "cubic by a table in Keras 3": (
        "Resizing",
        IMAGE,
        {"height": 3, "width": 4, "interpolation": "bicubic", "version": "3.9.0"},
        [ops.Resample((3, 4), method="tabulated_bicubic")],
    ),
    "cubic by a formula": (
        "Resizing",
        IMAGE,
        {"height": 3, "width": 4, "interpolation": "bicubic", "version": "3.9.0", "backend": "jax"},
        [ops.Resample((3, 4), method="bicubic")],
    ),
    "a part with other proportions": (
        "Resizing",
        (340, 500, 3),
        {"height": 20, "width": 20, "crop_to_aspect_ratio": True},
        [ops.Cropping(((0, 0), (80, 80))), ops.Resample((20, 20), method="bilinear")],
    ),
    "a frame for other proportions": (
        "Resizing",
        (5, 8, 3),
        {"height": 4, "width": 4, "pad_to_aspect_ratio": True, "version": "3.9.0"},
        [
            ops.Pad(((0, 0), (1, 1), (0, 0), (0, 0))),
            ops.Resample((4, 4), method="bilinear"),
        ],
    ),
    "the centre": (
        "CenterCrop",
        IMAGE,
        {"height": 5, "width": 3},
        [ops.Cropping(((1, 2), (2, 2)))],
    ),
    "the centre made larger": (
        "CenterCrop",
        (8, 4, 3),
        {"height": 6, "width": 6},
        [ops.Cropping(((2, 2), (0, 0))), ops.Resample((6, 6), method="bilinear")],
    ),
    "a crop, which is resized": (
        "RandomCrop",
        (8, 4, 3),
        {"height": 6, "width": 6, "seed": 1},
        [ops.Cropping(((2, 2), (0, 0))), ops.Resample((6, 6), method="bilinear")],
    ),
    "a crop, which is none": (
        "RandomCrop",
        IMAGE,
        {"height": 6, "width": 6, "seed": 1, "version": "3.9.0"},
        [],
    ),
    "no flip": ("RandomFlip", IMAGE, {"mode": "horizontal", "strength": 9}, []),
    "no flip of whole numbers": ("RandomFlip", IMAGE, {"dtype": "uint8"}, [ops.Cast("float")]),
    "whole numbers": (
        "Resizing",
        IMAGE,
        {"height": 3, "width": 4, "dtype": "uint8", "version": "3.9.0"},
        [
            ops.Cast("float"),
            ops.Resample((3, 4), method="bilinear"),
            ops.Round(),
            ops.Cast("int32"),
        ],
    ),
    "whole numbers before Keras 3": (
        "Resizing",
        IMAGE,
        {"height": 3, "width": 4, "dtype": "uint8"},
        [ops.Cast("float"), ops.Resample((3, 4), method="bilinear")],
    ),
}


@pytest.mark.parametrize("case", BECOMES)
def test_becomes(case: str, tmp_path: Path) -> None:
    kind, shape, options, expected = BECOMES[case]
    assert [node.op for node in network(tmp_path, kind, shape, **options).graph.nodes] == expected


SMALL = {"height": 2, "width": 2, "version": "3.9.0"}

REFUSED: Mapping[str, tuple[str, tuple[int | None, ...], dict[str, Any], str]] = {
    "an unknown method": (
        "UpSampling2D",
        IMAGE,
        {"size": 2, "interpolation": "spline"},
        "interpolation 'spline' is not supported",
    ),
    "bilinear on Theano": (
        "UpSampling2D",
        IMAGE,
        {"size": 2, "interpolation": "bilinear", "version": "2.2.4", "backend": "theano"},
        "interpolation on Theano 'bilinear' is not supported",
    ),
    "cubic on PyTorch": (
        "Resizing",
        IMAGE,
        {
            "height": 2,
            "width": 2,
            "interpolation": "bicubic",
            "version": "3.9.0",
            "backend": "torch",
        },
        "interpolation on PyTorch 'bicubic' is not supported",
    ),
    "cubic of whole numbers": (
        "Resizing",
        IMAGE,
        {
            "height": 2,
            "width": 2,
            "interpolation": "lanczos3",
            "dtype": "uint8",
            "version": "3.9.0",
        },
        "interpolation of whole numbers 'lanczos3' is not supported",
    ),
    "another frame": (
        "Resizing",
        IMAGE,
        {"height": 2, "width": 2, "fill_mode": "reflect"},
        "fill_mode 'reflect' is not supported",
    ),
    "a part of an open size": (
        "CenterCrop",
        (None, 7, 3),
        {"height": 2, "width": 2},
        r"depends on the size of the image, which is \('H', 7\)",
    ),
    "a crop of long ago": (
        "RandomCrop",
        IMAGE,
        {"height": 2, "width": 2, "version": "2.4.0"},
        "changed with Keras 2.7",
    ),
    "a size per axis that is none": (
        "AdaptiveMaxPooling2D",
        IMAGE,
        {"output_size": [2, 3, 4]},
        r"output_size \[2, 3, 4\] is not supported",
    ),
    "contrast by histograms": (
        "ContrastLimitedAdaptiveHistogramEqualization",
        IMAGE,
        {},
        r"no converter for the Keras layers ContrastLimited\w* \('layer'\)",
    ),
    "kernels for an open size": (
        "LocallyConnected1D",
        (None, 3),
        {"filters": 2, "kernel_size": 2},
        "a kernel for each position of an open size",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    kind, shape, options, message = REFUSED[case]
    with pytest.raises(CortexError, match=message):
        network(tmp_path, kind, shape, **options)


def transposed_by_hand(x: Array, kernel: Array, stride: int) -> Array:
    """All that a transposed convolution of one spatial axis spreads."""
    rows, size, _ = x.shape
    y = np.zeros((rows, (size - 1) * stride + len(kernel), kernel.shape[1]))
    for t in range(size):
        for k, weights in enumerate(kernel):
            y[:, t * stride + k] += x[:, t] @ weights.T
    return y


@pytest.mark.parametrize(
    ("told", "padding", "before"),
    [(8, "same", 0), (7, "same", 0), (9, "valid", 0), (10, "valid", 0), (7, [[1, 1]], 1)],
)
def test_a_transposed_convolution_has_the_size_it_is_told(
    told: int, padding: Any, before: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(3, 2, 3)), rng.normal(size=(2, 4, 3))
    net = network(
        tmp_path, "Conv1DTranspose", (4, 3), {"kernel:0": kernel}, filters=2, kernel_size=[3],
        strides=[2], padding=padding, output_shape=[told], use_bias=False,
    )  # fmt: skip
    whole = transposed_by_hand(x, kernel, 2)
    expected = np.zeros((2, told, 2))
    over = 9 - told if padding == "same" else 0
    part = whole[:, before + over // 2 :][:, :told]
    expected[:, : part.shape[1]] = part
    np.testing.assert_allclose(computed(net, x), expected, rtol=1e-12)


def test_keras_2_forgets_to_dilate_a_transposed_convolution_of_volumes(tmp_path: Path) -> None:
    options: Any = {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "use_bias": False}
    kernel = {"kernel:0": np.zeros((2, 2, 2, 2, 4), np.float32)}
    for version, dilation in (("2.15.0", ()), ("3.9.0", (2, 2, 2))):
        net = network(tmp_path, "Conv3DTranspose", VOLUME, kernel, version=version, **options)
        assert net.graph.nodes[0].op.dilation == dilation


def test_the_first_of_a_pair_of_layers_leaves_its_channels_last(tmp_path: Path) -> None:
    model = functional(
        given("x", 3, 8, 8),
        entry("MaxPooling2D", "pool", link("x"), pool_size=2, **FIRST),
        entry("UpSampling2D", "up", link("pool"), size=2, **FIRST),
        entry("ZeroPadding2D", "pad", link("up"), padding=1, **FIRST),
        entry("GlobalMaxPooling2D", "most", link("pad"), **FIRST),
    )
    graph = load(write(tmp_path / "model.h5", model)).network.graph
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds == ["transpose", "max_pooling", "resample", "zero_padding", "global_max_pooling"]
    assert graph.layers["pad"].axes == (0, 3, 1, 2)
    assert graph.layers["most"].axes == ()


CONNECTED = [
    ((7, 3), (3,), (2,), "valid", False),
    ((6, 2), (2,), (1,), "same", False),
    ((5, 6, 2), (3, 2), (1, 2), "same", True),
    ((4, 5, 2), (2, 3), (2, 1), "valid", True),
    ((4, 5, 2), (2, 3), (2, 2), "same", False),
]


@pytest.mark.parametrize(
    ("implementation", "shape", "size", "strides", "padding", "first"),
    # Implementation 1 cannot pad.
    [(i, *case) for i in (1, 2, 3) for case in CONNECTED if i > 1 or case[3] == "valid"],
)
def test_every_way_of_storing_a_locally_connected_layer(
    implementation: int,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str,
    first: bool,
    tmp_path: Path,
) -> None:
    *sizes, channels = shape
    rng = np.random.default_rng(0)
    dense, inside = unshared_by_hand(sizes, channels, 3, size, strides, padding == "same", rng)
    axes = len(size) + 1
    bias, x = rng.normal(size=(*dense.shape[axes:-1], 3)), rng.normal(size=(2, *shape))
    arrays = {
        "kernel:0": stored(dense, inside, len(size), first, implementation, size, strides),
        "bias:0": np.moveaxis(bias, -1, 0).reshape(bias.shape) if first else bias,
    }
    given_shape = (channels, *sizes) if first else shape
    options: Any = {"filters": 3, "kernel_size": list(size), "strides": list(strides)}
    options |= {"padding": padding, "implementation": implementation} | (FIRST if first else {})
    net = network(tmp_path, f"LocallyConnected{len(size)}D", given_shape, arrays, **options)
    expected = np.tensordot(x, dense, axes=(range(1, axes + 1), range(axes))) + bias
    found = computed(net, np.moveaxis(x, -1, 1) if first else x)
    np.testing.assert_allclose(np.moveaxis(found, 1, -1) if first else found, expected, rtol=1e-10)


def unshared_by_hand(
    sizes: Sequence[int],
    channels: int,
    filters: int,
    kernel: Sequence[int],
    strides: Sequence[int],
    same: bool,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """(*sizes, channels, *positions, filters): weights, and which of them are in a window."""
    joined = []
    for n, k, s in zip(sizes, kernel, strides, strict=True):
        count = -(-(n if same else n - k + 1) // s)
        distance = np.arange(n)[:, None] - (np.arange(count) * s - (k // 2 if same else 0))
        joined.append((distance >= 0) & (distance < k))
    spatial = joined[0] if len(joined) == 1 else np.einsum("ip,jq->ijpq", *joined)
    rank = len(sizes)
    inside = np.broadcast_to(
        np.expand_dims(spatial, (rank, -1)),
        (*sizes, channels, *spatial.shape[rank:], filters),
    )
    return rng.normal(size=inside.shape) * inside, inside


def stored(
    dense: Array,
    inside: Array,
    rank: int,
    first: bool,
    implementation: int,
    kernel: Sequence[int],
    strides: Sequence[int],
) -> Array:
    """The weights as Keras stores them."""
    if first:
        dense, inside = (np.moveaxis(a, (rank, -1), (0, rank + 1)) for a in (dense, inside))
    if implementation == 2:
        return dense
    rows = int(np.prod(dense.shape[: rank + 1]))
    if implementation == 3:
        matrix, there = dense.reshape(rows, -1).T, inside.reshape(rows, -1).T
        return matrix[there]
    if first:
        dense = np.moveaxis(dense, (0, rank + 1), (rank, -1))
    counts = dense.shape[rank + 1 : -1]
    windows = []
    for position in np.ndindex(*counts):
        at = [slice(p * s, p * s + k) for p, s, k in zip(position, strides, kernel, strict=True)]
        window = dense[(*at, slice(None), *position)]
        windows.append(np.moveaxis(window, rank, 0) if first else window)
    return np.stack([window.reshape(-1, dense.shape[-1]) for window in windows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case, written by real Keras in a process of its own."""
    made = tmp_path_factory.mktemp("spatial")
    command = [sys.executable, "-m", "tests.importer.spatial_cases", str(made)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", shapes())
def test_real_keras_agrees(name: str, folder: Path) -> None:
    report = load(folder / f"{name}.keras").report
    assert report.first_difference is None
    assert report.verified
    assert report.largest < 1e-5
