"""The loop: epochs of steps, and listeners that are told what happens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import Batch, Dataset
from ..optim import Progress
from .evaluation import Evaluation, Measure
from .trainer import Trainer


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        number: from 1 on.
        loss: the mean over its batches, all terms together.
        metrics: of the validation data; ``loss`` among them.
        rate: the learning rate at its end.
        seconds: it took.
        best: it is the best so far.
    """

    number: int
    loss: float
    metrics: Mapping[str, float]
    rate: float
    seconds: float
    best: bool


class Listener:
    """Is told what happens, on the training thread, and must not keep it long."""

    def begin(self, run: Run) -> None:
        """Training begins, or goes on."""

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        """A batch was learnt from."""

    def epoch(self, run: Run, epoch: Epoch) -> None:
        """An epoch is over and its network evaluated."""

    def end(self, run: Run) -> None:
        """Training is over, however it ended."""


@dataclass
class Run:
    """One training, as its listeners see it.

    Attributes:
        stop: set it, and training ends after this batch.
        steps_done: batches of the epoch under way.
    """

    trainer: Trainer
    data: Dataset
    validation: Dataset | None
    epochs: int | None
    batch_size: int
    measures: Sequence[Measure] = ()
    goal: str = "loss"
    listeners: Sequence[Listener] = ()
    history: list[Epoch] = field(default_factory=list[Epoch])
    steps_done: int = 0
    stop: bool = False

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return max(1, -(-len(self.data) // self.batch_size))

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        losses = [each.metrics.get("loss", each.loss) for each in self.history]
        return Progress(len(self.history) + self.steps_done / self.steps, self.epochs, losses)

    @property
    def best(self) -> Epoch | None:
        """The best epoch so far."""
        return next((each for each in reversed(self.history) if each.best), None)

    def train(self) -> Sequence[Epoch]:
        """Runs until the epochs are over or somebody sets ``stop``; the history."""
        self._tell("begin")
        try:
            while not self.stop and (self.epochs is None or len(self.history) < self.epochs):
                self._epoch()
        finally:
            self._tell("end")
        return self.history

    def _epoch(self) -> None:
        began, losses = time.monotonic(), list[float]()
        for batch in self.data.batches(self.batch_size, len(self.history)):
            loss = float(np.sum(self.trainer.step(batch, self.progress)))
            losses.append(loss)
            self.steps_done += 1
            self._tell("batch", batch, loss)
            if self.stop:
                break
        metrics = self.evaluate()
        loss = float(np.mean(losses))
        epoch = Epoch(
            len(self.history) + 1,
            loss,
            metrics,
            self.trainer.update.rate,
            time.monotonic() - began,
            self._is_best(metrics, loss),
        )
        self.steps_done = 0
        self.history.append(epoch)
        self._tell("epoch", epoch)

    def evaluate(self) -> Mapping[str, float]:
        """Every measure on the validation data; nothing without such."""
        if self.validation is None:
            return {}
        return Evaluation(self.trainer, self.measures).run(self.validation, self.batch_size)

    def _is_best(self, metrics: Mapping[str, float], loss: float) -> bool:
        rising = {measure.name: measure.rising for measure in self.measures}
        sign = -1 if rising.get(self.goal) else 1
        found = metrics.get(self.goal, loss)
        before = [each.metrics.get(self.goal, each.loss) for each in self.history]
        return all(sign * found < sign * each for each in before)

    def _tell(self, what: str, *facts: Any) -> None:
        for listener in self.listeners:
            getattr(listener, what)(self, *facts)
