"""Tables looked up by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Param, Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Embedding"]


@operation("embedding", any_dtype=True)
class Embedding(Operation):
    """y[..., :] = table[x[...], :]. An id outside of the table takes its nearest row.

    The ids are int32 or int64, or floats that hold whole numbers (Keras casts them). Parameter:
    table (vocabulary, units).
    """

    vocabulary: int
    units: int

    def params(self, x: Tensor) -> Mapping[str, Param]:
        return {"table": Param((self.vocabulary, self.units))}

    def infer(self, x: Tensor) -> Tensor:
        if x.dtype == "bool":
            raise ValueError("ids must be numbers")
        return Tensor((*x.shape, self.units))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y, table = at.xp, at.x[0], at.y[0], at.p["table"]
        ids = at.keep(x.shape, "int64")
        last = self.vocabulary - 1
        # NumPy's take buffers its output unless told to clip; CuPy's has no such option.
        clip = {} if hasattr(xp, "RawKernel") else {"mode": "clip"}

        def forward() -> None:
            xp.copyto(ids, x, casting="unsafe")
            xp.clip(ids, 0, last, out=ids)
            xp.take(table, ids, axis=0, out=y, **clip)

        if not at.grads:
            return forward, None
        dtable, dx = at.dp.get("table"), at.dx[0]
        flat_ids, rows = ids.reshape(-1), at.dy[0].reshape(-1, self.units)

        def backward() -> None:
            if dtable is not None:
                dtable.fill(0)
                xp.add.at(dtable, flat_ids, rows)
            if dx is not None:  # ids given as floats: a table has no slope
                dx.fill(0)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        ids = tape.op("Cast", [tape.last(x)], to=7)  # INT64
        low, high = tape.constant(0), tape.constant(self.vocabulary - 1)
        ids = tape.op("Clip", [ids, low, high])
        return tape.op("Gather", [p["table"], ids], rank=x.rank + 1, layout="last", axis=0)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(4, 3), [Tensor(("N", 5), "int32")]),
            (cls(3, 2), [Tensor(("N", 2, 2), "int64")]),
        ]
