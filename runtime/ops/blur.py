"""Blurring with a bell curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.separable import Matrix
from ..op import Example, operation
from ..tensor import Size, Tensor
from .separable import Separable, numbers

__all__ = ["GaussianBlur"]


@operation("gaussian_blur")
class GaussianBlur(Separable):
    """The mean of ``size`` neighbours along each spatial axis, weighed by a normal distribution.

    The weights of the neighbours that are there add up to 1, at the borders too.
    """

    size: int = 9
    deviation: float = 2.0

    def infer(self, x: Tensor) -> Tensor:
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"{self.size} neighbours have none in the middle")
        if self.deviation <= 0:
            raise ValueError(f"a deviation of {self.deviation} is not positive")
        numbers(x)
        return super().infer(x)

    def spatial(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        return tuple(sizes)

    def matrices(self, sizes: Sequence[int]) -> Sequence[Matrix | None]:
        return [self._weights(n) if min(n, self.size) > 1 else None for n in sizes]

    def _weights(self, count: int) -> Matrix:
        apart = np.arange(count)[:, None] - np.arange(count)
        bell = np.exp(-np.square(apart / self.deviation) / 2)
        near = np.where(np.abs(apart) <= self.size // 2, bell, 0)
        return near / near.sum(axis=1, keepdims=True)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 4, 6, 2))
        return [
            (cls(3, 0.8), [image]),
            (cls(), [image]),
            (cls(5), [Tensor(("N", 7, 2))]),
            (cls(3), [Tensor(("N", 1, 3, 2, 2))]),
            (cls(1), [image]),
        ]
