"""Comparisons, and what is made of booleans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Tensor, broadcast
from .merge import fold, one_dtype, pair

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = [
    "Equal",
    "Greater",
    "GreaterEqual",
    "Less",
    "LessEqual",
    "LogicalAnd",
    "LogicalNot",
    "LogicalOr",
    "LogicalXor",
    "NotEqual",
]


@dataclass(frozen=True)
class Comparison(Operation):
    """Whether a relation holds, element by element: of two inputs, or of one and ``value``.

    A float is compared with ``value`` as float32, the type that the sources compute in: 0.1 there
    is 0.1 in a float64 plan, too.
    """

    value: float | None = None

    function: ClassVar[str]
    """Its name in NumPy."""
    onnx_kind: ClassVar[str]
    ordered: ClassVar[bool] = True
    """It is not for booleans."""

    def infer(self, *x: Tensor) -> Tensor:
        if len(x) != (wanted := 2 if self.value is None else 1):
            raise ValueError(f"needs {wanted} input{'s' * (wanted - 1)}, not {len(x)}")
        dtype = one_dtype(x)
        if dtype == "bool" and (self.ordered or self.value is not None):
            raise ValueError("compares numbers, not booleans")
        check_value(self.value, dtype)
        return Tensor(broadcast(tensor.shape for tensor in x), "bool")

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        relation, a, y = getattr(at.xp, self.function), at.x[0], at.y[0]
        if self.value is None:
            b = at.x[1]
            return lambda: relation(a, b, out=y), None
        dtype = at.xp.dtype("float32") if a.dtype.kind == "f" else a.dtype
        value = at.hold((), dtype, self.value)
        if a.dtype == dtype:
            return lambda: relation(a, value, out=y), None
        single = at.scratch(a.shape, dtype)

        def forward() -> None:
            at.xp.copyto(single, a, casting="same_kind")
            relation(single, value, out=y)

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        if self.value is None:
            return pair(tape, self.onnx_kind, *x)
        return tape.op(self.onnx_kind, [x[0], constant(tape, self.value, tape.type().dtype)])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        floats, wholes = Tensor(("N", 2, 3)), Tensor(("N", 3), "int32")
        truths = Tensor(("N", 3), "bool")
        return [
            (cls(), [floats, floats]),
            (cls(), [floats, Tensor(("N", 1, 3))]),
            (cls(), [wholes, wholes]),
            (cls(1), [Tensor(("N", 3), "int64")]),
            (cls(0.1), [floats]),
            *([(cls(), [truths, truths])] * (not cls.ordered)),
        ]


def constant(tape: Tape, value: float, dtype: str) -> Value:
    """A number of the type of a value."""
    return tape.constant(value, "float32" if dtype == "float" else dtype)


def check_value(value: float | None, dtype: str) -> None:
    """Raises ValueError if a number is none that an element of this dtype can be."""
    if value is None or dtype == "float":
        return
    limits = np.iinfo(dtype) if dtype != "bool" else None
    low, high = (limits.min, limits.max) if limits else (0, 1)
    if value != value or not low <= value <= high or value != int(value):
        raise ValueError(f"{value} is no {dtype}")


@operation("equal", any_dtype=True)
class Equal(Comparison):
    """a == b, or a == value."""

    function, onnx_kind, ordered = "equal", "Equal", False


@operation("not_equal", any_dtype=True)
class NotEqual(Comparison):
    """a != b, or a != value."""

    function, onnx_kind, ordered = "not_equal", "Equal", False

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return tape.op("Not", [super().onnx(tape, p, *x)])


@operation("less", any_dtype=True)
class Less(Comparison):
    """a < b, or a < value."""

    function, onnx_kind = "less", "Less"


@operation("less_equal", any_dtype=True)
class LessEqual(Comparison):
    """a <= b, or a <= value."""

    function, onnx_kind = "less_equal", "LessOrEqual"


@operation("greater", any_dtype=True)
class Greater(Comparison):
    """a > b, or a > value."""

    function, onnx_kind = "greater", "Greater"


@operation("greater_equal", any_dtype=True)
class GreaterEqual(Comparison):
    """a >= b, or a >= value."""

    function, onnx_kind = "greater_equal", "GreaterOrEqual"


class Connective(Operation):
    """Two or more booleans into one, with broadcasting."""

    function: ClassVar[str]
    onnx_kind: ClassVar[str]

    def infer(self, *x: Tensor) -> Tensor:
        if len(x) < 2:
            raise ValueError("needs two or more inputs")
        check_truths(*x)
        return Tensor(broadcast(tensor.shape for tensor in x), "bool")

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        connect, x, y = getattr(at.xp, self.function), at.x, at.y[0]

        def forward() -> None:
            connect(x[0], x[1], out=y)
            for array in x[2:]:
                connect(y, array, out=y)

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        return fold(tape, self.onnx_kind, x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 2, 3), "bool")
        return [(cls(), [x, x]), (cls(), [Tensor(("N", 1, 3), "bool"), x, x])]


def check_truths(*x: Tensor) -> None:
    """Raises ValueError if there is one that holds no booleans."""
    if others := [tensor.dtype for tensor in x if tensor.dtype != "bool"]:
        raise ValueError(f"needs booleans, not {others[0]}")


@operation("logical_and", any_dtype=True)
class LogicalAnd(Connective):
    """All are true."""

    function, onnx_kind = "logical_and", "And"


@operation("logical_or", any_dtype=True)
class LogicalOr(Connective):
    """One or more are true."""

    function, onnx_kind = "logical_or", "Or"


@operation("logical_xor", any_dtype=True)
class LogicalXor(Connective):
    """An odd number of them is true."""

    function, onnx_kind = "logical_xor", "Xor"


@operation("logical_not", any_dtype=True, overwrites=(0,))
class LogicalNot(Operation):
    """It is not true."""

    def infer(self, x: Tensor) -> Tensor:
        check_truths(x)
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        return lambda: at.xp.logical_not(at.x[0], out=at.y[0]), None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Not", [x])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(), [Tensor(("N", 3), "bool")])]
