"""Converters of numbers rescaled, normalized, put into bins and looked up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.runtime.errors import CortexError

from .keras_files import entry, functional, given, write
from .test_spatial import computed, network

Array = Any
VECTOR, IMAGE = (6,), (2, 2, 3)
NAN = float("nan")
IDS = np.array([[12, 36, -3, 42, 7, 5], [7, 7, 12, 12, 0, -5]])
VOCABULARY = [12, 36, -3, 42]


def pixels() -> Array:
    return np.random.default_rng(0).uniform(-1, 1, (2, *IMAGE))


RESCALED: Mapping[str, tuple[dict[str, Any], Array]] = {
    "numbers": ({"scale": 2.0, "offset": -1.0}, 2 * pixels() - 1),
    "without offset": ({"scale": 1 / 255}, pixels() / 255),
    "a number for each channel": (
        {"scale": [1.0, 2.0, 3.0], "offset": 0.5},
        pixels() * [1, 2, 3] + 0.5,
    ),
    "arrays of Keras 3": (
        {
            "scale": {"class_name": "__numpy__", "config": {"value": [1, 2, 3], "dtype": "f4"}},
            "offset": {"class_name": "__tensor__", "config": {"value": 0.5, "dtype": "f4"}},
            "version": "3.9.0",
        },
        pixels() * [1, 2, 3] + 0.5,
    ),
}


@pytest.mark.parametrize("case", RESCALED)
def test_rescales(case: str, tmp_path: Path) -> None:
    options, expected = RESCALED[case]
    found = computed(network(tmp_path, "Rescaling", IMAGE, **options), pixels())
    np.testing.assert_allclose(found, expected, rtol=1e-6)


MOMENTS = {"mean:0": np.array([0.1, 0.2, 0.3]), "variance:0": np.array([4.0, 0.0, 1.0])}
STORED = MOMENTS | {"count:0": np.array(7)}
DEVIATION = np.array([2.0, 1e-7, 1.0])

NORMALIZED: Mapping[str, tuple[dict[str, Any], Array]] = {
    "stored": ({"axis": [-1], "arrays": STORED}, (pixels() - [0.1, 0.2, 0.3]) / DEVIATION),
    "inverted": (
        {"axis": -1, "arrays": STORED, "invert": True},
        pixels() * DEVIATION + [0.1, 0.2, 0.3],
    ),
    "inverted by Keras 2.10": (
        {"axis": -1, "arrays": STORED, "invert": True, "version": "2.10.0"},
        (pixels() + np.array([0.1, 0.2, 0.3])) * DEVIATION,
    ),
    "numbers": ({"axis": None, "mean": 0.5, "variance": 4.0}, (pixels() - 0.5) / 2),
    "a number for each": (
        {"axis": [3], "mean": [1.0, 2.0, 3.0], "variance": [1.0, 4.0, 9.0]},
        (pixels() - [1, 2, 3]) / [1, 2, 3],
    ),
    "two axes": (
        {"axis": [-1, 1], "mean": [1.0, 2.0, 3.0], "variance": 1.0},
        pixels() - [1, 2, 3],
    ),
}


@pytest.mark.parametrize("case", NORMALIZED)
def test_normalizes(case: str, tmp_path: Path) -> None:
    options, expected = NORMALIZED[case]
    found = computed(network(tmp_path, "Normalization", IMAGE, **options), pixels())
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_it_normalizes_by_does_not_learn(tmp_path: Path) -> None:
    graph = network(tmp_path, "Normalization", IMAGE, STORED, axis=-1).graph
    assert not any(param.trainable for param in graph.parameters.values())


POINTS = np.array([[-0.6, -0.5, 0.0, 0.2, 0.25, 9.0]])
BINS = {"bin_boundaries": [-0.5, 0.0, 0.25]}
SUMMARY = {"summary:0": np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]], np.float32)}
SCANTY = {"summary:0": np.array([[1.0, 2.0], [1.0, 1.0]], np.float32)}

BINNED: Mapping[str, tuple[dict[str, Any], Any]] = {
    "numbers": (BINS, [[0, 1, 2, 2, 3, 3]]),
    "numbers of an early version": ({"bins": [-0.5, 0.0, 0.25]}, [[0, 1, 2, 2, 3, 3]]),
    "counts": ({**BINS, "output_mode": "count"}, [[1, 1, 2, 2]]),
    "ones": ({**BINS, "output_mode": "multi_hot"}, [[1, 1, 1, 1]]),
    "one for each": ({**BINS, "output_mode": "one_hot"}, np.eye(4)[[[0, 1, 2, 2, 3, 3]]]),
    "learned": ({"num_bins": 2, "arrays": SUMMARY}, [[0, 0, 0, 0, 0, 1]]),
    "learned from little": ({"num_bins": 3, "arrays": SCANTY}, [[0, 0, 0, 0, 0, 1]]),
}


@pytest.mark.parametrize("case", BINNED)
def test_bins(case: str, tmp_path: Path) -> None:
    options, expected = BINNED[case]
    found = computed(network(tmp_path, "Discretization", VECTOR, **options), POINTS)
    np.testing.assert_array_equal(found, expected)


ENCODED: Mapping[str, tuple[tuple[int, ...], dict[str, Any], Any]] = {
    "one hot": ((3,), {"output_mode": "one_hot"}, np.eye(4)[[[0, 3, 3]]]),
    "one hot of one": ((1,), {"output_mode": "one_hot"}, np.eye(4)[[0]]),
    "multi hot": ((3,), {}, [[1, 0, 0, 1]]),
    "multi hot by its first name": ((3,), {"output_mode": "binary"}, [[1, 0, 0, 1]]),
    "count": ((3,), {"output_mode": "count"}, [[1, 0, 0, 2]]),
}


@pytest.mark.parametrize("case", ENCODED)
def test_encodes(case: str, tmp_path: Path) -> None:
    shape, options, expected = ENCODED[case]
    net = network(tmp_path, "CategoryEncoding", shape, dtype="int32", num_tokens=4, **options)
    found = computed(net, np.array([[0, 3, 3]], np.int32)[:, : shape[0]])
    np.testing.assert_array_equal(found, expected)


def test_counts_by_weights(tmp_path: Path) -> None:
    model = functional(
        given("x", 3),
        given("w", 3),
        entry(
            "CategoryEncoding",
            "layer",
            [["x", 0, 0, {"count_weights": ["w", 0, 0]}]],
            num_tokens=4,
            output_mode="count",
        ),
        inputs=("x", "w"),
    )
    net = load(write(tmp_path / "model.h5", model)).network
    given_arrays = {"x": np.array([[0.0, 3.0, 3.0]]), "w": np.array([[0.5, 1.0, -3.0]])}
    np.testing.assert_array_equal(net.run(given_arrays)["layer"], [[0.5, 0, 0, -2]])


def counts(*rows: Mapping[int, float]) -> Array:
    """Rows of five numbers, most of them zero."""
    return np.array([[row.get(i, 0) for i in range(5)] for row in rows])


LOOKED_UP: Mapping[str, tuple[dict[str, Any], Any]] = {
    "numbers": ({}, [[1, 2, 3, 4, 0, 0], [0, 0, 1, 1, 0, 0]]),
    "a mask": ({"mask_token": 7}, [[2, 3, 4, 5, 0, 1], [0, 0, 2, 2, 1, 1]]),
    "the names of an early version": (
        {"mask_value": 7, "oov_value": -1, "max_values": None},
        [[2, 3, 4, 5, 0, 1], [0, 0, 2, 2, 1, 1]],
    ),
    "special tokens first": (
        {"vocabulary": [7, -1, *VOCABULARY], "mask_token": 7, "oov_token": -1},
        [[2, 3, 4, 5, 0, 1], [0, 0, 2, 2, 1, 1]],
    ),
    "no room for others": (
        {"vocabulary": np.unique(IDS).tolist(), "num_oov_indices": 0},
        np.searchsorted(np.unique(IDS), IDS),
    ),
    "others by their remainder": (
        {"num_oov_indices": 3, "mask_token": 0},
        [[4, 5, 6, 7, 2, 3], [2, 2, 4, 4, 0, 2]],
    ),
    "ones": (
        {"output_mode": "multi_hot"},
        counts(dict.fromkeys(range(5), 1), {0: 1, 1: 1}),
    ),
    "counts": ({"output_mode": "count"}, counts({0: 2, 1: 1, 2: 1, 3: 1, 4: 1}, {0: 4, 1: 2})),
    "counts without a mask": (
        {"output_mode": "count", "mask_token": 7},
        counts({0: 1, 1: 1, 2: 1, 3: 1, 4: 1}, {0: 2, 1: 2}),
    ),
    "counts with room": (
        {"output_mode": "count", "mask_token": 7, "max_tokens": 7, "pad_to_max_tokens": True},
        np.pad(counts({0: 1, 1: 1, 2: 1, 3: 1, 4: 1}, {0: 2, 1: 2}), ((0, 0), (0, 2))),
    ),
    "weights": (
        {"output_mode": "tf-idf", "idf_weights": [1.0, 2.0, 3.0, 4.0]},
        counts({0: 5, 1: 1, 2: 2, 3: 3, 4: 4}, {0: 10, 1: 2}),
    ),
    "weights with special tokens": (
        {
            "output_mode": "tf_idf",
            "idf_weights": [0.5, 1.0, 2.0, 3.0, 4.0],
            "vocabulary": [-1, *VOCABULARY],
        },
        counts({0: 1, 1: 1, 2: 2, 3: 3, 4: 4}, {0: 2, 1: 2}),
    ),
    "stored weights": (
        {"output_mode": "tf_idf", "arrays": {"Variable:0": np.arange(5.0)}},
        counts({1: 1, 2: 2, 3: 3, 4: 4}, {1: 2}),
    ),
}


@pytest.mark.parametrize("case", LOOKED_UP)
def test_looks_up(case: str, tmp_path: Path) -> None:
    given_options, expected = LOOKED_UP[case]
    options: Any = {"vocabulary": VOCABULARY, **given_options}
    net = network(tmp_path, "IntegerLookup", VECTOR, dtype="int64", **options)
    np.testing.assert_array_equal(computed(net, IDS), expected)


def test_looks_up_the_other_way(tmp_path: Path) -> None:
    options: Any = {"vocabulary": VOCABULARY, "invert": True, "mask_token": -9, "oov_token": -1}
    net = network(tmp_path, "IntegerLookup", VECTOR, dtype="int64", **options)
    found = computed(net, np.array([[0, 1, 2, 3, 5, 6]]))
    np.testing.assert_array_equal(found, [[-9, -1, 12, 36, 42, -1]])


REFUSED: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "bins it never learned": (
        "Discretization",
        {"num_bins": 3, "arrays": {"summary:0": np.zeros((2, 0), np.float32)}},
        "it has learned no boundaries",
    ),
    "bins that go down": ("Discretization", {"bin_boundaries": [1.0, 0.0]}, "must ascend"),
    "no vocabulary": (
        "IntegerLookup",
        {"vocabulary": None},
        "vocabulary is neither among its options",
    ),
    "hashes": (
        "IntegerLookup",
        {"vocabulary": [1, 2], "oov_method": "farmhash"},
        "oov_method 'farmhash' is not supported",
    ),
    "sparse results": (
        "CategoryEncoding",
        {"num_tokens": 3, "output_mode": "count", "sparse": True},
        "it sets sparse=True",
    ),
    "an unknown mode": (
        "CategoryEncoding",
        {"num_tokens": 3, "output_mode": "tf_idf"},
        "output_mode 'tf_idf' is not supported",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    kind, options, message = REFUSED[case]
    with pytest.raises(CortexError, match=message):
        network(tmp_path, kind, VECTOR, **options)


def test_counts_in_one_axis_only(tmp_path: Path) -> None:
    with pytest.raises(CortexError, match="it counts what is in 3 axes; 2 are supported"):
        network(tmp_path, "CategoryEncoding", (3, 2), num_tokens=3)


def test_spreads_the_contrast_of_each_channel(tmp_path: Path) -> None:
    x = pixels()
    x[0, :, :, 1] = 0.3
    found = computed(
        network(tmp_path, "AutoContrast", IMAGE, version="3.9.0", value_range=[0, 1]), x
    )
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    expected = np.where(low == high, x, (x - low) / np.where(low == high, 1, high - low))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
