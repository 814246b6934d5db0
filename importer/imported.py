"""The importer as a library: read a file, prove it, write it into a repository."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..runtime import repository
from ..runtime.check import TOLERANCE, Array
from ..runtime.errors import Unsupported, UsageError
from ..runtime.export import export
from ..runtime.network import Network
from ..runtime.weights import WeightsFile
from .keras.build import build
from .keras.file import KerasFile, read_file
from .keras.oracle import ask_keras
from .reference import Reference, beside, read_reference
from .report import OUTSIDE, Report, Source
from .sample import given_inputs, sample_inputs
from .verify import Verification

KERAS = "keras"
"""The reference that is real Keras."""


@dataclass(frozen=True)
class Proof:
    """How an import is to be proved.

    Attributes:
        reference: a reference file, "keras" for real Keras, or None: the file NAME.reference.h5
        beside the model if
            there is one, else the two engines alone.
        inputs: an .npy or .npz file to check with, where the reference brings none.
        tolerance: the largest difference of a layer, relative to its scale.
    """

    reference: Path | str | None = None
    inputs: Path | None = None
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Imported:
    """A network that was read from a file, and what can be said of it."""

    file: KerasFile
    network: Network
    proof: Proof = field(default_factory=Proof)

    @cached_property
    def report(self) -> Report:
        """The proof, computed when it is asked for first."""
        with tempfile.TemporaryDirectory(prefix="cortex-") as folder:
            return write_version(self, Path(folder), repository.slug(self.file.path.stem))


def load(
    path: Path | str,
    weights: Path | str | None = None,
    *,
    reference: Path | str | None = None,
    tolerance: float = TOLERANCE,
) -> Imported:
    """Reads a Keras file: a full model, or an architecture in JSON with its ``weights``.

    ``imported.network`` runs it; ``imported.report`` proves it, against ``reference`` as
    ``Proof`` has it.

    Raises:
        UnreadableFile: no such file, damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
    """
    imported = read_model(
        Path(path), Path(weights) if weights else None, Proof(reference, None, tolerance)
    )
    arrays = {name: np.asarray(array) for name, array in imported.network.parameters.items()}
    return Imported(imported.file, Network(imported.network.graph, arrays), imported.proof)


def read_model(path: Path, weights: Path | None, proof: Proof) -> Imported:
    """As ``load``, but the arrays stay in the file until they are used."""
    file = read_file(path, weights)
    return Imported(file, build(file), proof)


def write_version(
    imported: Imported,
    folder: Path,
    name: str,
    version: int | None = None,
    path: Path | None = None,
) -> Report:
    """Writes model, weights and check into ``folder``, and proves what was written.

    ``name``, ``version`` and ``path`` are where the model will be installed, if it will be.
    Whether it agrees is for the caller to act on.
    """
    start = time.monotonic()
    weights, model = folder / repository.WEIGHTS, folder / repository.MODEL
    imported.network.save(weights)
    network = Network.load(weights)
    model.write_bytes(export(network, WeightsFile.open(weights)).SerializeToString())
    reference = _reference(imported, network)
    inputs = _inputs(imported.proof, network, reference)
    verification = Verification(network, reference, imported.proof.tolerance)
    verification.run(model, inputs)
    evidence = reference.evidence if reference else "engines"
    repository.write_check(folder / repository.CHECK, verification.check(inputs, evidence))
    warnings = [
        f"the reference says nothing of the output {name!r}, so the model is not verified"
        for name in (verification.uncovered_outputs if reference else [])
    ]
    agrees = verification.first_difference is None
    report = Report(
        model=name,
        version=version if agrees else None,
        path=str(path) if path and agrees else None,
        verified=agrees and evidence in OUTSIDE and not warnings,
        evidence=evidence,
        reference=reference.name if reference else "",
        source=_source(imported.file),
        layers=tuple(verification.layers()),
        outputs=tuple(verification.outputs()),
        first_difference=verification.first_difference,
        seconds=round(time.monotonic() - start, 3),
        warnings=tuple(warnings),
    )
    (folder / repository.REPORT).write_text(report.to_json() + "\n")
    return report


def _reference(imported: Imported, network: Network) -> Reference | None:
    proof, path = imported.proof, imported.file.path
    if proof.reference == KERAS:
        with tempfile.TemporaryDirectory(prefix="cortex-keras-") as folder:
            inputs = _own_inputs(proof, network)
            return read_reference(ask_keras(imported.file, inputs, Path(folder)), "keras")
    file = Path(proof.reference) if proof.reference else beside(path)
    return read_reference(file) if file else None


def _own_inputs(proof: Proof, network: Network) -> dict[str, Array]:
    if proof.inputs:
        return given_inputs(network.graph, proof.inputs)
    return sample_inputs(network.graph)


def _inputs(proof: Proof, network: Network, reference: Reference | None) -> Mapping[str, Array]:
    """What the model is checked with."""
    if reference is None:
        return _own_inputs(proof, network)
    if proof.inputs and reference.evidence == "recorded":
        raise UsageError(
            f"--input {proof.inputs}: the outputs in {reference.name} were recorded for "
            "other inputs; leave one of the two out"
        )
    names = list(network.graph.inputs)
    given = dict(reference.inputs)
    if len(names) == len(given) == 1:  # generations of Keras disagree about what an input is called
        return dict(zip(names, given.values(), strict=True))
    if set(given) != set(names):
        raise Unsupported(
            f"{reference.name}: its inputs are {sorted(given)}, the model's {sorted(names)}"
        )
    return {name: given[name] for name in names}


def _source(file: KerasFile) -> Source:
    with file.path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    return Source(
        file=file.path.name, sha256=digest, format=file.format, keras_version=file.keras_version
    )
