"""Asking real Keras: who is there to ask, what each is known to misread, and what it says.

A witness that cannot read a file, or is known to compute something else from it, says nothing: then
the model as we rewrote it is run, which proves our arithmetic but not our reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ....runtime.check import Array
from ....runtime.errors import MissingExtra, Unsupported
from ....runtime.report import Evidence
from ...cage import run_caged
from ...source import ModelSource
from ..file import KerasFile
from ..wiring import read_wiring
from .misread import misread

HERE = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Witness:
    """A package that is Keras, and the library it computes with."""

    package: str
    backend: str
    environment: Mapping[str, str]

    @property
    def title(self) -> str:
        """Both, as a person names them."""
        return f"{self.package} on {self.backend}"

    @property
    def is_installed(self) -> bool:
        """Whether it is there; nothing is imported to find out."""
        return all(find_spec(name) for name in (self.package, self.backend))


WITNESSES = (
    Witness("keras", "jax", {"KERAS_BACKEND": "jax"}),
    Witness("keras", "tensorflow", {"KERAS_BACKEND": "tensorflow"}),
    Witness("tf_keras", "tensorflow", {}),
)
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""Everything is computed on the CPU, in the order in which it is written."""


@dataclass(frozen=True)
class Testimony:
    """A reference file that real Keras wrote, and what it is evidence of."""

    path: Path
    evidence: Evidence
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A model, the inputs to run it on, and the layers to be told of."""

    source: ModelSource
    file: KerasFile
    inputs: Mapping[str, Array]
    layers: Sequence[str]


def ask_keras(question: Question, folder: Path) -> Testimony:
    """Has real Keras write a reference file into ``folder``.

    Raises:
        MissingExtra: no Keras is installed.
        Unsupported: none can read the file and be trusted, and it cannot be rewritten; why.
    """
    if text := [name for name, array in question.inputs.items() if array.dtype == object]:
        raise Unsupported(
            f"{question.file.path}: real Keras cannot be asked: its input {text[0]!r} holds "
            "strings, which only Keras on TensorFlow takes; without --reference two engines of "
            "ours are compared"
        )
    witnesses = [witness for witness in WITNESSES if witness.is_installed]
    if not witnesses:
        raise MissingExtra("--reference keras", "keras")
    given, answer = folder / "inputs.npz", folder / "keras.reference.h5"
    np.savez(given, **_rows(question))  # pyright: ignore[reportArgumentType]
    reasons: list[str] = []
    for witness in witnesses:
        problem = _untouched(witness, question, given, answer)
        if problem is None:
            return Testimony(answer, "keras", tuple(reasons))
        reasons.append(f"{witness.title} is no witness: {problem}")
    for witness in witnesses:
        if witness.package != "keras":
            continue
        problem = _rewritten(witness, question, given, answer)
        if problem is None:
            return Testimony(answer, "keras-rewritten", tuple(reasons))
        reasons.append(f"{witness.title} cannot run it rewritten: {problem}")
    raise Unsupported(f"{question.file.path}: real Keras cannot be asked: {'; '.join(reasons)}")


def _rows(question: Question) -> Mapping[str, Array]:
    """The inputs, with as many rows as the file asks for where it does."""
    wiring = read_wiring(question.file.architecture)
    configs = (layer.config for layer in wiring.layers if layer.name in wiring.inputs)
    shapes = [c.get("batch_shape") or c.get("batch_input_shape") or [None] for c in configs]
    fixed = next((shape[0] for shape in shapes if shape[0]), None)
    if fixed is None:
        return question.inputs
    return {name: np.resize(x, (fixed, *x.shape[1:])) for name, x in question.inputs.items()}


def _untouched(witness: Witness, question: Question, given: Path, answer: Path) -> str | None:
    """Runs the file as it is; why that is no evidence, if it is not."""
    why = misread(question.file, witness.package, witness.backend)
    if why:
        return why
    paths = _under_names(question, answer.parent)
    if isinstance(paths, str):
        return paths
    model, weights = paths
    outputs = read_wiring(question.file.architecture)
    options = {
        "package": witness.package,
        "layers": list(question.layers),
        "outputs": [ref.title for ref in outputs.output_refs]
        if isinstance(outputs.outputs, dict)
        else None,
        "weights": weights,
    }
    return _run(witness, "oracle", [model, str(given), str(answer), json.dumps(options)], answer)


def _rewritten(witness: Witness, question: Question, given: Path, answer: Path) -> str | None:
    why = misread(question.file, witness.package, witness.backend, rewritten=True)
    if why:
        return why
    source = question.source
    told = {
        "path": str(source.path.resolve()),
        "weights": str(source.weights.resolve()) if source.weights else None,
        "architecture": source.architecture,
        "keras1_backend": source.keras1_backend,
    }
    options = {"layers": list(question.layers)}
    arguments = [json.dumps(told), str(given), str(answer), json.dumps(options)]
    return _run(witness, "rewritten", arguments, answer)


SUFFIXES = {"keras-h5": ".h5", "keras-zip": ".keras", "keras-json+h5": ".json"}


def _under_names(question: Question, folder: Path) -> tuple[str, str | None] | str:
    """Model and weights under names that tell Keras what they are; or why it cannot read them."""
    source, file = question.source, question.file
    suffix = SUFFIXES.get(file.format)
    if suffix is None:
        return f"it cannot read {file.format}"
    model = _link(source.path, folder / f"model{suffix}")
    if source.weights is None:
        return model, None
    name = "model.weights.h5" if file.weights.is_tree else "weights.h5"
    return model, _link(source.weights, folder / name)


def _link(path: Path, name: Path) -> str:
    name.unlink(missing_ok=True)
    name.symlink_to(path.resolve())
    return str(name)


def _run(witness: Witness, module: str, arguments: Sequence[str], answer: Path) -> str | None:
    """Runs a program of ours with the witness; what went wrong, if something did."""
    environment = {**ENVIRONMENT, **witness.environment}
    environment["KERAS_HOME"] = str(answer.parent)  # whose keras.json would change what it computes
    return run_caged(f"{HERE}.{module}", arguments, answer, environment)
