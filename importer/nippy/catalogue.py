"""The types of nodes that are read, and the options of each."""

from __future__ import annotations

from ..catalogue import options_of
from . import reader as reader  # registers the converters
from .node import nippy


def layers() -> dict[str, tuple[str, ...]]:
    """The options that the converter of each type reads; types and options are sorted."""
    return {kind: options_of(nippy[kind]) for kind in sorted(nippy)}
