"""Several values into one, element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor, broadcast

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"]


class Merge(Operation):
    """y = f(x0, x1, ...), element by element, with NumPy's broadcasting."""

    def infer(self, *x: Tensor) -> Tensor:
        if len(x) < 2:
            raise ValueError("needs two or more inputs")
        dtype = one_dtype(x)
        if dtype == "bool":
            raise ValueError("computes numbers, not booleans")
        return Tensor(broadcast(tensor.shape for tensor in x), dtype)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        vector, image = Tensor(("N", 3)), Tensor(("N", 2, 3, 4))
        whole = Tensor(("N", 3), "int32")
        return [
            *([(cls(), [whole, whole])] * cls.any_dtype),
            (cls(), [vector, vector]),
            (cls(), [vector, vector, vector]),
            (cls(), [image, Tensor(("N", 1, 1, 4))]),
            (cls(), [Tensor(("N", 1, 4)), Tensor(("N", 3, 1)), Tensor(("N", 3, 4))]),
        ]


def one_dtype(x: Sequence[Tensor]) -> str:
    """The dtype of the inputs.

    Raises:
        ValueError: they have several.
    """
    dtypes = dict.fromkeys(tensor.dtype for tensor in x)
    if len(dtypes) > 1:
        raise ValueError(f"inputs of different dtypes: {', '.join(dtypes)}")
    return x[0].dtype


def spread(at: Frame, dx: Array) -> tuple[Array, Step | None]:
    """Where to write a gradient of the output's shape, and the step that makes ``dx`` of it.

    That step sums over the axes that were broadcast; without any, the array is ``dx`` itself.
    """
    shape = at.y[0].shape
    padded = (1,) * (len(shape) - dx.ndim) + dx.shape
    target = dx if padded == dx.shape else dx.reshape(padded)
    if padded == shape:
        return target, None
    whole = at.scratch(shape)
    axes = tuple(i for i, (n, m) in enumerate(zip(padded, shape, strict=True)) if n != m)
    return whole, lambda: at.xp.add.reduce(whole, axis=axes, keepdims=True, out=target)


def backward_of(at: Frame, write: Callable[[int, Array], Step | None]) -> Steps:
    """What ``write(i, to)`` makes for every input that needs a gradient.

    The one that is written over dy comes last.
    """
    steps: list[Step | None] = []
    for i in sorted(range(len(at.x)), key=lambda i: at.dx[i] is at.dy[0]):
        if at.dx[i] is not None:
            to, gather = spread(at, at.dx[i])
            steps += [write(i, to), gather]
    return tuple(steps)


class Linear(Merge):
    """y = the sum of the inputs, each times a factor."""

    def factors(self, count: int) -> list[float]:
        """The factor of each of ``count`` inputs."""
        raise NotImplementedError

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x, at.y[0]
        factors = self.factors(len(x))
        first, second, rest = x[0], x[1], x[2:]
        join = xp.subtract if factors[1] < 0 else xp.add
        scale = abs(factors[0])

        def forward() -> None:
            join(first, second, out=y)
            for array in rest:
                xp.add(y, array, out=y)
            if scale != 1:
                xp.multiply(y, scale, out=y)

        if not at.grads:
            return forward, None
        dy = at.dy[0]

        def write(i: int, to: Array) -> Step | None:
            if factors[i] != 1:
                return lambda: xp.multiply(dy, factors[i], out=to)
            return None if to is dy else lambda: xp.copyto(to, dy)

        return forward, backward_of(at, write)


@operation("add", any_dtype=True, overwrites=(0,), overwrites_dy=(0,))
class Add(Linear):
    """The sum."""

    def factors(self, count: int) -> list[float]:
        return [1.0] * count

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return fold(tape, "Add", x)


@operation("subtract", any_dtype=True, overwrites=(0,), overwrites_dy=(0,))
class Subtract(Linear):
    """The first less the second."""

    def infer(self, *x: Tensor) -> Tensor:
        if len(x) != 2:
            raise ValueError(f"needs two inputs, not {len(x)}")
        return super().infer(*x)

    def factors(self, count: int) -> list[float]:
        return [1.0, -1.0]

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return fold(tape, "Sub", x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [example for example in super().examples() if len(example[1]) == 2]


@operation("average", overwrites=(0,), overwrites_dy=(0,))
class Average(Linear):
    """The mean of the inputs."""

    def factors(self, count: int) -> list[float]:
        return [1 / count] * count

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return tape.op("Mul", [fold(tape, "Add", x), tape.constant(1 / len(x))])


@operation("multiply", any_dtype=True)
class Multiply(Merge):
    """The product."""

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x, at.y[0]

        def forward() -> None:
            xp.multiply(x[0], x[1], out=y)
            for array in x[2:]:
                xp.multiply(y, array, out=y)

        if not at.grads:
            return forward, None
        dy = at.dy[0]

        def write(i: int, to: Array) -> Step:
            others = [array for j, array in enumerate(x) if j != i]

            def product() -> None:
                xp.multiply(dy, others[0], out=to)
                for array in others[1:]:
                    xp.multiply(to, array, out=to)

            return product

        return forward, backward_of(at, write)

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return fold(tape, "Mul", x)


class Extreme(Merge):
    """One of the inputs, element by element; of equal ones the first takes the gradient."""

    def choose(self, xp: Any) -> Any:
        """The function that chooses."""
        raise NotImplementedError

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y, choose = at.xp, at.x, at.y[0], self.choose(at.xp)

        def forward() -> None:
            choose(x[0], x[1], out=y)
            for array in x[2:]:
                choose(y, array, out=y)

        if not at.grads:
            return forward, None
        dy = at.dy[0]
        chosen, earlier = at.scratch(y.shape, bool), at.scratch(y.shape, bool)

        def write(i: int, to: Array) -> Step:
            def where_chosen() -> None:
                xp.equal(x[i], y, out=chosen)
                for array in x[:i]:
                    xp.not_equal(array, y, out=earlier)
                    xp.logical_and(chosen, earlier, out=chosen)
                xp.multiply(dy, chosen, out=to)

            return where_chosen

        return forward, backward_of(at, write)


@operation("maximum", any_dtype=True)
class Maximum(Extreme):
    """The largest."""

    def choose(self, xp: Any) -> Any:
        return xp.maximum

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return tape.op("Max", tape.alike(*x), rank=max(value.rank for value in x))


@operation("minimum", any_dtype=True)
class Minimum(Extreme):
    """The smallest."""

    def choose(self, xp: Any) -> Any:
        return xp.minimum

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return tape.op("Min", tape.alike(*x), rank=max(value.rank for value in x))


def pair(tape: Tape, kind: str, a: Value, b: Value) -> Value:
    """Emits an operation that ONNX has for two inputs."""
    first, second = tape.alike(a, b)
    return tape.op(kind, [first, second], rank=max(first.rank, second.rank))


def fold(tape: Tape, kind: str, x: Sequence[Value]) -> Value:
    """x0 kind x1 kind x2 ..., of operations ONNX has for two inputs."""
    result, *rest = tape.alike(*x)
    for value in rest:
        result = pair(tape, kind, result, value)
    return result
