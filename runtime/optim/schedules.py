"""Rates that change while a network learns: functions of how far it has come, without a state.

That is why a run that is resumed goes on exactly as one that was never interrupted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come.

    Attributes:
        epoch: epochs done; a fraction within one.
        epochs: how many there will be; None: nobody knows.
        losses: what each epoch ended with, on the validation data if there are any.
    """

    epoch: float = 0.0
    epochs: int | None = None
    losses: Sequence[float] = ()


class Schedule:
    """A rate as a function of progress."""

    def at(self, progress: Progress) -> float:
        """The rate now."""
        raise NotImplementedError


@dataclass(frozen=True)
class step(Schedule):  # noqa: N801  it is called like the functions beside it
    """``rate`` times ``factor`` after every so many epochs."""

    rate: float
    every: int
    factor: float = 0.1
    type: Literal["step"] = "step"

    def __post_init__(self) -> None:
        within(self, "rate", "factor")
        within(self, "every", least=1)

    def at(self, progress: Progress) -> float:
        return self.rate * self.factor ** (int(progress.epoch) // self.every)


@dataclass(frozen=True)
class listed(Schedule):  # noqa: N801
    """``rates[i]`` from epoch ``epochs[i]`` on; before the first of them, ``rate``."""

    rate: float
    epochs: tuple[int, ...]
    rates: tuple[float, ...]
    type: Literal["listed"] = "listed"

    def __post_init__(self) -> None:
        if len(self.epochs) != len(self.rates) or sorted(set(self.epochs)) != [*self.epochs]:
            raise ValueError("epochs must rise, and rates be as many")
        within(self, "rate")

    def at(self, progress: Progress) -> float:
        place = bisect_right(self.epochs, int(progress.epoch))
        return self.rates[place - 1] if place else self.rate


@dataclass(frozen=True)
class power(Schedule):  # noqa: N801
    """rate / (1 + decay * epoch) ** exponent."""

    rate: float
    decay: float = 1.0
    exponent: float = 1.0
    type: Literal["power"] = "power"

    def __post_init__(self) -> None:
        within(self, "rate", "decay")

    def at(self, progress: Progress) -> float:
        return self.rate / (1 + self.decay * progress.epoch) ** self.exponent


@dataclass(frozen=True)
class exponential(Schedule):  # noqa: N801
    """rate * factor ** epoch."""

    rate: float
    factor: float = 0.95
    type: Literal["exponential"] = "exponential"

    def __post_init__(self) -> None:
        within(self, "rate", "factor")

    def at(self, progress: Progress) -> float:
        return self.rate * self.factor**progress.epoch


@dataclass(frozen=True)
class polynomial(Schedule):  # noqa: N801
    """From ``rate`` to ``end`` as (1 - epoch / epochs) ** exponent."""

    rate: float
    end: float = 0.0
    exponent: float = 1.0
    epochs: int | None = None
    type: Literal["polynomial"] = "polynomial"

    def __post_init__(self) -> None:
        within(self, "rate", "end", "exponent")
        within(self, "epochs", least=1)

    def at(self, progress: Progress) -> float:
        left = 1 - _part(progress, self.epochs)
        return self.end + (self.rate - self.end) * left**self.exponent


@dataclass(frozen=True)
class cosine(Schedule):  # noqa: N801
    """From ``rate`` to ``end`` along half a cosine, without restarts: Loshchilov & Hutter 2017."""

    rate: float
    end: float = 0.0
    epochs: int | None = None
    type: Literal["cosine"] = "cosine"

    def __post_init__(self) -> None:
        within(self, "rate", "end")
        within(self, "epochs", least=1)

    def at(self, progress: Progress) -> float:
        wave = (1 + math.cos(math.pi * _part(progress, self.epochs))) / 2
        return self.end + (self.rate - self.end) * wave


@dataclass(frozen=True)
class warm_up(Schedule):  # noqa: N801
    """Rises in a line from nothing for so many epochs to what ``then`` says."""

    then: float | Schedule
    epochs: float = 1.0
    type: Literal["warm_up"] = "warm_up"

    def __post_init__(self) -> None:
        within(self, "then", "epochs")

    def at(self, progress: Progress) -> float:
        risen = min(1.0, (progress.epoch + 1e-3) / self.epochs) if self.epochs else 1.0
        return risen * rate_at(self.then, progress)


@dataclass(frozen=True)
class plateau(Schedule):  # noqa: N801
    """``rate`` times ``factor`` whenever the loss has not fallen for ``patience`` epochs.

    ``threshold``: by how much of itself it must fall to count.
    """

    rate: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    least: float = 0.0
    type: Literal["plateau"] = "plateau"

    def __post_init__(self) -> None:
        within(self, "rate", "factor", "patience", "threshold", "least")

    def at(self, progress: Progress) -> float:
        best, waited, rate = math.inf, 0, self.rate
        for loss in progress.losses:
            if loss < best - abs(best if math.isfinite(best) else 0.0) * self.threshold:
                best, waited = loss, 0
                continue
            waited += 1
            if waited > self.patience:
                rate, waited = max(rate * self.factor, self.least), 0
        return rate


def within(of: Any, *names: str, least: float = 0, below: float = math.inf) -> None:
    """Refuses numbers of an optimiser or a schedule that make no sense; what is no number passes.

    That is None, which leaves out what the number is for, or a rate that changes.

    Raises:
        ValueError: one is less than ``least``, or not below ``below``.
    """
    for name in names:
        value = getattr(of, name)
        if value is None or isinstance(value, Schedule):
            continue
        if not (isinstance(value, Real) and least <= float(value) < below):
            above = f" and below {below:g}" if math.isfinite(below) else ""
            raise ValueError(
                f"{of.type}: {name} is {value!r}, and must be {least:g} or more{above}"
            )


def rate_at(rate: float | Schedule, progress: Progress) -> float:
    """A rate now, whether it changes or not."""
    return rate.at(progress) if isinstance(rate, Schedule) else rate


def _part(progress: Progress, epochs: int | None) -> float:
    """How much of all epochs is done."""
    total = epochs or progress.epochs
    if not total:
        raise ValueError("this schedule needs the number of epochs")
    return min(1.0, progress.epoch / total)
