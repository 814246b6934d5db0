"""When real Keras is no witness."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.importer.keras.file import read_file
from cortex.importer.keras.oracle import ask_keras, misread
from cortex.runtime.errors import Unsupported

from .keras_files import entry, functional, given, link, write


@pytest.mark.parametrize(
    ("kind", "activation", "version", "backend", "why"),
    [
        ("Conv2D", "linear", "2.1.3", "theano", "does not turn round the convolution kernels"),
        ("Dense", "hard_sigmoid", "2.4.0", "tensorflow", "its hard_sigmoid has another slope"),
        ("Dense", "hard_sigmoid", "3.1.0", "jax", None),
        ("Dense", "linear", "2.1.3", "theano", None),
        ("Conv2D", "linear", "2.4.0", "tensorflow", None),
    ],
)
def test_what_keras_is_known_to_misread(
    kind: str, activation: str, version: str, backend: str, why: str | None, tmp_path: Path
) -> None:
    model = functional(given(), entry(kind, "layer", link("x"), activation=activation))
    file = read_file(write(tmp_path / "model.h5", model, {}, version, backend))
    found = misread(file)
    assert (why in found) if why and found else found is why
    if why:
        with pytest.raises(Unsupported, match=f"Keras 3 is no witness for this file: .*{why}"):
            ask_keras(file, {}, tmp_path)
