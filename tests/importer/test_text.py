"""Layers that take strings: what real Keras 3.15 and tf_keras 2.21 on TensorFlow made of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.imported import Proof, read_model
from cortex.importer.sample import given_inputs, sample_inputs
from cortex.importer.source import ModelSource
from cortex.runtime.errors import CortexError, Unsupported, UsageError
from cortex.runtime.network import Network

from .keras_files import entry, functional, given, link
from .test_spatial import network

WORDS = [["cat", "the", "dog"], ["", "mat", "Cat"]]
TEXTS = [["The cat  sat, on\tthe MAT!"], [""], ["dog's don't—Été cat_cat ÉTÉ"]]
VOCABULARY = ["the", "cat", "sat", "on", "mat", "Été"]
WEIGHTS = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
IDF = {"output_mode": "tf_idf", "idf_weights": WEIGHTS}
PADDED = {"output_mode": "count", "max_tokens": 9, "pad_to_max_tokens": True}

LOOKED_UP: Mapping[str, tuple[dict[str, Any], Any]] = {
    "numbers": ({}, [[2, 1, 0], [0, 5, 0]]),
    "a mask": ({"mask_token": ""}, [[3, 2, 1], [0, 6, 1]]),
    "special tokens first": (
        {"vocabulary": ["", "[UNK]", *VOCABULARY], "mask_token": ""},
        [[3, 2, 1], [0, 6, 1]],
    ),
    "ones": ({"output_mode": "multi_hot"}, [[1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0]]),
    "ones without a mask": (
        {"output_mode": "multi_hot", "mask_token": ""},
        [[1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0]],
    ),
    "counts with room": (PADDED, [[1, 1, 1, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 1, 0, 0, 0]]),
    "weights": (IDF, [[1.75, 0.5, 1, 0, 0, 0, 0], [3.5, 0, 0, 0, 0, 2.5, 0]]),
    "one for each": ({"output_mode": "one_hot"}, np.eye(7)[[[2, 1, 0], [0, 5, 0]]]),
}


@pytest.mark.parametrize("case", LOOKED_UP)
def test_looks_up(case: str, tmp_path: Path) -> None:
    more, expected = LOOKED_UP[case]
    options: Any = {"vocabulary": VOCABULARY, "encoding": "utf-8", **more}
    net = network(tmp_path, "StringLookup", (3,), dtype="string", **options)
    np.testing.assert_array_equal(net.run({"x": np.array(WORDS)})["layer"], expected)


INVERTED: Mapping[str, tuple[dict[str, Any], Any]] = {
    "words": ({}, [["[UNK]", "the", "cat"], ["mat", "Été", "[UNK]"]]),
    "a mask": ({"mask_token": "", "oov_token": "?"}, [["", "?", "the"], ["on", "mat", "Été"]]),
}


@pytest.mark.parametrize("case", INVERTED)
def test_looks_up_the_other_way(case: str, tmp_path: Path) -> None:
    more, expected = INVERTED[case]
    options: Any = {"vocabulary": VOCABULARY, "invert": True, "max_tokens": None, **more}
    net = network(tmp_path, "StringLookup", (3,), dtype="int64", **options)
    assert net.run({"x": [[0, 1, 2], [5, 6, 7]]})["layer"].tolist() == expected


SPLIT = {"split": "whitespace", "vocabulary": VOCABULARY}
LOWER = {**SPLIT, "standardize": "lower"}
BOTH = {**SPLIT, "standardize": "lower_and_strip_punctuation"}
WHOLE = {"standardize": "lower_and_strip_punctuation", "split": None, "vocabulary": VOCABULARY}

VECTORIZED: Mapping[str, tuple[dict[str, Any], Any]] = {
    "both standards": (
        {**BOTH, "output_sequence_length": 4},
        [[2, 3, 4, 5], [0, 0, 0, 0], [1, 1, 1, 1]],
    ),
    "lower": (
        {**LOWER, "output_sequence_length": 8},
        [[2, 3, 1, 5, 2, 1, 0, 0], [0] * 8, [1, 1, 1, 1, 0, 0, 0, 0]],
    ),
    "without punctuation": (
        {**SPLIT, "standardize": "strip_punctuation", "output_sequence_length": 8},
        [[1, 3, 4, 5, 2, 1, 0, 0], [0] * 8, [1, 1, 1, 1, 0, 0, 0, 0]],
    ),
    "as it is": (
        {**SPLIT, "standardize": None, "output_sequence_length": 5},
        [[1, 3, 1, 5, 2], [0] * 5, [1, 1, 1, 1, 0]],
    ),
    "characters": (
        {
            "split": "character",
            "standardize": "lower",
            "vocabulary": ["c", "a", "t", "é", "É"],
            "output_sequence_length": 7,
        },
        [[4, 1, 1, 1, 2, 3, 4], [0] * 7, [1] * 7],
    ),
    "ones": (
        {**BOTH, "output_mode": "multi_hot"},
        [[0, 1, 1, 1, 1, 1, 0], [0] * 7, [1, 0, 0, 0, 0, 0, 0]],
    ),
    "counts with room": (
        {**BOTH, **PADDED},
        [[0, 2, 1, 1, 1, 1, 0, 0, 0], [0] * 9, [4, 0, 0, 0, 0, 0, 0, 0, 0]],
    ),
    "weights": (
        {**BOTH, **IDF},
        [[0, 1, 1, 1.5, 2, 2.5, 0], [0] * 7, [7, 0, 0, 0, 0, 0, 0]],
    ),
    "words padded": ({**WHOLE, "output_sequence_length": 5}, [[3, 2, 1, 0, 0], [0, 6, 3, 0, 0]]),
    "words cut": ({**WHOLE, "output_sequence_length": 2}, [[3, 2], [0, 6]]),
    "words": (WHOLE, [[3, 2, 1], [0, 6, 3]]),
    "words counted": (
        {**WHOLE, "output_mode": "count"},
        [[1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1, 0]],
    ),
}


@pytest.mark.parametrize("case", VECTORIZED)
def test_vectorizes(case: str, tmp_path: Path) -> None:
    options, expected = VECTORIZED[case]
    x = np.array(WORDS if options["split"] is None else TEXTS)
    net = network(
        tmp_path, "TextVectorization", x.shape[1:], dtype="string", ngrams=None, **options
    )
    np.testing.assert_array_equal(net.run({"x": x})["layer"], expected)


def test_texts_without_an_axis(tmp_path: Path) -> None:
    x = given("x")
    x["config"] |= {"batch_input_shape": [None], "dtype": "string"}
    layer = entry("TextVectorization", "layer", link("x"), output_sequence_length=3, **BOTH)
    net = load(archive(tmp_path, functional(x, layer))).network
    found = net.run({"x": np.array(["On the mat!", "sat"])})["layer"]
    np.testing.assert_array_equal(found, [[5, 2, 6], [4, 0, 0]])


def archive(
    path: Path, model: Any, assets: Mapping[str, str | bytes] | None = None, **arrays: Any
) -> Path:
    """A file of Keras 3, with vocabularies and arrays by the paths of their layers."""
    with h5py.File(path / "model.weights.h5", "w") as weights:
        for name, array in arrays.items():
            weights[f"layers/{name}"] = array
    with zipfile.ZipFile(path / "model.keras", "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        file.writestr("config.json", json.dumps(model))
        file.write(path / "model.weights.h5", "model.weights.h5")
        for layer, text in (assets or {}).items():
            file.writestr(f"assets/layers/{layer}/vocabulary.txt", text)
    return path / "model.keras"


def learned(
    path: Path, kind: str, dtype: str, assets: Mapping[str, str | bytes], **more: Any
) -> Network:
    """A model of one layer that has learned its vocabulary."""
    arrays = {name: more.pop(name) for name in list(more) if "/" in name}
    x, size = given("x", 1 if kind == "TextVectorization" else 3), {"vocabulary": None, **more}
    x["config"]["dtype"] = dtype
    return load(
        archive(path, functional(x, entry(kind, "layer", link("x"), **size)), assets, **arrays)
    ).network


TREE = "text_vectorization"
LEARNED: Mapping[str, tuple[str, str, dict[str, str], dict[str, Any], Any, Any]] = {
    "texts": (
        "TextVectorization", "string",
        dict.fromkeys((TREE, f"{TREE}/_lookup_layer"), "\n[UNK]\nthe\ncat\nsat"),
        {**BOTH, "vocabulary": None, "output_sequence_length": 4},
        TEXTS, [[2, 3, 4, 1], [0] * 4, [1] * 4],
    ),
    "weights of texts": (
        "TextVectorization", "string",
        dict.fromkeys((TREE, f"{TREE}/_lookup_layer"), "[UNK]\nthe\ncat\nsat"),
        {**BOTH, "vocabulary": None, "output_mode": "tf_idf"}
        | dict.fromkeys(
            (f"{TREE}/vars/idf_weights", f"{TREE}/_lookup_layer/vars/idf_weights"),
            np.array([0.5, 0.25, 1, 2]),
        ),
        TEXTS, [[1, 0.5, 1, 2], [0] * 4, [2, 0, 0, 0]],
    ),
    "words": ("StringLookup", "string", {"string_lookup": "[UNK]\r\ndog\nthe\n\n"}, {},
              WORDS, [[0, 2, 1], [0, 0, 0]]),
    "numbers": ("IntegerLookup", "int64", {"integer_lookup": "0\n-1\n7\n5"}, {"mask_token": 0},
                [[5, 7, 0], [9, 7, 7]], [[3, 2, 0], [1, 2, 2]]),
    "weights of numbers": (
        "IntegerLookup", "int64", {"integer_lookup": "-1\n7\n8\n5"},
        {"output_mode": "tf_idf", "integer_lookup/vars/idf_weights": np.array([0.5, 2, 3, 4])},
        [[5, 7, 0], [9, 7, 7]], [[0.5, 2, 0, 4], [0.5, 4, 0, 0]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LEARNED)
def test_a_vocabulary_beside_the_arrays(case: str, tmp_path: Path) -> None:
    kind, dtype, assets, more, x, expected = LEARNED[case]
    net = learned(tmp_path, kind, dtype, assets, **more)
    np.testing.assert_array_equal(net.run({"x": np.array(x)})["layer"], expected)


def test_a_vocabulary_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(CortexError, match=r"vocabulary\.txt: not text in UTF-8: byte 0"):
        learned(tmp_path, "StringLookup", "string", {"string_lookup": b"\xff"})


REFUSED: Mapping[str, tuple[str, tuple[int | None, ...], dict[str, Any], str]] = {
    "several buckets": (
        "StringLookup", (3,), {"vocabulary": ["a"], "num_oov_indices": 2},
        "num_oov_indices 2: it hashes the words .* 0 and 1 are supported",
    ),
    "no vocabulary": (
        "StringLookup", (3,), {"vocabulary": None}, "neither among its options nor in the file"
    ),
    "a word twice": (
        "StringLookup", (3,), {"vocabulary": ["a", "a"]}, "a token stands twice in its vocabulary"
    ),
    "a mask among the words": (
        "StringLookup", (3,), {"vocabulary": ["a", ""], "mask_token": ""}, "a token stands twice"
    ),
    "weights that are missing": (
        "StringLookup", (3,), {"vocabulary": ["a"], "output_mode": "tf_idf"},
        "its array 'idf_weights' is missing",
    ),
    "a function": (
        "TextVectorization", (1,), {**BOTH, "standardize": {"class_name": "function"}},
        "code in a file is never run; have Keras make the layer with standardize=None",
    ),
    "another split": ("TextVectorization", (1,), {**BOTH, "split": "own"}, "split=None"),
    "n-grams": ("TextVectorization", (1,), {**BOTH, "ngrams": 2}, "ngrams 2: its vocabulary"),
    "an open length": (
        "TextVectorization", (1,), BOTH, "output_sequence_length None: a batch would be as wide"
    ),
    "several texts": (
        "TextVectorization", (3,), {**BOTH, "output_sequence_length": 2}, "one a row is supported"
    ),
    "open words": (
        "TextVectorization", (None,), {**WHOLE, "output_sequence_length": 2}, "a fixed number"
    ),
    "ragged": ("TextVectorization", (1,), {**BOTH, "output_sequence_length": 2, "ragged": True},
               "it sets ragged=True"),
    "one hot words": (
        "TextVectorization", (1,), {**BOTH, "output_mode": "one_hot"}, "output_mode 'one_hot'"
    ),
    "numbers of strings": ("ReLU", (3,), {}, "holds strings, but cast computes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    kind, shape, options, message = REFUSED[case]
    with pytest.raises(CortexError, match=message):
        network(tmp_path, kind, shape, dtype="string", **options)


def text_model(path: Path) -> Path:
    """Texts, embedded."""
    x = given("x", 1)
    x["config"]["dtype"] = "string"
    layer = entry("TextVectorization", "words", link("x"), output_sequence_length=4, **BOTH)
    return archive(path, functional(x, layer))


def test_the_report_is_of_two_engines(tmp_path: Path) -> None:
    report = load(text_model(tmp_path)).report
    assert (report.evidence, report.first_difference) == ("engines", None)
    assert [(layer.name, layer.ok) for layer in report.layers] == [("x", True), ("words", True)]


def test_real_keras_is_not_asked(tmp_path: Path) -> None:
    imported = read_model(ModelSource(text_model(tmp_path)), Proof())
    inputs = sample_inputs(imported.network.graph)
    ask = imported.reading.real_keras
    assert ask
    with pytest.raises(Unsupported, match="its input 'x' holds strings, which only Keras on Tens"):
        ask(inputs)


def test_strings_to_check_with(tmp_path: Path) -> None:
    graph = load(text_model(tmp_path)).network.graph
    found = sample_inputs(graph)["x"]
    assert found.shape == (2, 1)
    words = {word.strip(".").lower() for text in found.flat for word in text.split()}
    assert "unknown" in words <= {"unknown", *(word.lower() for word in VOCABULARY)}
    assert all(text[0].isupper() for text in found.flat)


@pytest.mark.parametrize("others", [0, 1])
def test_words_to_check_with(others: int, tmp_path: Path) -> None:
    options: Any = {"vocabulary": ["a", "unknown"], "num_oov_indices": others}
    graph = network(tmp_path, "StringLookup", (40,), dtype="string", **options).graph
    found = set(sample_inputs(graph)["x"].flat)
    assert found == {"a", "unknown"} | ({"unknown?"} if others else set())


def test_strings_of_a_file_of_inputs(tmp_path: Path) -> None:
    graph = load(text_model(tmp_path)).network.graph
    np.save(tmp_path / "x.npy", np.array([["The mat"]]))
    found = given_inputs(graph, tmp_path / "x.npy")["x"]
    assert (found.dtype, found.tolist()) == (object, [["The mat"]])
    np.save(tmp_path / "x.npy", np.array([[1.0]]))
    with pytest.raises(UsageError, match="input 'x': it must hold strings"):
        given_inputs(graph, tmp_path / "x.npy")
