"""When real Keras is no witness."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cortex.importer.imported import Proof, read_model
from cortex.importer.keras.file import read_file
from cortex.importer.keras.witness import witnesses
from cortex.importer.keras.witness.misread import misread
from cortex.importer.keras.witness.oracle import check_order, main
from cortex.importer.keras.witness.witnesses import Question, Witness, ask_keras
from cortex.importer.source import ModelSource
from cortex.runtime.errors import MissingExtra, Unsupported

from .keras_files import dense_arrays, entry, functional, given, link, small_model, write

SLOPE = "its hard_sigmoid has another slope"
THEANO = "does not turn round the convolution kernels"
MERGED = "where masks are merged"
RESET = "says nothing of reset_after"
GATES = {"recurrent_activation": "sigmoid"}
OLDER = "older than the file"
ASKED = (("keras", "jax"), ("tf_keras", "tensorflow"))
INNER = entry("LSTM", "lstm", return_sequences=True, **GATES)
MASK, EMBEDDING = (
    entry("Masking", "m", link("x")),
    entry("Embedding", "m", link("x"), mask_zero=True),
)
FROZEN = functional(given("y"), entry("Dense", "d", link("y"), trainable=False))
INSIDE = {**entry("Model", "inside", link("x")), "config": FROZEN["config"]}
POLICY = {"class_name": "Policy", "config": {"name": "mixed_float16"}}

FILES: dict[str, tuple[list[Any], str, str, str | None, str | None]] = {
    "theano": ([entry("Conv2D", "y", link("x"))], "2.1.3", "theano", THEANO, THEANO),
    "theano without kernels": ([entry("Dense", "y", link("x"))], "2.1.3", "theano", None, None),
    "theano pads": (
        [entry("MaxPooling2D", "y", link("x"), padding="same")], "2.1.3", "theano", THEANO, THEANO
    ),
    "tensorflow": ([entry("Conv2D", "y", link("x"))], "2.4.0", "tensorflow", None, None),
    "slope": (
        [entry("Dense", "y", link("x"), activation="hard_sigmoid")],
        "2.4.0", "tensorflow", SLOPE, None,
    ),
    "slope inside": (
        [entry("Bidirectional", "y", link("x"),
               layer=entry("LSTM", "l", recurrent_activation="hard_sigmoid"))],
        "2.4.0", "tensorflow", SLOPE, None,
    ),
    "slope by default": ([entry("LSTM", "y", link("x"))], "2.1.0", "tensorflow", SLOPE, None),
    "slope of Keras 3": (
        [entry("Dense", "y", link("x"), activation="hard_sigmoid")],
        "3.1.0", "jax", None, "older than the file",
    ),
    "gru": ([entry("GRU", "y", link("x"), **GATES)], "2.1.3", "tensorflow", RESET, RESET),
    "gru that says it": (
        [entry("GRU", "y", link("x"), reset_after=False, **GATES)],
        "2.4.0", "tensorflow", None, None,
    ),
    "over two axes": (
        [entry("Softmax", "y", link("x"), axis=[1, 2])],
        "3.1.0", "jax", "over several axes", "older than the file",
    ),
    "masks merged": (
        [MASK, entry("Add", "y", link("m", "x"))], "2.4.0", "tensorflow", MERGED, None
    ),
    "masks of words merged": (
        [EMBEDDING, entry("Concatenate", "y", link("m", "x"))],
        "2.4.0", "tensorflow", MERGED, None,
    ),
    "merged without masks": (
        [entry("Add", "y", link("x", "x"))], "2.4.0", "tensorflow", None, None
    ),
    "masked bidirectional": (
        [MASK, entry("Bidirectional", "y", link("m"), layer=INNER)],
        "2.1.3", "tensorflow", "puts out zeros at masked steps", "puts out zeros at masked steps",
    ),
    "masked bidirectional of TensorFlow": (
        [MASK, entry("Bidirectional", "y", link("m"), layer=INNER)],
        "2.4.0", "tensorflow", None, None,
    ),
    "frozen inside": ([INSIDE], "2.4.0", "tensorflow", "arrays to others", "arrays to others"),
    "half": (
        [entry("Dense", "y", link("x"), dtype=POLICY)],
        "2.4.0", "tensorflow", "another precision", "another precision",
    ),
    "bilinear": (
        [entry("UpSampling2D", "y", link("x"), interpolation="bilinear")],
        "2.2.4", "tensorflow", "centres of pixels", "centres of pixels",
    ),
    "masks merged by Keras 3.3": (
        [MASK, entry("Add", "y", link("m", "x"))], "3.3.3", "jax", "the masks of a list", OLDER
    ),
    "masks merged by Keras 3.4": (
        [MASK, entry("Add", "y", link("m", "x"))], "3.4.0", "jax", None, OLDER
    ),
    "attention of Keras 3.3": (
        [MASK, entry("Attention", "y", link("m", "x"))], "3.3.3", "jax", "what attends", OLDER
    ),
    "softmax of Keras 3.9": (
        [MASK, entry("Softmax", "y", link("m"))], "3.9.2", "jax", "put out zeros where all", OLDER
    ),
    "softmax of Keras 3.10": (
        [MASK, entry("Softmax", "y", link("m"))], "3.10.0", "jax", None, OLDER
    ),
    "softmax without masks": (
        [entry("Softmax", "y", link("x"))], "3.9.2", "jax", None, OLDER
    ),
    "softmax with a mask of its own": (
        [entry("Softmax", "y", [["x", 0, 0, {"mask": ["x", 0, 0]}]])],
        "2.11.0", "tensorflow", "put out zeros where all", None,
    ),
    "attention with dropout": (
        [MASK, entry("MultiHeadAttention", "y", link("m"), dropout=0.1)],
        "3.9.2", "jax", "put out zeros where all", OLDER,
    ),
    "attention with scores": (
        [MASK, entry("MultiHeadAttention", "y",
                     [["m", 0, 0, {"return_attention_scores": True}]], dropout=0.0)],
        "3.9.2", "jax", "put out zeros where all", OLDER,
    ),
    "attention without either": (
        [MASK, entry("MultiHeadAttention", "y", link("m"), dropout=0.0)],
        "3.7.0", "jax", None, OLDER,
    ),
    "attention, then a merge": (
        [MASK, entry("MultiHeadAttention", "a", link("m")),
         entry("Multiply", "y", link("m", "a"))],
        "3.7.0", "jax", "takes the masks off", OLDER,
    ),
    "attention of Keras 2": (
        [MASK, entry("MultiHeadAttention", "y", link("m"))],
        "2.11.0", "tensorflow", "takes the masks off", None,
    ),
    "a mask and states": (
        [MASK, entry("LSTM", "y", [["m", 0, 0, {"initial_state": [["x", 0, 0]]}]], **GATES)],
        "2.2.4", "tensorflow", "it heeds no mask", "before the first step that counts",
    ),
    "states without a mask": (
        [entry("LSTM", "y", [["x", 0, 0, {"initial_state": [["x", 0, 0]]}]], **GATES)],
        "2.2.4", "tensorflow", None, None,
    ),
    "normalization inside": (
        [entry("TimeDistributed", "y", link("x"), layer=entry("Normalization", "n"))],
        "3.15.0", "jax", "it leaves a Normalization", OLDER,
    ),
    "normalization": ([entry("Normalization", "y", link("x"))], "3.15.0", "jax", None, OLDER),
    "bicubic on jax": (
        [entry("Resizing", "y", link("x"), interpolation="bicubic")], "3.15.0", "jax", None, OLDER
    ),
    "bicubic on TensorFlow": (
        [entry("Resizing", "y", link("x"), interpolation="bicubic")],
        "2.11.0", "tensorflow", "bicubically", None,
    ),
    "stateful with a mask, on jax": (
        [MASK, entry("LSTM", "y", link("m"), stateful=True)], "3.15.0", "jax", None, OLDER
    ),
    "stateful with a mask, on TensorFlow": (
        [MASK, entry("LSTM", "y", link("m"), stateful=True)],
        "3.15.0", "tensorflow", "before the first step that counts", OLDER,
    ),
    "stateful with states": (
        [entry("LSTM", "y", [["x", 0, 0, {"initial_state": [["x", 0, 0]]}]],
               stateful=True, **GATES)],
        "2.4.0", "tensorflow", "with given states", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_what_keras_is_known_to_misread(case: str, tmp_path: Path) -> None:
    layers, version, backend, *expected = FILES[case]
    model = functional(given(), *layers)
    file = read_file(ModelSource(write(tmp_path / "model.h5", model, {}, version, backend)))
    for (package, backend), why in zip(ASKED, expected, strict=True):
        found = misread(file, package, backend)
        assert (why in found) if why and found else found is why


REWRITTEN: dict[str, bool] = {
    "masks merged": False,
    "masks merged by Keras 3.3": False,
    "attention of Keras 3.3": True,
    "softmax of Keras 3.9": True,
    "attention, then a merge": True,
    "a mask and states": False,
    "normalization inside": False,
    "bicubic on TensorFlow": True,
    "stateful with a mask, on TensorFlow": True,
}
"""Whether Keras 3 computes something else even of the model as we rewrote it."""


@pytest.mark.parametrize("case", REWRITTEN)
def test_what_keras_computes_otherwise_today(case: str, tmp_path: Path) -> None:
    layers, version, backend, why, _ = FILES[case]
    model = functional(given(), *layers)
    file = read_file(ModelSource(write(tmp_path / "model.h5", model, {}, version, backend)))
    found = misread(file, rewritten=True)
    assert (why is not None and found is not None and why in found) == REWRITTEN[case]


def test_a_backend_that_computes_as_the_file_says(tmp_path: Path) -> None:
    layers, version, backend, *_ = FILES["bicubic on TensorFlow"]
    model = functional(given(), *layers)
    file = read_file(ModelSource(write(tmp_path / "model.h5", model, {}, version, backend)))
    assert misread(file, "keras", "tensorflow") is None


def test_arrays_that_came_to_other_layers(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    first, second = (SimpleNamespace(name=n, weights=[0]) for n in ("hidden", "classes"))
    check_order(SimpleNamespace(layers=[first, second]), path)
    with pytest.raises(ValueError, match="it gives the arrays of 'hidden' to 'classes'"):
        check_order(SimpleNamespace(layers=[second, first]), path)


def test_an_error_of_keras_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cortex.importer.cage.set_limits", lambda: None)
    assert main("none", "none", "none", '{"package": "no_keras_at_all"}') == 1
    assert capsys.readouterr().err == "ModuleNotFoundError: No module named 'no_keras_at_all'\n"


@pytest.fixture
def question(tmp_path: Path) -> Question:
    source = ModelSource(small_model(tmp_path / "model.h5"))
    return Question(source, read_file(source), {"x": np.zeros((2, 4), np.float32)}, ["hidden"])


def test_without_keras(question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "WITNESSES", (Witness("no_keras", "nothing", {}),))
    with pytest.raises(MissingExtra, match="keras"):
        ask_keras(question, tmp_path)


def test_when_nobody_can_say_anything(
    question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnesses, "WITNESSES", (Witness("json", "math", {}),))
    with pytest.raises(Unsupported, match="cannot be asked: json on math is no witness: Attr"):
        ask_keras(question, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [None, 3])
def test_keras_is_asked(rows: int | None, tmp_path: Path) -> None:
    model = functional(
        given(), entry("Dense", "hidden", link("x"), units=3, activation="relu", use_bias=True)
    )
    model["config"]["layers"][0]["config"]["batch_input_shape"][0] = rows
    path = write(tmp_path / "model.h5", model, {"hidden": dense_arrays(4, 3)})
    report = read_model(ModelSource(path), Proof("keras")).report
    assert report.evidence == "keras"
    assert report.reference.startswith("keras 3")
    assert report.verified
    assert report.notes == ()
