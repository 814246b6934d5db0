"""Reads files of neon: a pickle with layers and weights, or a YAML and the weights beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...runtime.errors import CortexError, GraphError, UnreadableFile, UsageError
from ...runtime.network import Network
from ..sniff import refusal, sniff
from ..source import ModelSource, Reading
from .build import build
from .describe import describe, shaped
from .description import Description
from .pickled_model import Model, with_weights
from .pickled_model import read as read_weights
from .training import Outline, training


def read(source: ModelSource) -> Reading:
    """Reads a network of neon.

    Raises:
        UnreadableFile: damaged, unsafe, or without weights.
        Unsupported: a layer or an option that Cortex cannot compute, by name.
        UsageError: weights for what has its own.
    """
    description = shaped(_described(source), source)
    try:
        network = build(description)
    except GraphError as error:
        raise UnreadableFile(f"{source.path}: {error}") from None
    facts, notes = _training(description, network)
    return Reading(
        source.path,
        description.version,
        network,
        notes=(*description.notes, *notes),
        training=facts,
    )


def _described(source: ModelSource) -> Description:
    path, weights = source.path, source.weights
    if sniff(path) == "neon":
        if weights is None:
            raise UnreadableFile(
                f"{path}: it describes a network without weights; give them by --weights FILE.prm, "
                "or ask for a spec to train it by --training-spec FILE.yaml"
            )
        return _with_weights(path, weights)
    if weights is not None:
        raise UsageError(f"{path}: it has weights of its own; leave out --weights {weights}")
    found = read_weights(path)
    if not isinstance(found, Model):
        raise UnreadableFile(
            f"{path}: it has weights, but no layers; give the YAML, and this file by --weights"
        )
    return found.description


def _with_weights(path: Path, weights: Path) -> Description:
    if (kind := sniff(weights)) != "pickle":
        raise UnreadableFile(f"{weights}: no weights of neon: {refusal(kind)}")
    found = read_weights(weights)
    if isinstance(found, Model):
        note = f"the layers are those of {weights.name}, not of the YAML"
        return replace(found.description, notes=(note,))
    description = with_weights(describe(path), found, weights)
    first = description.layers[0]
    if description.input_shape is None and first.kind == "Linear" and "W" in first.arrays:
        return replace(description, input_shape=first.arrays["W"].shape[1:])
    return description


def _training(
    description: Description, network: Network
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What the file says of its training; a network is of use without."""
    try:
        return training(description, Outline.of(network.graph)), ()
    except CortexError as error:
        return {}, (f"its training is not taken over: {error}",)
