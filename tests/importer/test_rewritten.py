"""Models that today's Keras cannot read, or reads wrongly, as real Keras runs them rewritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer.imported import Proof, read_model
from cortex.importer.source import ModelSource
from cortex.runtime.report import Report

from .invented import invent, write_weights
from .keras_files import entry, functional, given, link, write

pytestmark = pytest.mark.slow

ARCHITECTURES = (
    "cfg_agz_dual_conv",
    "cfg_bidirectional_last_timestep",
    "cfg_concat_embedding_sequences",
    "cfg_conv1d_dilation",
    "cfg_k1_cortex_vgg16",
    "cfg_k1_lstm_tddense",
    "cfg_k2_mlp_fapi_multiloss",
)


def _smaller(value: Any) -> Any:
    """VGG16 with images, filters and units an eighth of their sizes."""
    if isinstance(value, list):
        return [_smaller(one) for one in value]
    if isinstance(value, dict):
        return {
            key: one // 8 if key in ("nb_filter", "output_dim") else _smaller(one)
            for key, one in value.items()
        }
    return 32 if value == 224 else value


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_with_invented_weights(name: str, corpus: Any, tmp_path: Path) -> None:
    architecture = json.loads(corpus(f"{name}.json").read_text())
    if "vgg16" in name:
        architecture = _smaller(architecture)
    stored = invent(architecture, np.random.default_rng(0))
    model = tmp_path / "model.json"
    model.write_text(json.dumps(architecture))
    weights = write_weights(tmp_path / "weights.h5", stored, architecture["keras_version"])
    inputs = _tagged_words(tmp_path / "inputs.npz") if "concat_embedding" in name else None
    imported = read_model(ModelSource(model, weights), Proof("keras", inputs))
    _check(imported.report)


def _tagged_words(path: Path) -> Path:
    """Sentences of ten words and less, whose second input has as many steps."""
    words = np.random.default_rng(1).integers(1, 4014, (2, 10))
    words[0, 6:] = words[1, 3] = 0
    np.savez(path, word_ids=words, dict_feature=_random(2, 10, 6))
    return path


def _check(report: Report) -> None:
    assert report.evidence in ("keras", "keras-rewritten")
    assert report.first_difference is None
    assert report.largest < 1e-5
    assert all(layer.outside for layer in (*report.layers, *report.outputs))


RNG = np.random.default_rng(0)


def _random(*shape: int) -> Any:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


SERIES, IMAGE = (7, 4), (6, 5, 3)
GRU = {"kernel:0": _random(4, 9), "recurrent_kernel:0": _random(3, 9), "bias:0": _random(9)}
LSTM = {"kernel:0": _random(4, 12), "recurrent_kernel:0": _random(3, 12)}
OLD: dict[str, tuple[Any, Any, Any]] = {
    "thresholded": (IMAGE, entry("ThresholdedReLU", "y", link("x"), theta=0.3), {}),
    "locally connected 1": (
        SERIES,
        entry("LocallyConnected1D", "y", link("x"), filters=3, kernel_size=[2], strides=[2],
              padding="valid", data_format="channels_last", use_bias=True, activation="tanh"),
        {"kernel:0": _random(3, 8, 3), "bias:0": _random(3, 3)},
    ),
    "locally connected 2": (
        IMAGE,
        entry("LocallyConnected2D", "y", link("x"), filters=2, kernel_size=[2, 3], strides=[2, 1],
              padding="valid", data_format="channels_last", use_bias=True, activation="linear"),
        {"kernel:0": _random(9, 18, 2), "bias:0": _random(3, 3, 2)},
    ),
    "gru before reset_after": (
        SERIES,
        entry("GRU", "y", link("x"), units=3, activation="tanh", use_bias=True,
              recurrent_activation="hard_sigmoid", return_sequences=True),
        GRU,
    ),
    "cudnn": (
        SERIES,
        entry("CuDNNLSTM", "y", link("x"), units=3, return_sequences=True, stateful=False),
        {**LSTM, "bias:0": _random(24)},
    ),
    "half of a masked bidirectional": (
        SERIES,
        entry("Bidirectional", "y", link("masked"), merge_mode="sum",
              layer=entry("LSTM", "lstm", units=3, activation="tanh", return_sequences=True,
                          recurrent_activation="hard_sigmoid", use_bias=False)),
        {f"{way}_lstm/{name}": array for way in ("forward", "backward")
         for name, array in LSTM.items()},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OLD)
def test_what_keras_3_lacks(case: str, tmp_path: Path) -> None:
    shape, layer, arrays = OLD[case]
    between = [entry("Masking", "masked", link("x"), mask_value=0.0)] * ("masked" in case)
    model = functional(given("x", *shape), *between, layer)
    path = write(tmp_path / "model.h5", model, {"y": arrays}, "2.1.3")
    inputs = _random(2, *shape)
    inputs[:, 3:5] = 0
    np.save(tmp_path / "x.npy", inputs)
    report = read_model(ModelSource(path), Proof("keras", tmp_path / "x.npy")).report
    _check(report)
    assert report.evidence == "keras-rewritten"
    assert any("is no witness" in note for note in report.notes)
