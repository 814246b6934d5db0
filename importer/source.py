"""Where a model comes from, and a model as it was read, whatever the format of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..runtime.check import Array
from ..runtime.network import Network
from .reference import Reference


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from, as a user names it.

    Attributes:
        path: a full model, an architecture, or weights of a known architecture.
        weights: the weights for an architecture, or to use instead of those of a full model.
        architecture: the name of a built-in architecture, for a file of weights only.
        keras1_backend: what a file of Keras 1 was written on, where it does not say.
        substitutes: a mapping that says what layers compute, see ``keras.substitute``.
    """

    path: Path
    weights: Path | None = None
    architecture: str | None = None
    keras1_backend: str | None = None
    substitutes: Path | None = None


@dataclass(frozen=True, slots=True)
class Coarse:
    """The largest difference of a layer, relative to its scale, that rounding explains; and why."""

    tolerance: float
    note: str


Witness = Callable[[Mapping[str, Array]], Reference]
"""Says what the source computes for these inputs, or for others that were recorded with it."""


@dataclass(frozen=True)
class Reading:
    """A model as its reader understood it; its arrays stay in the file until they are used.

    Attributes:
        path: the file, as the user named it.
        format: what the report calls the format.
        network: what the file describes.
        keras_version: the version of Keras that wrote it, if Keras did.
        notes: what was concluded or assumed.
        witness: what the file itself brings to be held against, if it does.
        real_keras: asks real Keras, where that can run the file.
        coarse: why what the source computes is inexact, if it is.
        other_backend: the one to try where it had to be assumed which backend wrote the file.
    """

    path: Path
    format: str
    network: Network
    keras_version: str = ""
    notes: tuple[str, ...] = ()
    witness: Witness | None = None
    real_keras: Witness | None = None
    coarse: Coarse | None = None
    other_backend: str | None = None
