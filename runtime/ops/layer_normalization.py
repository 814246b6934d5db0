"""Normalization of each row by statistics of its own, over some of its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..kernels.standardization import Standardization, over_axes
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor
from .reduce import checked

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["LayerNormalization", "RMSNormalization", "UnitNormalization"]


class OverAxes(Operation):
    """A function of a row's elements along ``axes``, together."""

    axes: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        if 0 in checked(self.axes, x.rank):
            raise ValueError("axis 0 is the batch")
        return x


@operation("layer_normalization", overwrites=(0,), overwrites_dy=(0,))
class LayerNormalization(OverAxes):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, over ``axes`` of each row.

    ``rms_scaling`` is what Keras 3 means by it: gamma * x / sqrt(variance + epsilon), without beta
    and, despite its name, without a root mean square.

    Parameters, each of the sizes of ``axes`` in ascending order: gamma if ``scale``, beta if
    ``center``.
    """

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    rms_scaling: bool = False

    def params(self, x: Tensor) -> Mapping[str, Param]:
        shape = tuple(x.shape[axis] for axis in checked(self.axes, x.rank))
        return {name: Param(shape) for name in ["gamma"] * self.scale + ["beta"] * self.center}

    def infer(self, x: Tensor) -> Tensor:
        if self.rms_scaling and self.center:
            raise ValueError("rms_scaling has no beta")
        return super().infer(x)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        shape = at.x[0].shape
        over = checked(self.axes, len(shape))
        placed = [n if i in over else 1 for i, n in enumerate(shape)]
        form = Standardization(self.epsilon, centred=not self.rms_scaling)
        return form.bind(at, over_axes(at, shape, over), placed)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x, over, epsilon = tape.last(x), checked(self.axes, x.rank), float(self.epsilon)
        if self.scale and not self.rms_scaling and over == tuple(range(over[0], x.rank)):
            inputs = [x, p["gamma"], p.get("beta")]
            return tape.op("LayerNormalization", inputs, axis=over[0], epsilon=epsilon)
        axes = tape.constant(over)
        deviation = tape.op("Sub", [x, tape.op("ReduceMean", [x, axes])])
        y = _over_root(tape, x if self.rms_scaling else deviation, deviation, over, epsilon)
        if self.scale:
            y = tape.op("Mul", [y, placed(tape, p["gamma"], over, x.rank)])
        return tape.op("Add", [y, placed(tape, p["beta"], over, x.rank)]) if self.center else y

    @classmethod
    def examples(cls) -> Sequence[Example]:
        vector, image = Tensor(("N", 5)), Tensor(("N", 2, 3, 4))
        return [
            (cls(), [vector]),
            *((cls(axes), [image]) for axes in ((-1,), (1,), (-1, 2), (1, 3), (3, 1, 2))),
            (cls(epsilon=0.1, center=False), [image]),
            (cls((2,), scale=False), [image]),
            (cls(center=False, scale=False), [Tensor(("N", 3, "T"))]),
            (cls(center=False, rms_scaling=True), [vector]),
            (cls((1, 2), center=False, scale=False, rms_scaling=True), [image]),
        ]


@operation("rms_normalization", overwrites=(0,), overwrites_dy=(0,))
class RMSNormalization(OverAxes):
    """gamma * x / sqrt(mean(x * x) + epsilon), over ``axes`` of each row.

    Parameter: gamma if ``scale``, of the sizes of ``axes`` in ascending order. As in Keras it
    broadcasts against the *last* axes, whichever ``axes`` are.
    """

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-6
    scale: bool = True

    def params(self, x: Tensor) -> Mapping[str, Param]:
        return {"gamma": Param(self._sizes(x))} if self.scale else {}

    def _sizes(self, x: Tensor) -> tuple[int | str, ...]:
        return tuple(x.shape[axis] for axis in checked(self.axes, x.rank))

    def infer(self, x: Tensor) -> Tensor:
        y, gamma = super().infer(x), self._sizes(x)
        last = x.shape[-len(gamma) :]
        if self.scale and any(n not in (1, m) for n, m in zip(gamma, last, strict=True)):
            raise ValueError(f"its gamma of {gamma} does not fit the last axes")
        return y

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        shape = at.x[0].shape
        over = checked(self.axes, len(shape))
        last = [1] * (len(shape) - len(over)) + [shape[axis] for axis in over]
        form = Standardization(self.epsilon, about_mean=False)
        return form.bind(at, over_axes(at, shape, over), last)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x = tape.last(x)
        y = _over_root(tape, x, x, checked(self.axes, x.rank), float(self.epsilon))
        return tape.op("Mul", [y, p["gamma"]]) if self.scale else y

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 2, 3, 4))
        return [
            (cls(), [Tensor(("N", 5))]),
            *((cls(axes), [image]) for axes in ((-1,), (-1, 2))),
            (cls((1,), 0.1), [Tensor(("N", 3, 3))]),
            (cls((1, 3), scale=False), [image]),
        ]


@operation("unit_normalization", overwrites=(0,), overwrites_dy=(0,))
class UnitNormalization(OverAxes):
    """x / max(norm, epsilon), the Euclidean norm of x along ``axes`` of each row."""

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-12

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        sums = over_axes(at, x.shape, checked(self.axes, x.ndim))
        norm, products = at.keep(sums.shape), at.scratch(x.shape)

        def forward() -> None:
            xp.multiply(x, x, out=products)
            sums.write(products, norm)
            xp.sqrt(norm, out=norm)
            xp.maximum(norm, self.epsilon, out=norm)
            xp.divide(x, norm, out=y)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0], at.dx[0]
        along, free = at.scratch(norm.shape), at.scratch(norm.shape, bool)

        def backward() -> None:
            xp.multiply(dy, y, out=products)
            sums.write(products, along)
            xp.greater(norm, self.epsilon, out=free)  # else the norm is constant
            xp.multiply(along, free, out=along)
            xp.multiply(y, along, out=products)
            xp.subtract(dy, products, out=dx)
            xp.divide(dx, norm, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        axes = tape.constant([tape.axis(x, axis) for axis in checked(self.axes, x.rank)])
        norm = tape.op("ReduceL2", [x, axes])
        norm = tape.op("Max", [norm, tape.constant(float(self.epsilon))])
        return tape.op("Div", [x, norm])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 2, 3, 4))
        return [
            (cls(), [Tensor(("N", 5))]),
            (cls(epsilon=2.0), [image]),
            *((cls(axes), [image]) for axes in ((1,), (1, -1), (3, 2))),
        ]


def _over_root(
    tape: Tape, x: Value, deviation: Value, over: Sequence[int], epsilon: float
) -> Value:
    """The value x / sqrt(mean(deviation²) + epsilon), in the form onnxruntime fuses."""
    square = tape.op("Pow", [deviation, tape.constant(2.0)])
    power = tape.op("ReduceMean", [square, tape.constant(over)])
    root = tape.op("Sqrt", [tape.op("Add", [power, tape.constant(epsilon)])])
    return tape.op("Div", [x, root])


def placed(tape: Tape, parameter: Value, axes: Sequence[int], rank: int) -> Value:
    """A parameter of the sizes of ``axes``, ascending, such that it broadcasts along them.

    Its rank is ``rank``, less the axes before the first of them.
    """
    missing = [i - axes[0] for i in range(axes[0], rank) if i not in axes]
    if not missing:
        return parameter
    inserted = [parameter, tape.constant(missing)]
    return tape.op("Unsqueeze", inserted, rank=rank - axes[0])
