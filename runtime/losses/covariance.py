"""The loss that keeps two groups of units from telling the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NoReturn

from ..frame import Array, Frame
from ..op import Step, Steps
from ..tensor import Tensor
from .loss import Loss


@dataclass(frozen=True)
class CrossCovariance(Loss):
    """Half the sum of cov(a, b)² over units a among the first ``split`` and b among the others.

    XCov: Cheung et al. 2015, equation 3. The covariances are of the whole batch.
    """

    split: int
    type: Literal["xcov"] = field(default="xcov", kw_only=True)

    def target(self, on: Tensor) -> None:
        """It needs none.

        Raises:
            ValueError: not rows of numbers, or one of the groups is empty.
        """
        width = on.shape[-1]
        if on.rank != 2 or not isinstance(width, int) or not 0 < self.split < width:
            raise ValueError(f"{on.shape} does not split at {self.split} into two groups of units")

    def weights(self, on: Tensor) -> NoReturn:
        """It has none.

        Raises:
            ValueError: always.
        """
        raise ValueError("a covariance has no weights of examples")

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, value = at.xp, at.x[0]
        rows, width = value.shape
        k = self.split
        shape = (k, width - k)
        mine, every = at.exchange((width + k * (width - k),))
        whole, outer = at.keep(mine.shape), at.scratch(shape)
        mean, flat = whole[:width], whole[width:]
        total, share = at.y[0].reshape(()), at.hold((), fill=at.weight * rows / 2)

        def here() -> None:
            xp.add.reduce(value, axis=0, out=mine[:width])
            xp.matmul(value[:, :k].T, value[:, k:], out=mine[width:].reshape(shape))

        def together() -> None:
            xp.add.reduce(every, axis=0, out=whole)
            xp.multiply(whole, 1 / at.total, out=whole)
            xp.multiply(mean[:k, None], mean[k:], out=outer)
            xp.subtract(flat, outer.reshape(-1), out=flat)
            xp.dot(flat, flat, out=total)
            xp.multiply(total, share, out=total)

        backward = None if at.dx[0] is None else self._backward(at, mean, flat.reshape(shape))
        return (here, at.meet, together), backward

    def _backward(self, at: Frame, mean: Array, covariance: Array) -> Step:
        xp, value, (dx,), k = at.xp, at.x[0], at.dx, self.split
        centred = at.scratch(value.shape)
        da, db = at.scratch((len(value), k)), at.scratch((len(value), value.shape[1] - k))

        def backward() -> None:
            xp.subtract(value, mean, out=centred)
            xp.matmul(centred[:, k:], covariance.T, out=da)
            xp.matmul(centred[:, :k], covariance, out=db)
            xp.multiply(da, at.weight, out=dx[:, :k])
            xp.multiply(db, at.weight, out=dx[:, k:])

        return backward
