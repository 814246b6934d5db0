"""The types of layers that are read, and the options of each."""

from __future__ import annotations

from ..catalogue import options_of
from .build import supported
from .layer import caffe


def layers() -> dict[str, tuple[str, ...]]:
    """The options that the converter of each type reads; types and options are sorted.

    Layers of data and losses have none: what they say is read beside the network.
    """
    return {kind: options_of(caffe[kind]) if kind in caffe else () for kind in supported()}
