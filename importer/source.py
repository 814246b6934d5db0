"""Where a model comes from, and a model as it was read, whatever the format of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from ..runtime.check import Array
from ..runtime.network import Network
from ..runtime.preprocessing import Preprocessing
from ..runtime.tensor import Tensor
from .reference import Reference

Layout: TypeAlias = Literal["channels_first", "channels_last"]


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from, as a user names it.

    Attributes:
        path: a full model, an architecture, or weights of a known architecture.
        weights: the weights for an architecture, or to use instead of those of a full model.
        architecture: the name of a built-in architecture, for a file of weights only.
        keras1_backend: what a file of Keras 1 was written on, where it does not say.
        substitutes: a mapping that says what layers compute, see ``keras.substitute``.
        input_layout: how images are to be given to a network of a format that leaves the choice.
        input_shapes: of one example, by the input's name, where the file does not say it; the name
            "" stands for the only input.
    """

    path: Path
    weights: Path | None = None
    architecture: str | None = None
    keras1_backend: str | None = None
    substitutes: Path | None = None
    input_layout: Layout | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


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
        preprocessing: what pictures go through before the network, if the file says it.
        training: what the file says of its training, as parts of a cortex-train spec in plain
            values: ``losses``, ``optimizer``, ``epochs``, ``batch_size``, …
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
    preprocessing: Preprocessing | None = None
    training: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Run(Protocol):
    """Computes the outputs of a model, in order, by what serves it."""

    def __call__(self, inputs: Mapping[str, Array], *, optimized: bool = False) -> Sequence[Array]:
        """``optimized`` as it is served, else each operator by itself."""
        ...


class Files(Protocol):
    """The files of a model."""

    def copy(self, folder: Path) -> Sequence[str]:
        """Copies them into the folder of a version; their names there."""
        ...


@dataclass(frozen=True)
class Unread:
    """A model that can be served, but of which no network of ours was made.

    Attributes:
        path: the file, as the user named it.
        format: what the report calls the format.
        why: what was not read.
        notes: what was concluded.
        inputs: shape and dtype of each.
        dtypes: what its elements really are.
        outputs: their names, in order.
        engine: what runs it.
        run: runs it.
        files: what is to be installed.
    """

    path: Path
    format: str
    why: str
    notes: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    dtypes: Mapping[str, np.dtype[Any]]
    outputs: Sequence[str]
    engine: str
    run: Run
    files: Files
