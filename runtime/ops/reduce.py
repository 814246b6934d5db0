"""Axes made one element: sums, means, extremes, products, and whether any or all is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Size, Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = [
    "LogSumExp",
    "ReduceAll",
    "ReduceAny",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
]


@dataclass(frozen=True)
class Reduction(Operation):
    """A function of all elements along ``axes``, None for every axis, the batch included."""

    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    onnx_kind: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]] = ("float",)

    def infer(self, x: Tensor) -> Tensor:
        if x.dtype not in self.dtypes:
            raise ValueError(f"takes {' or '.join(self.dtypes)}, not {x.dtype}")
        return Tensor(self._without(x.shape, checked(self.axes, x.rank)), x.dtype)

    def _without(self, shape: tuple[Size, ...], axes: Sequence[int]) -> tuple[Size, ...]:
        kept = ones(shape, axes)
        return kept if self.keepdims else tuple(n for i, n in enumerate(kept) if i not in axes)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x = at.x[0]
        axes = checked(self.axes, x.ndim)
        one = ones(x.shape, axes)
        y = at.y[0].reshape(one)
        forward = self.forward(at, x, y, axes)
        if not at.grads:
            return forward, None
        return forward, self.backward(at, x, y, at.dy[0].reshape(one), axes)

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        """Writes y, which has all axes of x."""
        raise NotImplementedError

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> Step:
        """Writes dx; y and dy have all axes of x."""
        raise NotImplementedError

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return reduced(tape, self.onnx_kind, x, self.axes, self.keepdims)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        matrix, image = (("N", 3), ("N", 2, 3, 4))
        options = [(None, False, matrix), ((1,), True, matrix), ((0,), True, matrix)]
        options += [((-1, 1), False, image), ((2,), False, image), ((0,), False, matrix)]
        options += [(None, True, ("N", "T", 2))]
        return [
            (cls(axes, keepdims), [Tensor(shape, dtype)])
            for axes, keepdims, shape in options
            for dtype in cls.dtypes
        ]


def checked(axes: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """The axes in order, not negative; all of them for None.

    Raises:
        ValueError: one that is not there, or there twice.
    """
    if axes is None:
        return tuple(range(rank))
    if wrong := [axis for axis in axes if not -rank <= axis < rank]:
        raise ValueError(f"has no axis {wrong[0]}")
    found = tuple(sorted({axis % rank for axis in axes}))
    if not axes or len(found) < len(axes):
        raise ValueError(f"axes {axes} must name one axis or more, each once")
    return found


def ones(shape: tuple[Any, ...], axes: Sequence[int]) -> tuple[Any, ...]:
    """The shape with 1 for the axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduced(tape: Tape, kind: str, x: Value, axes: tuple[int, ...] | None, keepdims: bool) -> Value:
    """Emits a reduction."""
    places = checked(axes, x.rank)
    if keepdims:
        at = tape.constant([tape.axis(x, axis) for axis in places])
        return tape.op(kind, [x, at], keepdims=1)
    at, rank = tape.constant(list(places)), x.rank - len(places)
    return tape.op(kind, [tape.last(x), at], rank=rank, keepdims=0)


@operation("reduce_sum", any_dtype=True)
class ReduceSum(Reduction):
    """The sum."""

    onnx_kind, dtypes = "ReduceSum", ("float", "int32", "int64")

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        return lambda: at.xp.add.reduce(x, axis=axes, keepdims=True, dtype=y.dtype, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> Step:
        return lambda: at.xp.copyto(at.dx[0], dy)


@operation("reduce_mean")
class ReduceMean(Reduction):
    """The mean."""

    onnx_kind = "ReduceMean"

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        xp, count = at.xp, x.size // y.size

        def forward() -> None:
            xp.add.reduce(x, axis=axes, keepdims=True, out=y)
            xp.divide(y, count, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> Step:
        return lambda: at.xp.divide(dy, x.size // y.size, out=at.dx[0])


class Extreme(Reduction):
    """The largest or smallest element; equal ones share the gradient, as in TensorFlow."""

    function: ClassVar[str]
    dtypes = ("float", "int32", "int64")

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        function = getattr(at.xp, self.function)
        return lambda: function(x, axis=axes, keepdims=True, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> Step:
        xp, dx, share = at.xp, at.dx[0], at.scratch(y.shape)
        chosen = at.scratch(x.shape, bool)

        def backward() -> None:
            xp.equal(x, y, out=chosen)
            xp.add.reduce(chosen, axis=axes, keepdims=True, dtype=share.dtype, out=share)
            xp.divide(dy, share, out=share)
            xp.multiply(chosen, share, out=dx)

        return backward


@operation("reduce_max", any_dtype=True)
class ReduceMax(Extreme):
    """The largest."""

    function, onnx_kind = "max", "ReduceMax"


@operation("reduce_min", any_dtype=True)
class ReduceMin(Extreme):
    """The smallest."""

    function, onnx_kind = "min", "ReduceMin"


@operation("reduce_prod", any_dtype=True)
class ReduceProd(Reduction):
    """The product."""

    onnx_kind, dtypes = "ReduceProd", ("float", "int32", "int64")

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        return lambda: at.xp.multiply.reduce(x, axis=axes, keepdims=True, dtype=y.dtype, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> Step:
        """Writes dy times the product of the others.

        That is the product of all that are not zero, over x where x is one of them; it is 0 where
        another element is 0.
        """
        xp, dx = at.xp, at.dx[0]
        zero, others = at.scratch(x.shape, bool), at.scratch(x.shape)
        zeros, product = at.scratch(y.shape), at.scratch(y.shape)

        def backward() -> None:
            xp.equal(x, 0, out=zero)
            xp.add.reduce(zero, axis=axes, keepdims=True, dtype=zeros.dtype, out=zeros)
            xp.copyto(others, x)
            xp.copyto(others, 1, where=zero)
            xp.multiply.reduce(others, axis=axes, keepdims=True, out=product)
            xp.divide(product, others, out=others)
            xp.equal(zeros, zero, out=zero)  # no zero, or x is the only one
            xp.multiply(others, zero, out=others)
            xp.multiply(others, dy, out=dx)

        return backward


@operation("reduce_any", any_dtype=True)
class ReduceAny(Reduction):
    """Whether any is true."""

    onnx_kind, dtypes = "ReduceMax", ("bool",)

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        return lambda: at.xp.any(x, axis=axes, keepdims=True, out=y)


@operation("reduce_all", any_dtype=True)
class ReduceAll(Reduction):
    """Whether all are true."""

    onnx_kind, dtypes = "ReduceMin", ("bool",)

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        return lambda: at.xp.all(x, axis=axes, keepdims=True, out=y)


@operation("log_sum_exp")
class LogSumExp(Reduction):
    """log(sum(exp(x)))."""

    onnx_kind = "ReduceLogSumExp"

    def forward(self, at: Frame, x: Array, y: Array, axes: tuple[int, ...]) -> Step:
        xp, extreme, powers = at.xp, at.scratch(y.shape), at.scratch(x.shape)

        def forward() -> None:
            xp.max(x, axis=axes, keepdims=True, out=extreme)
            xp.subtract(x, extreme, out=powers)
            xp.exp(powers, out=powers)
            xp.add.reduce(powers, axis=axes, keepdims=True, out=y)
            xp.log(y, out=y)
            xp.add(y, extreme, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> Step:
        xp, dx = at.xp, at.dx[0]

        def backward() -> None:
            xp.subtract(x, y, out=dx)
            xp.exp(dx, out=dx)
            xp.multiply(dx, dy, out=dx)

        return backward
