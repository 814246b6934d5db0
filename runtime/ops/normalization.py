"""Batch normalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor
from .batch import Batch, reduced

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["BatchNormalization"]


@operation("batch_normalization", overwrites=(0,), overwrites_dy=(0,))
class BatchNormalization(Operation):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    The statistics are kept along ``axes`` (the batch is axis 0) and taken over all others: (-1,) is
    a mean and a variance a channel, (1, 2, 3) one an element of an image. While training they are
    the batch's, over all shards, and the moving ones follow: moving = momentum * moving + (1 -
    momentum) * batch, with the biased variance, as Keras has it. A frozen layer and inference use
    the moving ones.

    Parameters, each of the sizes of ``axes``: gamma if ``scale``, beta if ``center``, state
    moving_mean and moving_variance.
    """

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-3
    momentum: float = 0.99
    center: bool = True
    scale: bool = True

    def params(self, x: Tensor) -> Mapping[str, Param]:
        shape = tuple(x.shape[axis] for axis in self._kept(x.rank))
        trained = ["gamma"] * self.scale + ["beta"] * self.center
        learned = {name: Param(shape) for name in trained}
        state = ("moving_mean", "moving_variance")
        return learned | {name: Param(shape, trainable=False) for name in state}

    def infer(self, x: Tensor) -> Tensor:
        if not self.axes or not all(-x.rank <= axis < x.rank for axis in self.axes):
            raise ValueError(f"has no axes {self.axes}")
        if 0 in self._kept(x.rank):
            raise ValueError("axis 0 is the batch")
        return x

    def _kept(self, rank: int) -> tuple[int, ...]:
        return tuple(sorted({axis % rank for axis in self.axes}))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        rank = at.x[0].ndim
        kept = self._kept(rank)
        shape = tuple(n if i in kept else 1 for i, n in enumerate(at.x[0].shape))
        p = {name: array.reshape(shape) for name, array in at.p.items()}
        dp = {name: array.reshape(shape) for name, array in at.dp.items()}
        if at.training and not at.frozen:
            return Batch(self, at, p, dp, shape).steps()
        return self._moving(at, p, dp, shape)

    def _moving(
        self, at: Frame, p: Mapping[str, Array], dp: Mapping[str, Array], shape: tuple[int, ...]
    ) -> tuple[Steps, Steps]:
        """Computes x * factor + offset, both from the moving statistics."""
        xp, x, y = at.xp, at.x[0], at.y[0]
        factor, offset = at.keep(shape), at.scratch(shape)

        def forward() -> None:
            _write_factor(self, xp, p, p["moving_variance"], factor)
            xp.multiply(p["moving_mean"], factor, out=offset)
            if self.center:
                xp.subtract(p["beta"], offset, out=offset)
            else:
                xp.negative(offset, out=offset)
            xp.multiply(x, factor, out=y)
            xp.add(y, offset, out=y)

        if not at.grads:
            return forward, None
        dy, dx, axes = at.dy[0], at.dx[0], reduced(shape)
        centred, deviation = at.scratch(x.shape), at.scratch(shape)

        def backward() -> None:
            if "beta" in dp:
                xp.add.reduce(dy, axis=axes, keepdims=True, out=dp["beta"])
            if "gamma" in dp:
                xp.add(p["moving_variance"], self.epsilon, out=deviation)
                xp.sqrt(deviation, out=deviation)
                xp.subtract(x, p["moving_mean"], out=centred)
                xp.multiply(centred, dy, out=centred)
                xp.add.reduce(centred, axis=axes, keepdims=True, out=dp["gamma"])
                xp.divide(dp["gamma"], deviation, out=dp["gamma"])
            if dx is not None:
                xp.multiply(dy, factor, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        kept = self._kept(x.rank)
        if kept == (x.rank - 1,):
            return self._per_channel(tape, p, tape.first(x))
        return self._per_element(tape, p, tape.last(x), kept)

    def _per_channel(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        mean, variance = p["moving_mean"], p["moving_variance"]
        gamma, beta = (
            p[name] if name in p else tape.op("Expand", [fill, tape.op("Shape", [mean], rank=1)])
            for name, fill in (("gamma", tape.constant([1.0])), ("beta", tape.constant([0.0])))
        )
        return tape.op(
            "BatchNormalization", [x, gamma, beta, mean, variance], epsilon=float(self.epsilon)
        )

    def _per_element(
        self, tape: Tape, p: Mapping[str, Value], x: Value, kept: tuple[int, ...]
    ) -> Value:
        def shaped(name: str) -> Value:
            missing = [i for i in range(1, x.rank) if i not in kept]
            if not missing:
                return p[name]
            # Insert ones for the axes reduced over, counted without the batch.
            axes = tape.constant([i - 1 for i in missing])
            return tape.op("Unsqueeze", [p[name], axes], rank=x.rank - 1)

        variance = tape.op("Add", [shaped("moving_variance"), tape.constant(float(self.epsilon))])
        y = tape.op("Sub", [x, shaped("moving_mean")])
        y = tape.op("Div", [y, tape.op("Sqrt", [variance])])
        if self.scale:
            y = tape.op("Mul", [y, shaped("gamma")])
        return tape.op("Add", [y, shaped("beta")]) if self.center else y

    @classmethod
    def examples(cls) -> Sequence[Example]:
        vector, image = Tensor(("N", 3)), Tensor(("N", 2, 3, 4))
        options = [cls(), cls(epsilon=0.1, center=False), cls(scale=False), cls((1,))]
        return [
            *((op, [image]) for op in options),
            (cls(), [vector]),
            (cls(momentum=0.5, scale=False, center=False), [vector]),
            (cls((1, 2, 3)), [image]),
            (cls((1, 3)), [image]),
        ]


def _write_factor(
    op: BatchNormalization, xp: Any, p: Mapping[str, Array], variance: Array, factor: Array
) -> None:
    """Writes gamma / sqrt(variance + epsilon)."""
    xp.add(variance, op.epsilon, out=factor)
    xp.sqrt(factor, out=factor)
    xp.divide(p["gamma"] if op.scale else 1, factor, out=factor)
