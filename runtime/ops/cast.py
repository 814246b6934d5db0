"""Values of another dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import DTYPES, Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Cast"]


@operation("cast", any_dtype=True)
class Cast(Operation):
    """The elements as ``dtype``: floats lose what is behind the point, all but zero is true."""

    dtype: str

    def infer(self, x: Tensor) -> Tensor:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is none of {', '.join(DTYPES)}")
        return Tensor(x.shape, self.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]

        def forward() -> None:
            xp.copyto(y, x, casting="unsafe")

        if not at.grads:  # but for floats to floats
            return forward, None
        return forward, lambda: xp.copyto(at.dx[0], at.dy[0])

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.cast(x, self.dtype)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(to), [Tensor(("N", 5), source)]) for source in DTYPES for to in DTYPES]
