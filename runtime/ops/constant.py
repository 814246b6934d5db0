"""Values that no input changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor
from .logic import check_value

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Constant", "Literal"]

MOST = 4096  # elements of a literal, which stands in the JSON of the graph


@operation("constant")
class Constant(Operation):
    """Floats that stand in the weights file. They have no batch axis; the shape may be ().

    No inputs. State: value, of this shape, which nothing updates; with ``trainable`` it is a
    parameter.
    """

    shape: tuple[int, ...]
    trainable: bool = False

    def params(self) -> Mapping[str, Param]:
        return {"value": Param(self.shape, self.trainable)}

    def infer(self) -> Tensor:
        return Tensor(self.shape)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, y, value = at.xp, at.y[0], at.p["value"]
        backward = (lambda: xp.copyto(at.dp["value"], at.dy[0])) if "value" in at.dp else None
        return lambda: xp.copyto(y, value), backward

    def onnx(self, tape: Tape, p: Mapping[str, Value]) -> Value:
        return p["value"]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls((2, 3)), []), (cls((3,)), []), (cls((2, 3), trainable=True), [])]


@operation("literal")
class Literal(Operation):
    """Integers or booleans (as 0 and 1) that stand in the graph: parameters are floats.

    No inputs. ``values`` are in C order; one alone stands for every element.
    """

    values: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str = "int64"

    def infer(self) -> Tensor:
        if self.dtype not in ("int32", "int64", "bool"):
            raise ValueError(f"a literal is of integers or booleans, not {self.dtype}")
        size = math.prod(self.shape)
        if len(self.values) not in (1, size) or size > MOST:
            raise ValueError(f"{len(self.values)} values for {size} elements, {MOST} at most")
        for value in self.values:
            check_value(value, self.dtype)
        return Tensor(self.shape, self.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        held = at.hold(self.shape, self.dtype, at.xp.asarray(self._array()))
        return lambda: at.xp.copyto(at.y[0], held), None

    def _array(self) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        array = np.asarray(self.values, self.dtype)
        return array.reshape(self.shape) if len(self.values) > 1 else np.full(self.shape, array[0])

    def onnx(self, tape: Tape, p: Mapping[str, Value]) -> Value:
        return tape.constant(self._array(), self.dtype)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((1, -2, 3), (3, 1)), []),
            (cls((7,), (2, 2), "int32"), []),
            (cls((1, 0), (2,), "bool"), []),
        ]
