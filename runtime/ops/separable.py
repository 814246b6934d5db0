"""Operations that multiply each spatial axis by a constant matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..kernels import separable
from ..kernels.separable import Matrix
from ..op import Operation, Step, Steps
from ..tensor import Size, Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value


class Separable(Operation):
    """y = x times a matrix along each spatial axis."""

    def spatial(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The sizes of y's spatial axes, from those of x's.

        Raises:
            ValueError: they do not fit.
        """
        raise NotImplementedError

    def matrices(self, sizes: Sequence[int]) -> Sequence[Matrix | None]:
        """The matrix of each axis, for x's sizes; None where y is x along it."""
        raise NotImplementedError

    def infer(self, x: Tensor) -> Tensor:
        return Tensor((x.shape[0], *self.spatial(x.shape[1:-1]), x.shape[-1]))

    def forward(self, at: Frame) -> Step:
        """Writes y."""
        return separable.product(at, self.matrices(at.x[0].shape[1:-1]), at.x[0], at.y[0])

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        forward = self.forward(at)
        if not at.grads:
            return forward, None
        matrices = self.matrices(at.x[0].shape[1:-1])
        turned = [None if matrix is None else matrix.T for matrix in matrices]
        return forward, separable.product(at, turned, at.dy[0], at.dx[0])

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        matrices = self.matrices(numbers(tape.type()))
        if all(matrix is None for matrix in matrices):
            return tape.op("Identity", [x])
        x = tape.first(x)
        for axis, matrix in enumerate(matrices, 2):
            if matrix is not None:
                x = _product(tape, x, axis, matrix)
        return x


def numbers(x: Tensor) -> list[int]:
    """The spatial sizes.

    Raises:
        ValueError: one is open.
    """
    sizes = [n for n in x.shape[1:-1] if isinstance(n, int)]
    if len(sizes) < x.rank - 2:
        raise ValueError(f"the sizes {x.shape[1:-1]} must be numbers here")
    return sizes


def _product(tape: Tape, x: Value, axis: int, matrix: Matrix) -> Value:
    """The product of x with a matrix along an axis; MatMul works on the last two."""
    last = x.rank - 1
    if axis == last - 1:
        inputs = [tape.constant(matrix), x]
        return tape.op("MatMul", inputs, layout=x.layout, rank=x.rank)
    factor = tape.constant(matrix.T)
    if axis == last:
        return tape.op("MatMul", [x, factor])
    order = list(range(x.rank))
    order[axis], order[last] = last, axis
    turned = tape.op("Transpose", [x], perm=order)
    return tape.op("Transpose", [tape.op("MatMul", [turned, factor])], perm=order)
