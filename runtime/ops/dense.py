"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Dense"]


FEW_ROWS = range(8, 65)
"""So many, and BLAS is sooner done with kernel @ dy.T than with dy @ kernel.T, a copy included."""
WIDE = 32
"""Inputs and units from which that is worth a call more."""


@operation("dense")
class Dense(Operation):
    """y = x @ kernel + bias, over the last axis.

    Parameters: kernel (inputs, units), bias (units,).
    """

    units: int
    use_bias: bool = True

    def params(self, x: Tensor) -> Mapping[str, Param]:
        kernel = {"kernel": Param((x.shape[-1], self.units))}
        return kernel | ({"bias": Param((self.units,))} if self.use_bias else {})

    def infer(self, x: Tensor) -> Tensor:
        if x.rank < 2:
            raise ValueError("needs a batch of vectors")
        return Tensor((*x.shape[:-1], self.units))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, kernel, bias = at.xp, at.p["kernel"], at.p.get("bias")
        x, y = (a.reshape(-1, a.shape[-1]) for a in (at.x[0], at.y[0]))

        def forward() -> None:
            xp.dot(x, kernel, out=y)
            if bias is not None:
                xp.add(y, bias, out=y)

        if not at.grads:
            return forward, None
        dy = at.dy[0].reshape(y.shape)
        dx = None if at.dx[0] is None else at.dx[0].reshape(x.shape)
        dkernel, dbias = at.dp.get("kernel"), at.dp.get("bias")
        x_t, dy_t, kernel_t = x.T, dy.T, kernel.T
        ones = at.hold(y.shape[:1], fill=1)
        few = len(x) in FEW_ROWS and min(kernel.shape) >= WIDE
        turned = at.scratch(x_t.shape) if few and dx is not None else None

        def backward() -> None:
            if dkernel is not None:
                xp.dot(x_t, dy, out=dkernel)
            if dbias is not None:
                xp.dot(ones, dy, out=dbias)
            if turned is not None:
                xp.dot(kernel, dy_t, out=turned)
                xp.copyto(dx, turned.T)
            elif dx is not None:
                xp.dot(dy, kernel_t, out=dx)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        y = tape.op("MatMul", [tape.last(x), p["kernel"]])
        return tape.op("Add", [y, p["bias"]]) if self.use_bias else y

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (Dense(3), [Tensor(("N", 5))]),
            (Dense(4, use_bias=False), [Tensor(("N", 2, 3))]),
            (Dense(2), [Tensor(("N", 2, 3, 2))]),
            (Dense(WIDE), [Tensor(("N", FEW_ROWS.start, WIDE))]),
        ]
