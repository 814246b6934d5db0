"""Losses of probabilities, which know the gradient of what made them probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..frame import Array, Frame
from ..op import Operation, Step
from ..ops import Sigmoid, Softmax
from ..tensor import Tensor
from .labels import numbers, put_classes, put_one_hot
from .loss import SIGNED, Loss, Passes, tiny


class _OfDistributions(Loss):
    """A loss whose slope is -target / value.

    On a softmax over the last axis that of the logits is value·sum(target) - target.
    """

    per = "position"
    wants = "softmax"

    def fuses(self, op: Operation, on: Tensor) -> bool:
        return isinstance(op, Softmax) and op.axis % on.rank == on.rank - 1

    def slope(self, at: Frame, target: Array) -> Step:
        xp, (dx,), value = at.xp, at.dx, at.x[0]
        mass, least = at.scratch((*value.shape[:-1], 1)), tiny(at)

        def on_logits() -> None:
            xp.add.reduce(target, axis=-1, keepdims=True, out=mass)
            xp.multiply(value, mass, out=dx)
            xp.subtract(dx, target, out=dx)

        def on_probabilities() -> None:
            xp.maximum(value, least, out=dx)
            xp.divide(target, dx, out=dx)
            xp.negative(dx, out=dx)

        return on_logits if at.fused else on_probabilities


@dataclass(frozen=True)
class CrossEntropy(_OfDistributions):
    """The mean over rows, or over all positions of them, of -sum(target·log(value)).

    Attributes:
        smoothing: how much of each target is spread evenly over all classes: Szegedy et al. 2016.
        ids: the targets are kept as class numbers, which saves memory and time where the classes
            are many. Otherwise they are kept one-hot, and either form may be given.
    """

    smoothing: float = field(default=0.0, kw_only=True)
    ids: bool = field(default=False, kw_only=True)
    type: Literal["cross_entropy"] = field(default="cross_entropy", kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"a smoothing of {self.smoothing} is none: from 0 to below 1")
        if self.ids and self.smoothing:
            raise ValueError("smoothing needs targets that are kept one-hot: leave out ids")

    def target(self, on: Tensor) -> Tensor:
        return Tensor(on.shape[:-1], "int64") if self.ids else on

    def put(self, into: Array, rows: Array, name: str, on: Tensor) -> None:
        if self.ids:
            put_classes(into, numbers(rows), name, on.sizes[-1])
        else:
            put_one_hot(into, rows, name)

    def passes(self, at: Frame) -> Passes:
        return self._of_ids(at) if self.ids else self._of_distributions(at)

    def _of_distributions(self, at: Frame) -> Passes:
        xp, (value, target, _) = at.xp, at.x
        each, least = at.scratch(value.shape), tiny(at)
        wanted = at.keep(value.shape) if self.smoothing else target

        def forward() -> None:
            if self.smoothing:
                xp.multiply(target, 1 - self.smoothing, out=wanted)
                xp.add(wanted, self.smoothing / value.shape[-1], out=wanted)
            xp.maximum(value, least, out=each)
            xp.log(each, out=each)
            xp.multiply(each, wanted, out=each)
            xp.negative(each, out=each)

        return each, forward, self.slope(at, wanted)

    def _of_ids(self, at: Frame) -> Passes:
        xp, (value, ids, _), (dx,) = at.xp, at.x, at.dx
        places, picked = at.keep(ids.shape, "int64"), at.keep(ids.shape)
        begins = at.hold(ids.shape, "int64")
        begins[...] = xp.arange(0, value.size, value.shape[-1]).reshape(ids.shape)
        flat, least = value.reshape(-1), tiny(at)
        each = at.scratch(ids.shape)
        # NumPy's take buffers its output unless told to clip; CuPy's has no such option.
        clip = {} if hasattr(xp, "RawKernel") else {"mode": "clip"}

        def forward() -> None:
            xp.add(begins, ids, out=places)
            xp.take(flat, places, out=picked, **clip)
            xp.maximum(picked, least, out=picked)
            xp.log(picked, out=each)
            xp.negative(each, out=each)

        def on_logits() -> None:
            xp.copyto(dx, value)
            xp.subtract(picked, 1, out=each)
            dx.reshape(-1)[places] = each

        def on_probabilities() -> None:
            dx.fill(0)
            xp.divide(-1, picked, out=each)
            dx.reshape(-1)[places] = each

        return each, forward, on_logits if at.fused else on_probabilities


@dataclass(frozen=True)
class KullbackLeibler(_OfDistributions):
    """The mean over rows, or over all positions of them, of sum(target·log(target / value))."""

    type: Literal["kl"] = field(default="kl", kw_only=True)

    def passes(self, at: Frame) -> Passes:
        xp, (value, target, _) = at.xp, at.x
        each, logs, least = at.scratch(value.shape), at.scratch(value.shape), tiny(at)

        def forward() -> None:
            xp.maximum(value, least, out=logs)
            xp.log(logs, out=logs)
            xp.maximum(target, least, out=each)
            xp.log(each, out=each)
            xp.subtract(each, logs, out=each)
            xp.multiply(each, target, out=each)

        return each, forward, self.slope(at, target)


@dataclass(frozen=True)
class NegativeLogLikelihood(Loss):
    """The mean over rows, or over all positions of them, of -sum(target·value).

    That is the cross-entropy of logarithms of probabilities, as a log_softmax puts them out.
    """

    type: Literal["nll"] = field(default="nll", kw_only=True)

    per = "position"

    def check_source(self, op: Operation | None) -> None:
        if op and op.kind in (SIGNED | {"logistic", "softmax"}) - {"log_softmax"}:
            raise ValueError(
                f"it is of logarithms of probabilities, and {op.kind} puts out others; "
                "let a log_softmax follow, and the loss be on that"
            )

    def put(self, into: Array, rows: Array, name: str, on: Tensor) -> None:
        put_one_hot(into, rows, name)

    def passes(self, at: Frame) -> Passes:
        xp, (value, target, _), (dx,) = at.xp, at.x, at.dx
        each = at.scratch(value.shape)

        def forward() -> None:
            xp.multiply(value, target, out=each)
            xp.negative(each, out=each)

        return each, forward, lambda: xp.negative(target, out=dx)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """The mean over all elements of -target·log(value) - (1 - target)·log(1 - value).

    On a sigmoid its gradient is that of the logits: value - target.
    """

    type: Literal["binary_cross_entropy"] = field(default="binary_cross_entropy", kw_only=True)

    wants = "logistic"

    def fuses(self, op: Operation, on: Tensor) -> bool:
        return isinstance(op, Sigmoid)

    def passes(self, at: Frame) -> Passes:
        xp, (value, target, _), (dx,) = at.xp, at.x, at.dx
        each, other, unlike = (at.scratch(value.shape) for _ in range(3))
        least = tiny(at)

        def forward() -> None:
            xp.maximum(value, least, out=each)
            xp.log(each, out=each)
            xp.multiply(each, target, out=each)
            xp.subtract(1, value, out=other)
            xp.maximum(other, least, out=other)
            xp.log(other, out=other)
            xp.subtract(1, target, out=unlike)
            xp.multiply(other, unlike, out=other)
            xp.add(each, other, out=each)
            xp.negative(each, out=each)

        def on_logits() -> None:
            xp.subtract(value, target, out=dx)

        def on_probabilities() -> None:  # (value - target) / (value·(1 - value))
            xp.subtract(1, value, out=other)
            xp.multiply(other, value, out=other)
            xp.maximum(other, least, out=other)
            xp.subtract(value, target, out=dx)
            xp.divide(dx, other, out=dx)

        return each, forward, on_logits if at.fused else on_probabilities
