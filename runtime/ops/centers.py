"""Centres of classes, kept beside a value for a loss that draws the value to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..op import Example, Operation, operation
from ..tensor import Param, Tensor, product

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Centers"]


@operation("centers", view=True)
class Centers(Operation):
    """The input as it is. State: centers (classes, features), which ``losses.CenterLoss`` moves."""

    classes: int

    def params(self, x: Tensor) -> Mapping[str, Param]:
        return {"centers": Param((self.classes, product(x.shape[1:])), trainable=False)}

    def infer(self, x: Tensor) -> Tensor:
        if self.classes < 1:
            raise ValueError(f"has {self.classes} classes")
        return x

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return x

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(3), [Tensor(("N", 4))]), (cls(2), [Tensor(("N", 2, 3))])]
