"""A small network that learns, and runs of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex.runtime import nn, optim
from cortex.runtime.data import Arrays
from cortex.runtime.optim import Optimizer, Treatment
from cortex.runtime.training.loop import Run
from cortex.runtime.training.measures import usual
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import Trainer
from cortex.runtime.training.treatments import treated

INPUT, TARGET = "x", "softmax-1:target"


def model(width: int = 6, seed: int = 0, bias: bool = True) -> Model:
    """Classes of three, through batch statistics and dropout.

    ``bias``: of the first layer. Batch statistics take it away again, so that its gradient is what
    rounding leaves, which Adam makes steps of.
    """
    return nn.sequential(
        [
            nn.input(4, name=INPUT),
            nn.linear(width, bias=bias),
            nn.batch_normalization(),
            nn.relu(),
            nn.dropout(rate=0.2),
            nn.linear(3),
            nn.softmax(),
        ],
        seed=seed,
    )


def arrays(rows: int = 40, seed: int = 0) -> dict[str, Any]:
    """Examples whose class is the place of the largest of their first three numbers."""
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return {INPUT: x, TARGET: np.eye(3, dtype=np.float32)[x[:, :3].argmax(1)]}


def run(
    *listeners: Any,
    epochs: int | None = 3,
    optimizer: Optimizer | None = None,
    goal: str = "accuracy",
    rows: int = 40,
    width: int = 6,
    penalties: bool = False,
    **options: Any,
) -> Run:
    """A run of it in batches of 16, with validation data; with ``penalties`` on its kernels."""
    made = model(width)
    if penalties:
        made = treated(made, {"*/kernel": Treatment(l1=0.01, l2=0.02)})
    how: dict[str, Any] = {"seed": 3, **options}
    return Run(
        Trainer(made, optimizer or optim.adam(1e-2), **how),
        Arrays(arrays(rows), seed=5),
        Arrays(arrays(30, 1)),
        epochs,
        16,
        usual(made.terms),
        goal,
        listeners,
    )
