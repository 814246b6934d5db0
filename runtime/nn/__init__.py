"""Networks in a few lines: layers, what joins them, and how they are trained.

net = nn.sequential([nn.input(784), nn.dense(128), nn.relu(), nn.dense(10), nn.softmax()])
history = nn.train(net, (images, classes), optim.adam(), epochs=10, batch_size=128)
"""

from typing import Any

from ..training.treatments import treated
from . import activations as activations
from . import connected as connected
from . import initializers as initializers
from . import joining as joining
from . import recurrence as recurrence
from . import regularizing as regularizing
from . import shaping as shaping
from . import spatial as spatial
from .adversarial import Adversaries
from .boltzmann import pretrain
from .build import sequential
from .decoding import Decoder, Sentence
from .feed import fed
from .fit import History, evaluate, loss_terms, predict, train
from .layers import LAYERS, LayerSpec, layer
from .net import Net
from .summary import Table, table
from .surgery import (
    drop_from,
    extend,
    freeze,
    from_network,
    longest_prefix,
    replace_head,
    resize_input,
    unfreeze,
)

__all__ = [
    "LAYERS",
    "Adversaries",
    "Decoder",
    "History",
    "LayerSpec",
    "Net",
    "Sentence",
    "Table",
    "drop_from",
    "evaluate",
    "extend",
    "fed",
    "freeze",
    "from_network",
    "initializers",
    "layer",
    "longest_prefix",
    "loss_terms",
    "predict",
    "pretrain",
    "replace_head",
    "resize_input",
    "sequential",
    "table",
    "train",
    "treated",
    "unfreeze",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *LAYERS})


def __getattr__(name: str) -> Any:
    """Each layer under its names: ``nn.linear`` and ``nn.dense`` are one."""
    if name in LAYERS:
        return LAYERS[name]
    raise AttributeError(f"module {__name__!r} has no layer {name!r}")
