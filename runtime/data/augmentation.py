"""Examples changed a little each time they come, so that a network never sees them twice alike.

    data.Augmented(train, [data.rotate(12), data.shift(0.08, 0.08), data.noise(0.05)], seed=1)

What is random depends on (seed, epoch, number of the batch, step) and on nothing else. Without an
epoch, as evaluation asks, nothing is random.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .dataset import INPUT, Batch, Dataset, Task, tasks_of
from .sampling import warped

Array = NDArray[Any]
Draw: TypeAlias = Callable[[], np.random.Generator]
"""A generator that gives the same numbers each time it is asked for."""


class Augmentation:
    """One way to change a batch of images, float32 [n, height, width, channels]."""

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        """The images changed; the ones given stay as they are."""
        raise NotImplementedError

    def batch(self, batch: Batch, on: Sequence[str], draw: Draw) -> Batch:
        """A batch whose arrays called ``on`` are changed, all in the same way."""
        return {**batch, **{name: self.images(batch[name], draw()) for name in on}}

    def plain(self, images: Array) -> Array:
        """The images as evaluation is to see them: nothing random."""
        return images


class Affine(Augmentation):
    """One that only moves pixels; several in a row are made one, which samples once."""

    fill: float | None

    def maps(self, count: int, size: tuple[int, int], rng: np.random.Generator) -> Array:
        """[count, 3, 3]: from (x, y, 1) of a pixel to be made to where it is taken from.

        ``size`` is height and width; places are measured from the middle of the image.
        """
        raise NotImplementedError

    def images(self, images: Array, rng: np.random.Generator) -> Array:
        count, height, width, _ = images.shape
        return warped(images, self.maps(count, (height, width), rng)[:, :2], self.fill)


class _Chain(Affine):
    """Several affine maps, the first one first."""

    def __init__(self, steps: Sequence[Affine]) -> None:
        self._steps, self.fill = steps, steps[0].fill

    def maps(self, count: int, size: tuple[int, int], rng: np.random.Generator) -> Array:
        whole = np.eye(3)
        for step in self._steps:
            whole = whole @ step.maps(count, size, rng)
        return whole


class Augmented:
    """A dataset whose batches go through augmentations, in their order.

    Args:
        of: the dataset.
        steps: what is done.
        on: the arrays it is done to; a mask beside an image is moved as the image is.
        seed: of all that is random.

    Raises:
        UsageError: from an iteration: an array is missing or is no batch of images.
    """

    def __init__(
        self,
        of: Dataset,
        steps: Sequence[Augmentation],
        *,
        on: Sequence[str] = (INPUT,),
        seed: int = 0,
    ) -> None:
        self.of, self._on, self._seed = of, tuple(on), seed
        self._steps = _joined(steps)

    def __len__(self) -> int:
        return len(self.of)

    def tasks(self, size: int, epoch: int | None = None) -> Iterator[Task]:
        """What makes each of ``batches``."""
        for number, task in enumerate(tasks_of(self.of, size, epoch)):
            if epoch is None:
                yield lambda task=task: self._plain(task())
            else:
                key = (self._seed, epoch, number)
                yield lambda task=task, key=key: self._changed(task(), key)

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """The dataset's, changed."""
        return (task() for task in self.tasks(size, epoch))

    def _changed(self, batch: Batch, key: tuple[int, ...]) -> Batch:
        batch = self._checked(batch)
        for number, step in enumerate(self._steps):
            batch = step.batch(
                batch, self._on, lambda number=number: np.random.default_rng((*key, number))
            )
        return batch

    def _plain(self, batch: Batch) -> Batch:
        batch = self._checked(batch)
        for step in self._steps:
            batch = {**batch, **{name: step.plain(batch[name]) for name in self._on}}
        return batch

    def _checked(self, batch: Batch) -> Batch:
        found = dict(batch)
        for name in self._on:
            if name not in batch:
                has = ", ".join(sorted(batch))
                raise UsageError(f"augmentation: the data have no {name!r}; they have {has}")
            if np.ndim(batch[name]) != 4:
                shape = [*np.shape(batch[name])]
                raise UsageError(f"augmentation: {name!r} of shape {shape} is no batch of images")
            found[name] = np.ascontiguousarray(batch[name], np.float32)
        return found


def _joined(steps: Sequence[Augmentation]) -> Sequence[Augmentation]:
    """The steps, with those in a row that only move pixels, and fill alike, as one."""
    groups = itertools.groupby(
        steps, lambda step: (step.fill,) if isinstance(step, Affine) else id(step)
    )
    found: list[Augmentation] = []
    for _, group in groups:
        members = list(group)
        moving = [step for step in members if isinstance(step, Affine)]
        found += [_Chain(moving)] if len(moving) > 1 else members
    return found
