"""How masks go from layer to layer: what each version of Keras does, in numbers small enough.

The numbers are those of real Keras and tf_keras; the slow cases run them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.runtime.errors import Unsupported

from .keras_files import entry, floats, functional, given, link, write

FIRST, SECOND = [1.0, 0.0, 3.0, 0.0], [0.0, 5.0, 7.0, 0.0]
"""Two series; zeros are masked."""

TF, EARLY, TODAY = "2.11.0", "3.3.3", "3.15.1"


def mean_of(folder: Path, version: str, *layers: Any, **arrays: Any) -> list[float]:
    """The mean of the steps that the mask of the last layer leaves."""
    series = {"x": FIRST, "y": SECOND}
    named = {name for layer in layers for name, *_ in layer["inbound_nodes"][0]}
    used = [name for name in series if f"masked_{name}" in named]
    model = functional(
        *(given(name, 4, 1) for name in used),
        *(entry("Masking", f"masked_{name}", link(name)) for name in used),
        *layers,
        entry("GlobalAveragePooling1D", "mean", link(layers[-1]["name"])),
        inputs=used,
    )
    network = load(write(folder / "model.h5", model, arrays, version)).network
    inputs = {name: np.reshape(floats(series[name]), (1, 4, 1)) for name in used}
    return network.run(inputs)["mean"][0].tolist()


# Keras 3.0 to 3.3 asked the list of tensors for its mask, which has none.
JOINED: dict[tuple[str, str], list[float]] = {
    ("Add", TF): [10],
    ("Add", EARLY): [4],
    ("Add", TODAY): [16 / 3],
    ("Average", TODAY): [8 / 3],
    ("Maximum", TF): [7],
    ("Maximum", EARLY): [13 / 4],
    ("Maximum", TODAY): [13 / 3],
    ("Minimum", TF): [3],
    ("Minimum", TODAY): [3],
    ("Multiply", TF): [21],
    ("Multiply", TODAY): [9],
    ("Concatenate", TF): [3, 7],
    ("Concatenate", EARLY): [1, 3],
    ("Concatenate", TODAY): [4 / 3, 4],
}


@pytest.mark.parametrize(("kind", "version"), JOINED)
def test_joined(kind: str, version: str, tmp_path: Path) -> None:
    joined = entry(kind, "joined", link("masked_x", "masked_y"))
    expected = JOINED[kind, version]
    assert mean_of(tmp_path, version, joined) == pytest.approx(expected)


def test_joined_one_after_the_other(tmp_path: Path) -> None:
    joined = entry("Concatenate", "joined", link("masked_x", "masked_y"), axis=1)
    assert mean_of(tmp_path, TF, joined) == [4]


ALONE = {TF: 2.0, EARLY: 1.0, TODAY: 1.0}
"""One of two with a mask: in Keras 2, its mask is that of both; in Keras 3, there is none."""


@pytest.mark.parametrize("version", ALONE)
def test_joined_with_one_that_has_no_mask(version: str, tmp_path: Path) -> None:
    layers = (
        entry("Reshape", "bare", link("masked_x"), target_shape=[4, 1]),
        entry("Average", "joined", link("masked_x", "bare")),
    )
    assert mean_of(tmp_path, version, *layers) == [ALONE[version]]


MEAN_OF_KEPT, MEAN_OF_ALL = 2.0, 1.0
PASSED: dict[tuple[str, str], tuple[dict[str, Any], float]] = {
    ("Activation", TF): ({"activation": "relu"}, MEAN_OF_KEPT),
    ("ActivityRegularization", TF): ({}, MEAN_OF_KEPT),
    ("AlphaDropout", TF): ({"rate": 0.5}, MEAN_OF_KEPT),
    ("Dropout", TF): ({"rate": 0.5}, MEAN_OF_KEPT),
    ("ELU", TF): ({}, MEAN_OF_KEPT),
    ("Flatten", TF): ({}, MEAN_OF_ALL),
    ("GaussianDropout", TF): ({"rate": 0.5}, MEAN_OF_KEPT),
    ("GaussianNoise", TF): ({"stddev": 0.5}, MEAN_OF_KEPT),
    ("Identity", TF): ({}, MEAN_OF_ALL),
    ("Identity", TODAY): ({}, MEAN_OF_KEPT),
    ("LeakyReLU", TF): ({"alpha": 0.1}, MEAN_OF_KEPT),
    ("MaxPooling1D", TF): ({"pool_size": 1}, MEAN_OF_ALL),
    ("Permute", TF): ({"dims": [1, 2]}, MEAN_OF_ALL),
    ("ReLU", TF): ({}, MEAN_OF_KEPT),
    ("Rescaling", TF): ({"scale": 1.0}, MEAN_OF_ALL),
    ("Rescaling", TODAY): ({"scale": 1.0}, MEAN_OF_KEPT),
    ("Reshape", TF): ({"target_shape": [4, 1]}, MEAN_OF_ALL),
    ("SpatialDropout1D", TF): ({"rate": 0.5}, MEAN_OF_KEPT),
    ("ThresholdedReLU", TF): ({"theta": 0.5}, MEAN_OF_KEPT),
    ("ZeroPadding1D", TF): ({"padding": 0}, MEAN_OF_ALL),
}


@pytest.mark.parametrize(("kind", "version"), PASSED)
def test_passed_on(kind: str, version: str, tmp_path: Path) -> None:
    options, expected = PASSED[kind, version]
    layers = [entry(kind, "layer", link("masked_x"), **options)]
    if kind == "Flatten":
        layers.append(entry("Reshape", "again", link("layer"), target_shape=[4, 1]))
    assert mean_of(tmp_path, version, *layers) == [expected]


def test_of_words(tmp_path: Path) -> None:
    model = functional(
        given("x", 4),
        entry("Embedding", "words", link("x"), input_dim=9, output_dim=1, mask_zero=True),
        entry("GlobalAveragePooling1D", "mean", link("words")),
    )
    table = np.arange(10, 19, dtype=np.float32).reshape(9, 1)
    path = write(tmp_path / "model.h5", model, {"words": {"embeddings:0": table}})
    found = load(path).network.run({"x": floats([[1, 0, 3, 0]])})
    assert found["mean"].tolist() == [[12]]


def test_given_to_a_call(tmp_path: Path) -> None:
    call = [["y", 0, 0, {"mask": ["there", 0, 0]}]]
    model = functional(
        given("x", 4),
        given("y", 4, 1),
        entry("Embedding", "there", link("x"), input_dim=2, output_dim=1),
        entry("GlobalAveragePooling1D", "mean", call),
        inputs=("x", "y"),
    )
    model["config"]["layers"][2] = {
        **entry("NotEqual", "there", {"args": [_tensor("x"), 0], "kwargs": {}}),
        "module": "keras.src.ops.numpy",
    }
    network = load(write(tmp_path / "model.h5", model, {}, TODAY)).network
    inputs = {"x": floats([FIRST]), "y": floats(SECOND).reshape(1, 4, 1)}
    assert network.run(inputs)["mean"].tolist() == [[3.5]]


def _tensor(name: str) -> Any:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def test_of_other_axes_is_refused(tmp_path: Path) -> None:
    layer = entry("Softmax", "layer", link("masked_x"), axis=-1)
    with pytest.raises(Unsupported, match="a mask 'of 2 axes' is not supported"):
        mean_of(tmp_path, TF, layer)
