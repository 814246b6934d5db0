"""Activations: functions of each element, and softmax.

An element-wise activation says how ``y`` comes from ``x`` and ``dx`` from ``dy``; both must hold
when the two share memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, dataclass_transform

from ..frame import Array, Frame
from ..op import Declared, Example, Operation, Step, Steps, operation
from ..tensor import Param, Tensor
from .erf import erf

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = [
    "Celu", "Elu", "Exponential", "Gelu", "HardShrink", "HardSigmoid", "HardSilu", "HardTanh",
    "LogSigmoid", "LogSoftmax", "Mish", "Prelu", "Relu", "Selu", "Sigmoid", "Silu", "SoftShrink",
    "Softmax", "Softplus", "Softsign", "Squareplus", "Tanh", "TanhShrink",
]  # fmt: skip


class Elementwise(Operation):
    """y[i] = f(x[i])."""

    def infer(self, x: Tensor) -> Tensor:
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y = at.x[0], at.y[0]
        forward = self.forward(at, x, y)
        return forward, self.backward(at, x, y, at.dy[0], at.dx[0]) if at.grads else None

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        """Writes y; may be given the same array twice."""
        raise NotImplementedError

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        """Writes dx; may be given the same array for dy and dx."""
        raise NotImplementedError

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(), [Tensor(("N", 3, 4))])]


@dataclass_transform(frozen_default=True)
def elementwise(kind: str) -> Callable[[Declared], Declared]:
    """Declares an element-wise activation."""
    return operation(kind, overwrites=(0,), overwrites_dy=(0,))


@elementwise("relu")
class Relu(Elementwise):
    """x clipped to max_value from ``threshold`` on, negative_slope * (x - threshold) below it."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, slope = at.xp, self.negative_slope
        if self == Relu():
            zero = at.hold((), fill=0)  # a Python number would be converted every time
            return lambda: xp.maximum(x, zero, out=y)
        sloped = at.scratch(x.shape)
        if self == Relu(negative_slope=slope) and 0 <= slope <= 1:

            def leaky() -> None:
                xp.multiply(x, slope, out=sloped)
                xp.maximum(x, sloped, out=y)

            return leaky
        below = at.scratch(x.shape, bool)

        def forward() -> None:
            xp.less(x, self.threshold, out=below)
            xp.subtract(x, self.threshold, out=sloped)
            xp.multiply(sloped, slope, out=sloped)
            xp.minimum(x, math.inf if self.max_value is None else self.max_value, out=y)
            xp.copyto(y, sloped, where=below)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, mask = at.xp, at.scratch(x.shape, bool)
        if self == Relu():
            zero = at.hold((), fill=0)

            def plain() -> None:
                xp.greater(y, zero, out=mask)
                xp.multiply(dy, mask, out=dx)

            return plain
        slope = at.scratch(x.shape)

        def backward() -> None:
            slope.fill(1)
            xp.less(x, self.threshold, out=mask)
            xp.copyto(slope, self.negative_slope, where=mask)
            if self.max_value is not None:
                xp.greater_equal(x, self.max_value, out=mask)
                xp.copyto(slope, 0, where=mask)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        if self.threshold == 0:
            y = self._sloped(tape, x)
        else:
            shifted = tape.op("Sub", [x, tape.constant(self.threshold)])
            below = tape.op("Less", [x, tape.constant(self.threshold)])
            slope = tape.op("Mul", [shifted, tape.constant(float(self.negative_slope))])
            y = tape.op("Where", [below, slope, x])
        if self.max_value is None:
            return y
        return tape.op("Min", [y, tape.constant(float(self.max_value))])

    def _sloped(self, tape: Tape, x: Value) -> Value:
        if self.negative_slope == 0:
            return tape.op("Relu", [x])
        return tape.op("LeakyRelu", [x], alpha=float(self.negative_slope))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        options = [
            cls(),
            cls(0.5),
            cls(negative_slope=0.2),
            cls(0.8, 0.3, -0.4),
            cls(None, 0.0, 0.3),
        ]
        return [(op, [x]) for op in [*options, cls(negative_slope=1.5)]]


@elementwise("elu")
class Elu(Elementwise):
    """x above zero, alpha * (exp(x) - 1) below."""

    alpha: float = 1.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, below = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.minimum(x, 0, out=below)
            xp.expm1(below, out=below)
            xp.multiply(below, self.alpha, out=below)
            xp.maximum(x, 0, out=y)
            xp.add(y, below, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope, above = at.xp, at.scratch(x.shape), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.greater(x, 0, out=above)
            xp.add(y, self.alpha, out=slope)
            xp.copyto(slope, 1, where=above)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Elu", [x], alpha=float(self.alpha))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(alpha), [Tensor(("N", 3, 4))]) for alpha in (1.0, 0.3)]


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""Klambauer et al., Self-Normalizing Neural Networks, 2017."""


@elementwise("selu")
class Selu(Elementwise):
    """scale * elu(x, alpha), with the constants of Klambauer et al. (2017)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        elu, xp = Elu(SELU_ALPHA).forward(at, x, y), at.xp

        def forward() -> None:
            elu()
            xp.multiply(y, SELU_SCALE, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope, above = at.xp, at.scratch(x.shape), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.greater(x, 0, out=above)
            xp.add(y, SELU_SCALE * SELU_ALPHA, out=slope)
            xp.copyto(slope, SELU_SCALE, where=above)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Selu", [x], alpha=SELU_ALPHA, gamma=SELU_SCALE)


@elementwise("celu")
class Celu(Elementwise):
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""

    alpha: float = 1.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, below = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.minimum(x, 0, out=below)
            xp.divide(below, self.alpha, out=below)
            xp.expm1(below, out=below)
            xp.multiply(below, self.alpha, out=below)
            xp.maximum(x, 0, out=y)
            xp.add(y, below, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            xp.minimum(x, 0, out=slope)
            xp.divide(slope, self.alpha, out=slope)
            xp.exp(slope, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Celu", [x], alpha=float(self.alpha))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(alpha), [Tensor(("N", 3, 4))]) for alpha in (1.0, 0.4)]


@elementwise("tanh")
class Tanh(Elementwise):
    """tanh(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.tanh(x, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            xp.multiply(y, y, out=slope)
            xp.subtract(1, slope, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Tanh", [x])


def write_sigmoid(xp: Any, x: Array, y: Array) -> None:
    """Writes y = 1 / (1 + exp(-x)) as (tanh(x / 2) + 1) / 2: vectorised, and without overflow."""
    xp.multiply(x, 0.5, out=y)
    xp.tanh(y, out=y)
    xp.multiply(y, 0.5, out=y)
    xp.add(y, 0.5, out=y)


@elementwise("sigmoid")
class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: write_sigmoid(at.xp, x, y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            xp.subtract(1, y, out=slope)
            xp.multiply(slope, y, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Sigmoid", [x])


@elementwise("hard_sigmoid")
class HardSigmoid(Elementwise):
    """slope * x + offset clipped to [0, 1]; Keras 1 and 2 have a slope of 0.2, Keras 3 of 1/6."""

    slope: float = 0.2
    offset: float = 0.5

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.multiply(x, self.slope, out=y)
            xp.add(y, self.offset, out=y)
            xp.clip(y, 0, 1, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, inside, below = at.xp, at.scratch(x.shape, bool), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.greater(y, 0, out=inside)
            xp.less(y, 1, out=below)
            xp.logical_and(inside, below, out=inside)
            xp.multiply(dy, inside, out=dx)
            xp.multiply(dx, self.slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("HardSigmoid", [x], alpha=float(self.slope), beta=float(self.offset))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 3, 4))
        return [(cls(), [x]), (cls(1 / 6), [x]), (cls(2.0, 0.1), [x])]


@elementwise("hard_tanh")
class HardTanh(Elementwise):
    """x clipped to [-1, 1]."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.clip(x, -1, 1, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, size, inside = at.xp, at.scratch(x.shape), at.scratch(x.shape, bool)

        def backward() -> None:
            xp.absolute(y, out=size)
            xp.less(size, 1, out=inside)
            xp.multiply(dy, inside, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Clip", [x, tape.constant(-1.0), tape.constant(1.0)])


@elementwise("exponential")
class Exponential(Elementwise):
    """exp(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.exp(x, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return lambda: at.xp.multiply(dy, y, out=dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Exp", [x])


@elementwise("softplus")
class Softplus(Elementwise):
    """log(1 + exp(x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return lambda: at.xp.logaddexp(x, 0, out=y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            write_sigmoid(xp, x, slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Softplus", [x])


@elementwise("log_sigmoid")
class LogSigmoid(Elementwise):
    """-log(1 + exp(-x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp = at.xp

        def forward() -> None:
            xp.negative(x, out=y)
            xp.logaddexp(y, 0, out=y)
            xp.negative(y, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            write_sigmoid(xp, x, slope)
            xp.subtract(1, slope, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Neg", [tape.op("Softplus", [tape.op("Neg", [x])])])


@elementwise("softsign")
class Softsign(Elementwise):
    """x / (1 + abs(x))."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, size = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.absolute(x, out=size)
            xp.add(size, 1, out=size)
            xp.divide(x, size, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:  # 1 / (1 + |x|) = 1 - |y|
            xp.absolute(y, out=slope)
            xp.subtract(1, slope, out=slope)
            xp.multiply(slope, slope, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Softsign", [x])


class Gated(Elementwise):
    """y = x * gate(x)."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        """Writes the gate."""
        raise NotImplementedError

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        """Writes the derivative of the gate, which has been written."""
        raise NotImplementedError

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, gate = at.xp, at.scratch(x.shape)
        write_gate = self.gate(at, x, gate)

        def forward() -> None:
            write_gate()
            xp.multiply(x, gate, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, gate, slope = at.xp, at.scratch(x.shape), at.scratch(x.shape)
        write_gate, write_slope = self.gate(at, x, gate), self.gate_slope(at, x, gate, slope)

        def backward() -> None:
            write_gate()
            write_slope()
            xp.multiply(slope, x, out=slope)
            xp.add(slope, gate, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward


@elementwise("silu")
class Silu(Gated):
    """x * sigmoid(x), also called swish."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        return lambda: write_sigmoid(at.xp, x, gate)

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.subtract(1, gate, out=slope)
            xp.multiply(slope, gate, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Mul", [x, tape.op("Sigmoid", [x])])


@elementwise("hard_silu")
class HardSilu(Gated):
    """x * clip(x / 6 + 1 / 2, 0, 1), also called hard swish."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        return HardSigmoid(1 / 6).forward(at, x, gate)

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        ones = at.scratch(x.shape)
        backward = HardSigmoid(1 / 6).backward(at, x, gate, ones, slope)

        def write() -> None:
            ones.fill(1)
            backward()

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("HardSwish", [x])


@elementwise("gelu")
class Gelu(Gated):
    """x * P(X <= x) of a normal X; ``approximate`` takes Hendrycks and Gimpel's tanh for P."""

    approximate: bool = False

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        xp = at.xp
        if not self.approximate:
            write_erf = erf(at, gate, gate)

            def exact() -> None:
                xp.multiply(x, math.sqrt(0.5), out=gate)
                write_erf()
                xp.multiply(gate, 0.5, out=gate)
                xp.add(gate, 0.5, out=gate)

            return exact

        def approximate() -> None:  # (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2
            xp.multiply(x, x, out=gate)
            xp.multiply(gate, 0.044715, out=gate)
            xp.add(gate, 1, out=gate)
            xp.multiply(gate, x, out=gate)
            write_sigmoid_of_twice(xp, math.sqrt(2 / math.pi), gate)

        return approximate

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        xp = at.xp
        if not self.approximate:

            def exact() -> None:  # the normal density
                xp.multiply(x, x, out=slope)
                xp.multiply(slope, -0.5, out=slope)
                xp.exp(slope, out=slope)
                xp.multiply(slope, 1 / math.sqrt(2 * math.pi), out=slope)

            return exact
        inner = at.scratch(x.shape)

        def approximate() -> None:
            xp.multiply(x, x, out=inner)
            xp.multiply(inner, 3 * 0.044715, out=inner)
            xp.add(inner, 1, out=inner)
            xp.subtract(1, gate, out=slope)
            xp.multiply(slope, gate, out=slope)
            xp.multiply(slope, inner, out=slope)
            xp.multiply(slope, 2 * math.sqrt(2 / math.pi), out=slope)

        return approximate

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Gelu", [x], approximate="tanh" if self.approximate else "none")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(approximate), [Tensor(("N", 3, 4))]) for approximate in (False, True)]


def write_sigmoid_of_twice(xp: Any, factor: float, x: Array) -> None:
    """Replaces x by (1 + tanh(factor * x)) / 2."""
    xp.multiply(x, factor, out=x)
    xp.tanh(x, out=x)
    xp.multiply(x, 0.5, out=x)
    xp.add(x, 0.5, out=x)


@elementwise("mish")
class Mish(Gated):
    """x * tanh(log(1 + exp(x)))."""

    def gate(self, at: Frame, x: Array, gate: Array) -> Step:
        xp = at.xp

        def write() -> None:
            xp.logaddexp(x, 0, out=gate)
            xp.tanh(gate, out=gate)

        return write

    def gate_slope(self, at: Frame, x: Array, gate: Array, slope: Array) -> Step:
        xp, squared = at.xp, at.scratch(x.shape)

        def write() -> None:
            xp.multiply(gate, gate, out=squared)
            xp.subtract(1, squared, out=squared)
            write_sigmoid(xp, x, slope)
            xp.multiply(slope, squared, out=slope)

        return write

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Mish", [x])


@elementwise("tanh_shrink")
class TanhShrink(Elementwise):
    """x - tanh(x)."""

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, tanh = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.tanh(x, out=tanh)
            xp.subtract(x, tanh, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            xp.tanh(x, out=slope)
            xp.multiply(slope, slope, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Sub", [x, tape.op("Tanh", [x])])


@elementwise("hard_shrink")
class HardShrink(Elementwise):
    """x where abs(x) > threshold, else 0."""

    threshold: float = 0.5

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        return _only_outside(at, self.threshold, x, x, y)

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return _only_outside(at, self.threshold, x, dy, dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Shrink", [x], lambd=float(self.threshold), bias=0.0)


@elementwise("soft_shrink")
class SoftShrink(Elementwise):
    """x moved towards zero by ``threshold``, and 0 within it."""

    threshold: float = 0.5

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, inside = at.xp, at.scratch(x.shape)

        def forward() -> None:
            xp.clip(x, -self.threshold, self.threshold, out=inside)
            xp.subtract(x, inside, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        return _only_outside(at, self.threshold, x, dy, dx)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        threshold = float(self.threshold)
        return tape.op("Shrink", [x], lambd=threshold, bias=threshold)


def _only_outside(at: Frame, threshold: float, x: Array, source: Array, to: Array) -> Step:
    """A step that writes ``source`` where abs(x) > threshold, else 0."""
    xp, size, outside = at.xp, at.scratch(x.shape), at.scratch(x.shape, bool)

    def write() -> None:
        xp.absolute(x, out=size)
        xp.greater(size, threshold, out=outside)
        xp.multiply(source, outside, out=to)

    return write


@elementwise("squareplus")
class Squareplus(Elementwise):
    """(x + sqrt(x**2 + b)) / 2."""

    b: float = 4.0

    def forward(self, at: Frame, x: Array, y: Array) -> Step:
        xp, root = at.xp, at.scratch(x.shape)

        def forward() -> None:
            self._write_root(xp, x, root)
            xp.add(x, root, out=y)
            xp.multiply(y, 0.5, out=y)

        return forward

    def backward(self, at: Frame, x: Array, y: Array, dy: Array, dx: Array) -> Step:
        xp, slope = at.xp, at.scratch(x.shape)

        def backward() -> None:
            self._write_root(xp, x, slope)
            xp.divide(x, slope, out=slope)
            xp.add(slope, 1, out=slope)
            xp.multiply(slope, 0.5, out=slope)
            xp.multiply(dy, slope, out=dx)

        return backward

    def _write_root(self, xp: Any, x: Array, root: Array) -> None:
        xp.multiply(x, x, out=root)
        xp.add(root, self.b, out=root)
        xp.sqrt(root, out=root)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        squared = tape.op("Add", [tape.op("Mul", [x, x]), tape.constant(float(self.b))])
        total = tape.op("Add", [x, tape.op("Sqrt", [squared])])
        return tape.op("Mul", [total, tape.constant(0.5)])


@operation("prelu", overwrites_dy=(0,))
class Prelu(Operation):
    """x above zero, alpha * x below.

    Parameter: alpha, of the shape of one row of x, with 1 on the axes it shares. ``shared_axes``
    counts the batch as axis 0.
    """

    shared_axes: tuple[int, ...] = ()

    def params(self, x: Tensor) -> Mapping[str, Param]:
        shape = [1 if i in self.shared_axes else n for i, n in enumerate(x.shape)][1:]
        return {"alpha": Param(tuple(shape))}

    def infer(self, x: Tensor) -> Tensor:
        if not all(0 < axis < x.rank for axis in self.shared_axes):
            raise ValueError(f"shared_axes {self.shared_axes} must lie in 1..{x.rank - 1}")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y, alpha = at.xp, at.x[0], at.y[0], at.p["alpha"]
        below = at.scratch(x.shape)

        def forward() -> None:
            xp.minimum(x, 0, out=below)
            xp.multiply(below, alpha, out=below)
            xp.maximum(x, 0, out=y)
            xp.add(y, below, out=y)

        if not at.grads:
            return forward, None
        dy, dx, dalpha = at.dy[0], at.dx[0], at.dp.get("alpha")
        negative, slope = at.scratch(x.shape, bool), at.scratch(x.shape)
        axes = (0, *self.shared_axes)

        def backward() -> None:
            if dalpha is not None:
                xp.minimum(x, 0, out=slope)
                xp.multiply(slope, dy, out=slope)
                xp.add.reduce(slope, axis=axes, keepdims=True, out=dalpha[None])
            if dx is not None:
                xp.less(x, 0, out=negative)
                slope.fill(1)
                xp.copyto(slope, alpha, where=negative)
                xp.multiply(dy, slope, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("PRelu", [tape.last(x), p["alpha"]])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image = Tensor(("N", 3, 4, 2))
        return [(cls(), [Tensor(("N", 5))]), (cls((1, 2)), [image]), (cls((3,)), [image])]


@operation("softmax", overwrites=(0,), overwrites_dy=(0,))
class Softmax(Operation):
    """exp(x) over its sum along ``axis``."""

    axis: int = -1

    def infer(self, x: Tensor) -> Tensor:
        _check_axis(self.axis, x)
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, axis, x, y = at.xp, self.axis, at.x[0], at.y[0]
        one = _reduced(x.shape, axis)
        extreme = at.scratch(one)

        def forward() -> None:
            xp.maximum.reduce(x, axis=axis, keepdims=True, out=extreme)
            xp.subtract(x, extreme, out=y)
            xp.exp(y, out=y)
            xp.add.reduce(y, axis=axis, keepdims=True, out=extreme)
            xp.divide(y, extreme, out=y)

        if not at.grads:
            return forward, None
        dy, dx, product, mean = at.dy[0], at.dx[0], at.scratch(x.shape), at.scratch(one)

        def backward() -> None:
            xp.multiply(dy, y, out=product)
            xp.add.reduce(product, axis=axis, keepdims=True, out=mean)
            xp.subtract(dy, mean, out=dx)
            xp.multiply(dx, y, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Softmax", [x], axis=tape.axis(x, self.axis))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(axis), [Tensor(("N", 3, 4))]) for axis in (-1, 1, 2)]


@operation("log_softmax", overwrites=(0,), overwrites_dy=(0,))
class LogSoftmax(Operation):
    """log(softmax(x)) along ``axis``."""

    axis: int = -1

    def infer(self, x: Tensor) -> Tensor:
        _check_axis(self.axis, x)
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, axis, x, y = at.xp, self.axis, at.x[0], at.y[0]
        one, powers = at.scratch(_reduced(x.shape, axis)), at.scratch(x.shape)

        def forward() -> None:
            xp.maximum.reduce(x, axis=axis, keepdims=True, out=one)
            xp.subtract(x, one, out=y)
            xp.exp(y, out=powers)
            xp.add.reduce(powers, axis=axis, keepdims=True, out=one)
            xp.log(one, out=one)
            xp.subtract(y, one, out=y)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0], at.dx[0]

        def backward() -> None:
            xp.add.reduce(dy, axis=axis, keepdims=True, out=one)
            xp.exp(y, out=powers)
            xp.multiply(powers, one, out=powers)
            xp.subtract(dy, powers, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("LogSoftmax", [x], axis=tape.axis(x, self.axis))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(axis), [Tensor(("N", 3, 4))]) for axis in (-1, 1)]


def _check_axis(axis: int, x: Tensor) -> None:
    if not -x.rank <= axis < x.rank:
        raise ValueError(f"has no axis {axis}")


def _reduced(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(1 if i == axis % len(shape) else n for i, n in enumerate(shape))
