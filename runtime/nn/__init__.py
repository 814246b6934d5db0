"""Networks in a few lines: layers, what joins them, and how they are trained.

net = nn.sequential([nn.input(784), nn.dense(128), nn.relu(), nn.dense(10), nn.softmax()])
"""

from typing import Any

from . import initializers
from .build import sequential
from .layers import LAYERS, LayerSpec, layer
from .net import Net

__all__ = ["LAYERS", "LayerSpec", "Net", "initializers", "layer", "sequential"]


def __getattr__(name: str) -> Any:
    """Each layer under its names: ``nn.linear`` and ``nn.dense`` are one."""
    if name in LAYERS:
        return LAYERS[name]
    raise AttributeError(f"module {__name__!r} has no layer {name!r}")
