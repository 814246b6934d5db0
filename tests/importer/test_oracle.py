"""When real Keras is no witness."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cortex.importer.imported import Proof, read_model
from cortex.importer.keras.file import ModelSource, read_file
from cortex.importer.keras.witness import witnesses
from cortex.importer.keras.witness.misread import misread
from cortex.importer.keras.witness.oracle import check_order, main
from cortex.importer.keras.witness.witnesses import Question, Witness, ask_keras
from cortex.runtime.errors import MissingExtra, Unsupported

from .keras_files import dense_arrays, entry, functional, given, link, small_model, write

SLOPE = "its hard_sigmoid has another slope"
THEANO = "does not turn round the convolution kernels"
MERGED = "where masks are merged"
RESET = "says nothing of reset_after"
GATES = {"recurrent_activation": "sigmoid"}
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
    for package, why in zip(("keras", "tf_keras"), expected, strict=True):
        found = misread(file, package)
        assert (why in found) if why and found else found is why


def test_arrays_that_came_to_other_layers(tmp_path: Path) -> None:
    path = small_model(tmp_path / "model.h5")
    first, second = (SimpleNamespace(name=n, weights=[0]) for n in ("hidden", "classes"))
    check_order(SimpleNamespace(layers=[first, second]), path)
    with pytest.raises(ValueError, match="it gives the arrays of 'hidden' to 'classes'"):
        check_order(SimpleNamespace(layers=[second, first]), path)


def test_an_error_of_keras_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cortex.importer.keras.witness.oracle.set_limits", lambda: None)
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
