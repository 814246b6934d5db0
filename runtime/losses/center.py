"""Center loss: features are drawn to the centre of their class, which follows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..frame import Array, Frame
from ..op import Step, Steps
from ..tensor import Tensor
from .loss import Loss, tiny
from .mean import Mean


@dataclass(frozen=True)
class CenterLoss(Loss):
    """The mean over rows of |x - c|² / 2, c being the centre of the row's class: Wen et al. 2016.

    The value is that of a ``centers`` operation, whose parameter the centres are; the target is the
    class, one-hot. In training the centre of each class that is in the batch then moves by
    (1 - keep_factor) times the mean of x - c over the batch, and all are scaled to the length
    ``radius``, as in cortex; None leaves them as long as they are.
    """

    classes: int
    keep_factor: float = field(default=0.5, kw_only=True)
    radius: float | None = field(default=1.0, kw_only=True)
    type: Literal["center"] = field(default="center", kw_only=True)

    per = "row"
    reads_parameters = True

    def target(self, on: Tensor) -> Tensor:
        return Tensor((on.shape[0], self.classes))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, (value, target, _), (dx,) = at.xp, at.x, at.dx
        centers = at.p.get("centers")
        if centers is None or len(centers) != self.classes:
            raise ValueError(f"it must be on a layer that keeps {self.classes} centres")
        shape = (len(value), centers.shape[1])
        x, own, each = value.reshape(shape), at.scratch(shape), at.scratch(shape)
        apart, mean = at.hold(shape), Mean(at, 1)

        def forward() -> None:
            xp.matmul(target, centers, out=own)
            xp.subtract(x, own, out=apart)
            xp.multiply(apart, apart, out=each)
            xp.multiply(each, 0.5, out=each)

        steps = mean.forward(each, forward)
        if at.training and not at.frozen:
            steps = (*(steps if isinstance(steps, tuple) else (steps,)), *self._move(at, apart))
        if dx is None:
            return steps, None
        return steps, mean.backward(lambda: xp.copyto(dx.reshape(shape), apart))

    def _move(self, at: Frame, apart: Array) -> tuple[Step | None, ...]:
        """The centres move when all shards have read them, by what all shards have added up."""
        xp, target, centers = at.xp, at.x[1], at.p["centers"]
        sums, every_sum = at.exchange(centers.shape)
        rows, every_rows = at.exchange((len(centers), 1))
        moved, found = at.scratch(centers.shape), at.scratch((len(centers), 1))
        classes, least = target.T, tiny(at)

        def add_up() -> None:
            xp.matmul(classes, apart, out=sums)
            xp.add.reduce(target, axis=0, out=rows.reshape(-1))

        def move() -> None:
            xp.add.reduce(every_sum, axis=0, out=moved)
            xp.add.reduce(every_rows, axis=0, out=found)
            xp.maximum(found, least, out=found)
            xp.divide(moved, found, out=moved)
            xp.multiply(moved, 1 - self.keep_factor, out=moved)
            xp.add(centers, moved, out=centers)
            if self.radius is not None:
                xp.multiply(centers, centers, out=moved)
                xp.add.reduce(moved, axis=1, keepdims=True, out=found)
                xp.sqrt(found, out=found)
                xp.maximum(found, least, out=found)
                xp.divide(centers, found, out=centers)
                xp.multiply(centers, self.radius, out=centers)

        return add_up, at.meet, move if at.lead else None
