"""What training makes small, bound like an operation: a loss of a value and its target."""

from __future__ import annotations

from dataclasses import dataclass

from .frame import Frame
from .op import Operation, Steps
from .ops import Softmax
from .tensor import Tensor


class Loss:
    """A mean over the rows of a batch.

    ``bind`` finds the value and the target in ``at.x``, adds up the loss of this shard's rows in
    ``at.y[0]`` (one element) and writes ``at.dx[0]``; ``at.weight`` is what one row counts: the
    term's weight over the rows of all shards.
    """

    def target(self, on: Tensor) -> Tensor:
        """The type of the target for a value of type ``on``."""
        return on

    def fuses(self, op: Operation, on: Tensor) -> bool:
        """Whether, on the output of ``op``, the loss can give the gradient of ``op``'s *input*.

        ``on`` is that output's type; ``at.fused`` says that it is to.
        """
        return False

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        """(forward, backward), as an operation's."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Term:
    """A loss ``on`` a value, against the plan's input called ``target``, times ``weight``."""

    loss: Loss
    on: str
    target: str = "target"
    weight: float = 1.0


@dataclass(frozen=True)
class Inner(Loss):
    """<value, target>, whose gradient is the target: it starts any vector-Jacobian product."""

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, weight, (dx,) = at.xp, at.weight, at.dx
        value, target = at.x
        total = at.y[0].reshape(())
        products = at.scratch(value.shape)

        def forward() -> None:
            xp.multiply(value, target, out=products)
            xp.add.reduce(products, axis=None, out=total)
            xp.multiply(total, weight, out=total)

        def backward() -> None:
            xp.multiply(target, weight, out=dx)

        return forward, backward if dx is not None else None


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """The mean over rows of the mean over a row's elements of (value - target)**2."""

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, (dx,) = at.xp, at.dx
        value, target = at.x
        total, error = at.y[0].reshape(()), at.keep(value.shape)
        mean = at.weight * value.shape[0] / value.size
        each, twice = at.hold((), fill=mean), at.hold((), fill=2 * mean)
        flat = error.reshape(-1)

        def forward() -> None:
            xp.subtract(value, target, out=error)
            xp.dot(flat, flat, out=total)
            xp.multiply(total, each, out=total)

        def backward() -> None:
            xp.multiply(error, twice, out=dx)

        return forward, backward if dx is not None else None


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """The mean over rows of -sum(target * log(value)), of probabilities and one-hot targets.

    On a softmax over the last axis its gradient is that of the logits:
    value * sum(target) - target.
    """

    def fuses(self, op: Operation, on: Tensor) -> bool:
        return isinstance(op, Softmax) and op.axis % on.rank == on.rank - 1

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, weight, (dx,) = at.xp, at.weight, at.dx
        value, target = at.x
        total = at.y[0].reshape(())
        logs = at.scratch(value.shape)
        mass = at.scratch((*value.shape[:-1], 1))
        tiny = float(xp.finfo(at.dtype).tiny)

        def forward() -> None:
            xp.maximum(value, tiny, out=logs)
            xp.log(logs, out=logs)
            xp.multiply(logs, target, out=logs)
            xp.add.reduce(logs, axis=None, out=total)
            xp.multiply(total, -weight, out=total)

        def on_logits() -> None:
            xp.add.reduce(target, axis=-1, keepdims=True, out=mass)
            xp.multiply(value, mass, out=dx)
            xp.subtract(dx, target, out=dx)
            xp.multiply(dx, weight, out=dx)

        def on_probabilities() -> None:
            xp.maximum(value, tiny, out=dx)
            xp.divide(target, dx, out=dx)
            xp.multiply(dx, -weight, out=dx)

        if dx is None:
            return forward, None
        return forward, on_logits if at.fused else on_probabilities
