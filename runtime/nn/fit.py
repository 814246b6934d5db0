"""Training, evaluating and running a model, each in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from ..errors import UsageError
from ..optim import Adam, Optimizer
from ..training.evaluation import Evaluation, Measure
from ..training.loop import Epoch, Listener, Run
from ..training.measures import usual
from ..training.model import Model
from ..training.trainer import Trainer
from .feed import Data, fed

Array = Any


@dataclass(frozen=True)
class History(Sequence[Epoch]):
    """What every epoch came to, in order.

    Attributes:
        model: what was trained; its arrays are the trained ones.
        trainer: what trained it, with the optimiser's state.
    """

    epochs: Sequence[Epoch]
    model: Model = field(repr=False)
    trainer: Trainer = field(repr=False)

    def __len__(self) -> int:
        return len(self.epochs)

    @overload
    def __getitem__(self, index: int) -> Epoch: ...
    @overload
    def __getitem__(self, index: slice[Any, Any, Any]) -> Sequence[Epoch]: ...
    def __getitem__(self, index: int | slice[Any, Any, Any]) -> Epoch | Sequence[Epoch]:
        return self.epochs[index]


def train(
    model: Model,
    data: Data,
    optimizer: Optimizer | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 128,
    validation: Data | None = None,
    measures: Sequence[Measure] | None = None,
    goal: str = "loss",
    listeners: Sequence[Listener] = (),
    seed: int = 0,
    **options: Any,
) -> History:
    """Trains a model, whose arrays change, and gives the history.

    Args:
        model: what to train.
        data: a dataset, or arrays: see ``feed``.
        optimizer: Adam unless given.
        epochs: how often all data are seen.
        batch_size: examples of a step.
        validation: data on which every epoch is evaluated.
        measures: of the validation data, beside the loss; by default a classifier's accuracy.
        goal: the measure by which an epoch is the best.
        listeners: are told what happens.
        seed: of the order of arrays and of dropout.
        options: what else a ``Trainer`` takes: shards, accumulate, dtype, precision, xp.

    Raises:
        UsageError: the data do not fit.
        NotFinite: a loss is no number; names the first layer whose output is not.
    """
    _check(model)
    trainer = Trainer(model, optimizer or Adam(), seed=seed, **options)
    run = Run(
        trainer,
        fed(data, model, seed=seed),
        None if validation is None else fed(validation, model),
        epochs,
        batch_size,
        usual(model.terms) if measures is None else measures,
        goal,
        listeners,
    )
    try:
        run.train()
    finally:  # what an interrupted run has learnt is not lost either
        take_back(trainer)
    return History(run.history, model, trainer)


def take_back(trainer: Trainer) -> None:
    """Copies a trainer's parameters into its model's arrays."""
    for name, array in trainer.model.network.parameters.items():
        if name in trainer.parameters.of:
            into: Any = array
            into[...] = trainer.parameters.of[name]


def evaluate(model: Model, data: Data, *, batch_size: int = 128) -> float:
    """The part of the examples that a classifier gets right; of any other model the loss."""
    _check(model)
    trainer = Trainer(model, Adam())
    measures = usual(model.terms)[:1]
    found = Evaluation(trainer, measures).run(fed(data, model), batch_size)
    return found[measures[0].name if measures else "loss"]


def loss_terms(model: Model, data: Data, *, batch_size: int = 128) -> Mapping[str, float]:
    """What each term of the loss comes to over the examples, by the names that epochs have."""
    _check(model)
    trainer, total, rows = Trainer(model, Adam()), np.zeros(()), 0
    for batch in fed(data, model).batches(batch_size):
        size = len(next(iter(batch.values())))
        losses, _ = trainer.evaluate(batch)
        total, rows = total + np.asarray(losses, np.float64) * size, rows + size
    return dict(zip(trainer.terms, (total / rows).tolist(), strict=True))


def predict(model: Model, data: Data, *, batch_size: int = 128) -> Any:
    """The output for every example, or of several outputs each by name."""
    _check(model)
    network, graph = model.network, model.network.graph
    names = [name for name in graph.outputs if name not in graph.states.values()]
    parts: dict[str, list[Array]] = {name: [] for name in names}
    carried: dict[str, Array] = {}
    for batch in _inputs(model, data, batch_size):
        rows = len(next(iter(batch.values())))
        for held in graph.states:
            if held not in carried or len(carried[held]) != rows:
                sizes = (int(size) for size in graph.inputs[held].shape[1:])
                carried[held] = np.zeros((rows, *sizes), np.float32)
        found = network.run({**batch, **carried})
        carried = {held: found[kept] for held, kept in graph.states.items()}
        for name in names:
            parts[name].append(found[name])
    whole = {name: np.concatenate(part) for name, part in parts.items()}
    return whole if len(whole) > 1 else next(iter(whole.values()))


def _check(model: object) -> None:
    if isinstance(model, History):
        raise UsageError("a history is no model; give its model: history.model")


def _inputs(model: Model, data: Data, size: int) -> Iterator[Mapping[str, Array]]:
    return fed(data, model, targets=False).batches(size)
