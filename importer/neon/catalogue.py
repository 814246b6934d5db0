"""The layers of neon that are read, and the options of each."""

from __future__ import annotations

from ..catalogue import options_of
from . import build as build  # registers the converters
from .description import COMPOUND, CONTAINERS
from .layer import neon


def layers() -> dict[str, tuple[str, ...]]:
    """The options that each converter reads; those of macro layers and containers, too."""
    found = {kind: options_of(convert) for kind, convert in neon.items()}
    for kind, (_, _, own) in COMPOUND.items():
        found[kind] = (*own, "activation", "batch_norm", "bias")
    for kind in CONTAINERS:
        found[kind] = tuple(sorted({*found.get(kind, ()), "layers"}))
    return dict(sorted(found.items()))
