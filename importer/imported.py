"""The importer as a library: read a file, prove it, write it into a repository."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ..runtime import repository
from ..runtime.check import TOLERANCE, Array
from ..runtime.digests import digests
from ..runtime.errors import Unsupported, UsageError
from ..runtime.export import export
from ..runtime.half import in_half
from ..runtime.ir import Graph
from ..runtime.network import Network
from ..runtime.preprocessing import Preprocessing
from ..runtime.report import OUTSIDE, Evidence, Report
from ..runtime.weights import WeightsFile
from .formats import read
from .halved import halved
from .keras.plugins import load_plugin
from .proof import KERAS, Proof, hashed
from .reference import Reference, beside, read_reference
from .sample import first_states, fitting, given_inputs, sample_inputs
from .source import Coarse, Layout, ModelSource, Reading
from .untouched import Untouched
from .verify import Verification

Precision: TypeAlias = Literal["float32", "float16"]
"""What a model is stored and served in."""

HALF = Coarse(
    1e-2,
    "stored and served in float16, as --precision says: its difference is up to 0.01",
)


@dataclass(frozen=True)
class Imported:
    """A model that was read from a file, and what can be said of it.

    ``precision`` is what it is written in; the network here is as the file has it.
    """

    source: ModelSource
    reading: Reading
    proof: Proof = field(default_factory=Proof)
    precision: Precision = "float32"

    @property
    def network(self) -> Network:
        """What the file describes."""
        return self.reading.network

    @property
    def path(self) -> Path:
        """The file, as the user named it."""
        return self.reading.path

    @property
    def graph(self) -> Graph:
        """The graph of the network."""
        return self.network.graph

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What pictures go through, see ``Reading``."""
        return self.reading.preprocessing

    @property
    def training(self) -> Mapping[str, Any]:
        """What the file says of its training, see ``Reading``."""
        return self.reading.training

    def write(self, target: repository.ModelVersion, place: Path | None = None) -> Report:
        """As ``write_version``."""
        return write_version(self, target, place)

    @cached_property
    def report(self) -> Report:
        """The proof, computed when it is asked for first."""
        with tempfile.TemporaryDirectory(prefix="cortex-") as folder:
            name = repository.slug(self.reading.path.stem)
            return write_version(self, repository.ModelVersion(name, 0, Path(folder)))


def load(
    path: Path | str,
    weights: Path | str | None = None,
    *,
    architecture: str | None = None,
    keras1_backend: str | None = None,
    substitute: Path | str | None = None,
    plugins: Iterable[str] = (),
    input_layout: Layout | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    reference: Path | str | None = None,
    tolerance: float = TOLERANCE,
) -> Imported:
    """Reads a model file: see ``ModelSource``.

    ``plugins`` are packages' converters to load first, see ``keras.plugins``.

    ``imported.network`` runs it; ``imported.report`` proves it, against ``reference`` as
    ``Proof`` has it.

    Raises:
        UnreadableFile: no such file, damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
        UsageError: a mapping ``substitute`` that makes no sense, a plugin that does not load.
    """
    for plugin in plugins:
        load_plugin(plugin)
    source = ModelSource(
        Path(path),
        Path(weights) if weights else None,
        architecture,
        keras1_backend,
        Path(substitute) if substitute else None,
        input_layout,
        input_shapes or {},
    )
    imported = read_model(source, Proof(reference, None, tolerance))
    arrays = {name: np.asarray(array) for name, array in imported.network.parameters.items()}
    network = Network(imported.network.graph, arrays)
    return replace(imported, reading=replace(imported.reading, network=network))


def read_model(source: ModelSource, proof: Proof, precision: Precision = "float32") -> Imported:
    """As ``load``, but the arrays stay in the file until they are used."""
    found = read_any(source, proof, precision)
    if isinstance(found, Untouched):
        raise Unsupported(
            f"{found.path}: not read: {found.reading.why}; cortex-import installs it as it is"
        )
    return found


def read_any(
    source: ModelSource, proof: Proof, precision: Precision = "float32"
) -> Imported | Untouched:
    """As ``read_model``, and a model that can only be served as it is, too."""
    reading = read(source)
    if isinstance(reading, Reading):
        return Imported(source, reading, proof, precision)
    if precision != "float32":
        raise Unsupported(
            f"{reading.path}: it is served as it is, and not in {precision}; "
            f"not read: {reading.why}"
        )
    return Untouched(reading, proof)


def write_version(
    imported: Imported, target: repository.ModelVersion, place: Path | None = None
) -> Report:
    """Writes model, weights, check and report into the folder of ``target``, and proves them.

    Where a file does not say which backend wrote it and the reference contradicts what was assumed,
    the other backend is tried: it is the reference that knows.

    ``place`` is where the folder will be moved to if the report accepts the model; whether it is
    moved is for the caller to see to.
    """
    start, proof = time.monotonic(), imported.proof
    attempt = _attempt(imported, target.path)
    other = imported.reading.other_backend
    if other and attempt.reference and attempt.verification.first_difference:
        source = replace(imported.source, keras1_backend=other)
        second = _attempt(read_model(source, proof, imported.precision), target.path)
        if second.verification.first_difference is None:
            note = f"the file does not say it, but its reference does: it was written on {other}"
            attempt = replace(second, notes=(note,))
        else:
            attempt = _attempt(imported, target.path)
    report = attempt.report(target.name, imported, round(time.monotonic() - start, 3))
    report = report.model_copy(update={"files": digests(target.path, repository.SERVED)})
    if place and report.accepted(proof.required):
        report = report.model_copy(update={"version": target.version, "path": str(place)})
    (target.path / repository.REPORT).write_text(report.to_json() + "\n")
    return report


@dataclass(frozen=True)
class Attempt:
    """A network written and compared."""

    network: Network
    reference: Reference | None
    verification: Verification
    notes: tuple[str, ...]

    def report(self, name: str, imported: Imported, seconds: float) -> Report:
        """What is to be said of it."""
        evidence: Evidence = self.reference.evidence if self.reference else "engines"
        found = self.verification
        warnings = [*found.warnings(), *_not_finite(self.network)]
        return Report(
            model=name,
            verified=evidence in OUTSIDE and not warnings and found.first_difference is None,
            evidence=evidence,
            reference=self.reference.name if self.reference else "",
            source=hashed(
                imported.reading.path, imported.reading.format, imported.reading.keras_version
            ),
            layers=tuple(found.layers()),
            outputs=tuple(found.outputs()),
            first_difference=found.first_difference,
            seconds=seconds,
            warnings=tuple(warnings),
            notes=self.notes,
        )


def _attempt(imported: Imported, folder: Path) -> Attempt:
    """Writes the network and its check into ``folder``, and compares what it computes."""
    proof = imported.proof
    half = imported.precision == "float16"
    network, model = _write(imported.network, folder, half)
    reference = _reference(imported, network)
    inputs = _inputs(proof, network, reference)
    notes = (*imported.reading.notes, *(reference.notes if reference else ()))
    tolerance = proof.tolerance
    for coarse in (reference and imported.reading.coarse, HALF if half else None):
        if coarse:
            tolerance, notes = max(tolerance, coarse.tolerance), (*notes, coarse.note)
    verification = Verification(network, reference, tolerance, imported.precision)
    verification.run(model, inputs)
    evidence = reference.evidence if reference else "engines"
    repository.write_check(folder / repository.CHECK, verification.check(inputs, evidence))
    return Attempt(network, reference, verification, notes)


def _write(network: Network, folder: Path, half: bool) -> tuple[Network, Path]:
    """The network as it lies in ``folder`` once written, and its ONNX graph."""
    weights, model = folder / repository.WEIGHTS, folder / repository.MODEL
    (halved(network) if half else network).write(weights)
    stored = Network.load(weights)
    graph = export(stored, WeightsFile.open(weights))
    model.write_bytes((in_half(graph) if half else graph).SerializeToString())
    return stored, model


def _not_finite(network: Network) -> Iterator[str]:
    for name, array in network.parameters.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            yield f"the array {name!r} holds numbers that are not finite"


def _reference(imported: Imported, network: Network) -> Reference | None:
    proof, reading = imported.proof, imported.reading
    if proof.reference == KERAS:
        if reading.real_keras is None:
            raise UsageError(f"--reference {KERAS}: Keras cannot run {reading.path}")
        return reading.real_keras(_own_inputs(proof, network))
    if proof.reference is not None:
        return read_reference(Path(proof.reference))
    weights = imported.source.weights
    if file := beside(reading.path) or (weights and beside(weights)):
        return read_reference(file)
    return reading.witness(_own_inputs(proof, network)) if reading.witness else None


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
    graph = network.graph
    names = [name for name in graph.inputs if name not in graph.states]
    given = dict(reference.inputs)
    if len(names) == len(given) == 1:  # generations of Keras disagree about what an input is called
        given = dict(zip(names, given.values(), strict=True))
    if set(given) != set(names):
        raise Unsupported(
            f"{reference.name}: its inputs are {sorted(given)}, the model's {sorted(names)}"
        )
    return fitting(graph, given | first_states(graph, given), reference.name)
