"""What a YAML of either generation describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...runtime.errors import UnreadableFile, UsageError
from ..source import ModelSource
from . import first_generation
from .description import INPUT, Description, Names, entries
from .document import read_yaml

VERSION = "neon 2"
SHAPES: Mapping[str, tuple[int, ...]] = {
    "mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "i1k": (3, 224, 224),
}
"""What neon's own datasets give."""
READ = frozenset(("backend", "batchsize", "cost", "dataset", "epochs", "layers", "optimizer"))


def shaped(description: Description, source: ModelSource) -> Description:
    """The description with the shape of the input that the user says, if he does.

    Raises:
        UsageError: it is of another input, or of none.
    """
    given = source.input_shapes
    if not given:
        return description
    if given.keys() - {"", INPUT} or len(given) > 1:
        raise UsageError(f"--input-shape: {source.path} has one input, {INPUT!r}")
    return replace(description, input_shape=next(iter(given.values())))


def describe(path: Path) -> Description:
    """Reads a YAML.

    Raises:
        UnreadableFile: it describes no network of neon.
        Unsupported: a layer that has no counterpart.
    """
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise UnreadableFile(f"{path}: it describes no network of neon")
    facts: dict[Any, Any] = document
    if isinstance(facts.get("type"), str):
        return first_generation.described(path, facts)
    dataset: Any = facts.get("dataset")
    name = dataset.get("name") if isinstance(dataset, dict) else dataset
    name = name.lower() if isinstance(name, str) else ""
    kept = {"cost": "cost", "optimizer": "optimizer", "epochs": "epochs", "batchsize": "batch_size"}
    others = [key for key, value in facts.items() if key not in READ and not _is_anchor(value)]
    return Description(
        path,
        VERSION,
        entries(facts.get("layers"), path, Names()),
        SHAPES.get(name),
        False,
        {ours: facts[theirs] for theirs, ours in kept.items() if facts.get(theirs)}
        | ({"dataset": name} if name else {}),
        tuple(f"{key} is not taken over" for key in others),
    )


def _is_anchor(value: Any) -> bool:
    """Whether it may stand there to be referred to."""
    return isinstance(value, dict | list)
