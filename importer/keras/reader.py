"""Reads Keras files, and asks real Keras about them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...runtime.check import Array
from ..reference import Reference, read_reference
from ..source import ModelSource, Reading
from .build import build
from .converters.substitute import Substitutes
from .file import read_file
from .witness.precision import coarseness
from .witness.witnesses import Question, ask_keras


def read(source: ModelSource) -> Reading:
    """Reads a Keras file of any generation.

    Raises:
        UnreadableFile: none, damaged, or unsafe.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
        UsageError: a mapping of substitutes that makes no sense.
    """
    substitutes = Substitutes.read(source.substitutes) if source.substitutes else Substitutes()
    file = read_file(source)
    network = build(file, substitutes)
    graph = network.graph

    def real_keras(inputs: Mapping[str, Array]) -> Reference:
        """States it begins with zeros, as our first call does."""
        own = {name: array for name, array in inputs.items() if name not in graph.states}
        with tempfile.TemporaryDirectory(prefix="cortex-keras-") as folder:
            said = ask_keras(Question(source, file, own, list(graph.layers)), Path(folder))
            return replace(read_reference(said.path, said.evidence), notes=said.notes)

    return Reading(
        file.path,
        file.format,
        network,
        keras_version=file.keras_version,
        notes=file.notes,
        real_keras=real_keras,
        coarse=coarseness(file),
        other_backend=file.other_backend,
    )
