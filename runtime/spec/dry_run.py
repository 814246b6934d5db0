"""What a training would need, without training and without its data: its layers and its memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from typing import Any

import click
import numpy as np

from .. import nn
from ..optim import Progress
from ..training.model import Model
from ..training.trainer import Trainer
from .batch import open_sizes, random_batch
from .network import model_of
from .schema import Spec

Array = Any


def show(spec: Spec) -> None:
    """Prints the layers and what the arrays of a training take, its data aside."""
    model = model_of(spec)
    sizes = open_sizes(model)
    batch = random_batch(model, spec.batch_size, sizes, spec.seed)
    click.echo(nn.table(model))
    for name, size in sizes.items():
        click.echo(f"assumed: {name} is {size}, which only the data say")
    for what, size in memory(spec, model, batch).items():
        click.echo(f"{what:24}{size / (1 << 20):10.2f} MiB")


def memory(spec: Spec, model: Model, batch: Mapping[str, Array]) -> Mapping[str, int]:
    """Bytes of a training's arrays on the CPU, of one step of such a batch."""
    tracemalloc.start()
    try:
        trainer = Trainer(
            model,
            spec.optimizer,
            shards=spec.shards,
            accumulate=spec.accumulate,
            dtype=np.dtype(spec.dtype),
            precision=spec.precision,
        )
        held, _ = tracemalloc.get_traced_memory()
        trainer.step(batch, Progress(0, spec.epochs))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    parameters = trainer.parameters.flat.nbytes
    state = sum(array.nbytes for array in trainer.update.state.values())
    return {
        "parameters": parameters,
        "optimizer's state": state,
        "gradients": held - parameters - state,
        f"a step of {len(next(iter(batch.values())))} examples": peak - held,
        "together": peak,
    }
