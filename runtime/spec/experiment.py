"""A training as a spec describes it: built, run, and told about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from .. import nn
from ..device import array_module
from ..errors import UsageError
from ..training import checkpoint
from ..training.logs import figure
from ..training.loop import Listener, Run
from ..training.model import Model
from ..training.trainer import Trainer
from .examples import datasets
from .listeners import listeners
from .measures import measures
from .network import model_of
from .schema import Spec


def build(spec: Spec, told: Sequence[Listener] = ()) -> Run:
    """The training, ready to begin.

    Raises:
        CortexError: the data, the network or the losses do not fit together.
    """
    model = model_of(spec)
    _check_labels(spec, model)
    training, validation = datasets(spec, model)
    trainer = Trainer(
        model,
        spec.optimizer,
        shards=spec.shards,
        accumulate=spec.accumulate,
        seed=spec.seed,
        dtype=np.dtype(spec.dtype),
        precision=spec.precision,
        xp=array_module(spec.device),
    )
    asked = measures(spec, model) if validation else ()
    return Run(
        trainer,
        training,
        validation,
        spec.epochs,
        spec.batch_size,
        asked,
        spec.goal or next((each.name for each in asked), "loss"),
        told,
        spec.evaluate_every,
    )


def train(spec: Spec, *, resume: bool = False, bar: bool = True) -> Run:
    """Trains, with everything beside it that the spec asks for, and says how it went."""
    run = build(spec)
    click.echo(nn.table(run.trainer.model))
    if resume:
        checkpoint.resume(run, _newest(spec))
    run.listeners = listeners(spec, bar=bar)
    run.train()
    best = run.best
    if best:
        told = ", ".join(f"{name} {figure(value)}" for name, value in best.metrics.items())
        click.echo(f"best: epoch {best.number}, {told or f'loss {figure(best.loss)}'}")
    return run


def _check_labels(spec: Spec, model: Model) -> None:
    graph, count = model.network.graph, len(spec.labels)
    name, value = next(iter(graph.outputs.items()))
    classes = graph.types[value].shape[-1]
    if count and classes not in (count, 1):  # one number may stand for two classes
        raise UsageError(f"labels: {count} for the {classes} classes of {name!r}")


def _newest(spec: Spec) -> Path:
    """The last checkpoint of a training.

    Raises:
        UsageError: there is none.
    """
    path = spec.checkpoint
    if path is None:
        raise UsageError("--resume: the spec has no checkpoint to go on from")
    several = re.compile(rf"{re.escape(path.stem)}(-\d+)?{re.escape(path.suffix)}")
    found = [at for at in path.parent.glob("*") if several.fullmatch(at.name)]
    if not found:
        raise UsageError(f"--resume: {path}: no such file")
    return max(found, key=lambda at: at.stat().st_mtime_ns)
