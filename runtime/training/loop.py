"""The loop: epochs of steps, and listeners that are told what happens."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ..data import Batch, Dataset
from ..errors import UsageError
from ..optim import Progress
from .evaluation import LOSS, Evaluation, Measure
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
        terms: what each term adds to the loss, by name, where it is a sum of several.
    """

    number: int
    loss: float
    metrics: Mapping[str, float]
    rate: float
    seconds: float
    best: bool
    terms: Mapping[str, float] = field(default_factory=dict[str, float])


class Listener:
    """Is told what happens, on the training thread, and must not keep it long."""

    def begin(self, run: Run) -> None:
        """Training begins, or goes on."""

    def batch(self, run: Run, batch: Batch, loss: float) -> None:
        """A batch was learnt from."""

    def epoch(self, run: Run, epoch: Epoch) -> None:
        """An epoch is over and its network evaluated."""

    def note(self, run: Run, text: str) -> None:
        """Another listener has something to say, in one line."""

    def end(self, run: Run) -> None:
        """Training is over, however it ended; the listener that began first is told last."""


@dataclass
class Run:
    """One training, as its listeners see it.

    Attributes:
        goal: what the best epoch is best in: ``loss``, or a measure by name, of the validation data
            if there are any.
        evaluate_every: so many epochs; those between have no metrics and are never the best.
        history: the epochs done.
        losses: of the batches of the epoch under way.
        sums: of each of the trainer's terms, over these batches.
        stop: set it, and training ends after this batch.
        failed: a step went wrong, or was cut off: what the trainer holds is not to be kept.
        watched: names of values that a listener wants among ``answers``, of the first examples.
        answers: what the measures looked at in the last evaluation, and those values, by name.

    Raises:
        UsageError: a goal that nothing measures, epochs below 0, or too few for one update.
    """

    trainer: Trainer
    data: Dataset
    validation: Dataset | None
    epochs: int | None
    batch_size: int
    measures: Sequence[Measure] = ()
    goal: str = LOSS
    listeners: Sequence[Listener] = ()
    evaluate_every: int = 1
    history: list[Epoch] = field(default_factory=list[Epoch])
    losses: list[float] = field(default_factory=list[float])
    sums: list[float] = field(default_factory=list[float])
    stop: bool = False
    failed: bool = False
    watched: set[str] = field(default_factory=set[str])
    answers: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 0:
            raise UsageError(f"epochs is {self.epochs}, and must be 0 or more")
        gathered = int(self.trainer.settings["accumulate"])
        if self.epochs and self.epochs * self.steps < gathered:
            raise UsageError(
                f"accumulate is {gathered}, but in {self.epochs} epochs there are only "
                f"{self.epochs * self.steps} batches: nothing would be learnt"
            )
        if self.goal == LOSS:
            return
        known = [measure.name for measure in self.measures]
        if self.goal not in known:
            raise UsageError(f"goal {self.goal!r}: the measures are {', '.join([LOSS, *known])}")
        if self.validation is None:
            raise UsageError(f"goal {self.goal!r}: it is measured on validation data; give some")

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return max(1, -(-len(self.data) // self.batch_size))

    @property
    def steps_done(self) -> int:
        """Batches of the epoch under way that were learnt from."""
        return len(self.losses)

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        losses = [each.metrics.get(LOSS, each.loss) for each in self._judged]
        return Progress(len(self.history) + self.steps_done / self.steps, self.epochs, losses)

    @property
    def best(self) -> Epoch | None:
        """The best epoch so far."""
        return next((each for each in reversed(self.history) if each.best), None)

    def train(self) -> Sequence[Epoch]:
        """Runs until the epochs are over or somebody sets ``stop``; the history.

        An epoch that is stopped within is none: ``losses`` says how far it came, and training that
        is resumed goes on from there.
        """
        with ExitStack() as begun:
            for listener in self.listeners:
                listener.begin(self)
                begun.callback(listener.end, self)
            try:
                while not self.stop and (self.epochs is None or len(self.history) < self.epochs):
                    self._epoch()
            except KeyboardInterrupt:
                self.failed = True
                raise
        return self.history

    def say(self, text: str) -> None:
        """Lets every listener note something."""
        for listener in self.listeners:
            listener.note(self, text)

    def evaluate(self) -> Mapping[str, float]:
        """Every measure on the validation data; nothing without such."""
        if self.validation is None:
            return {}
        evaluation = Evaluation(self.trainer, self.measures, self.watched)
        metrics = evaluation.run(self.validation, self.batch_size)
        self.answers = evaluation.answers
        return metrics

    def _epoch(self) -> None:
        began = time.monotonic()
        if not self._learn():
            return
        number, loss = len(self.history) + 1, float(np.mean(self.losses))
        due = number % self.evaluate_every == 0 or number == self.epochs
        metrics = self.evaluate() if due else {}
        epoch = Epoch(
            number,
            loss,
            metrics,
            self.trainer.update.rate,
            time.monotonic() - began,
            (due or self.validation is None) and self._is_best(metrics.get(self.goal, loss)),
            self._terms(),
        )
        self.history.append(epoch)
        self.losses, self.sums = [], []
        for listener in self.listeners:
            listener.epoch(self, epoch)

    def _learn(self) -> bool:
        """What is left of an epoch's batches; whether none is left then.

        The batches of an epoch are the same whenever they are made: those that were learnt from
        before training was resumed are made again and passed over.
        """
        if not self.losses:
            self.trainer.states.forget()
        batches = self.data.batches(self.batch_size, len(self.history))
        for batch in islice(batches, len(self.losses), None):
            if self.stop:
                return False
            self.failed = True  # until the step is whole
            parts = self.trainer.step(batch, self.progress).tolist()
            self.failed = False
            loss = sum(parts)
            self.losses.append(loss)
            self.sums = [a + b for a, b in zip(self.sums or [0.0] * len(parts), parts, strict=True)]
            for listener in self.listeners:
                listener.batch(self, batch, loss)
        if not self.losses:
            raise UsageError("the data have no batch to learn from")
        return True

    def _terms(self) -> Mapping[str, float]:
        """The mean of each term over the batches of the epoch, if there are several terms."""
        if len(self.sums) < 2:
            return {}
        means = (total / self.steps_done for total in self.sums)
        return dict(zip(self.trainer.terms, means, strict=True))

    @property
    def _judged(self) -> list[Epoch]:
        """The epochs whose losses compare."""
        return [each for each in self.history if each.metrics or self.validation is None]

    def _is_best(self, found: float) -> bool:
        """Whether no epoch before came as far towards the goal."""
        rising = any(measure.rising for measure in self.measures if measure.name == self.goal)
        best = self.best
        if best is None or not math.isfinite(found):
            return math.isfinite(found)
        before = best.metrics.get(self.goal, best.loss)
        return found > before if rising else found < before
