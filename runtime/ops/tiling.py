"""Copies of values along their axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import DTYPES, Size, Tensor, broadcast, product
from .merge import spread
from .reduce import checked
from .views import merged

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["BroadcastTo", "Repeat", "Tile"]


class Copies(Operation):
    """The output is the input ``copied`` to a shape with axes of copies, these then merged."""

    def copied(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(the shape with an axis for each that copies are made along, those axes)."""
        raise NotImplementedError

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x = at.xp, at.x[0]
        shape, axes = self.copied(x.shape)
        y, source = at.y[0].reshape(shape), self._original(x, shape, axes)

        def forward() -> None:
            xp.copyto(y, source)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0].reshape(shape), self._original(at.dx[0], shape, axes)
        return forward, lambda: xp.add.reduce(dy, axis=axes, keepdims=True, out=dx)

    def _original(self, array: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
        return array.reshape([1 if i in axes else n for i, n in enumerate(shape)])


@operation("tile", any_dtype=True)
class Tile(Copies):
    """The whole, repeated this many times along each axis."""

    repeats: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        if len(self.repeats) != x.rank or min(self.repeats) < 1:
            raise ValueError(f"{self.repeats} are not how often to repeat each of {x.rank} axes")
        shape = (product(pair) for pair in zip(x.shape, self.repeats, strict=True))
        return Tensor(tuple(shape), x.dtype)

    def copied(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        pairs = zip(self.repeats, shape, strict=True)
        return tuple(chain.from_iterable(pairs)), tuple(range(0, 2 * len(shape), 2))

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Tile", [tape.last(x), tape.constant(list(self.repeats))])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((1, 2, 3)), [Tensor(("N", 2, 4))]),
            (cls((1, 3, 1)), [Tensor(("N", "T", 2))]),
            (cls((2, 1)), [Tensor(("N", 2))]),
            *[(cls((1, 2)), [Tensor(("N", 3), dtype)]) for dtype in DTYPES],
        ]


@operation("repeat", any_dtype=True)
class Repeat(Copies):
    """Each element ``times`` times in a row along ``axis``."""

    times: int
    axis: int

    def infer(self, x: Tensor) -> Tensor:
        (axis,) = checked((self.axis,), x.rank)
        if self.times < 1:
            raise ValueError(f"cannot repeat {self.times} times")
        size = product((x.shape[axis], self.times))
        return Tensor((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)

    def copied(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        after = self.axis % len(shape) + 1
        return (*shape[:after], self.times, *shape[after:]), (after,)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        axis, shape = tape.axis(x, self.axis), list(tape.type().shape)
        if x.layout == "first":
            shape.insert(1, shape.pop())
        rank, times = x.rank + 1, [1] * (x.rank + 1)
        times[axis + 1] = self.times
        apart = tape.op("Unsqueeze", [x, tape.constant([axis + 1])], rank=rank)
        copies = tape.op("Tile", [apart, tape.constant(times)])
        return merged(tape, copies, (*shape[: axis + 1], self.times, *shape[axis + 1 :]), axis, 2)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(2, 1), [Tensor(("N", 2, 3))]),
            (cls(3, -1), [Tensor(("N", "T", 2))]),
            (cls(2, 1), [Tensor(("N", "T", "W"), "bool")]),
            (cls(2, 2), [Tensor(("N", "H", "W", 3))]),
            (cls(2, 0), [Tensor(("N", 2), "int32")]),
            (cls(2, 1), [Tensor(("N", 3), "int64")]),
        ]


@operation("broadcast_to", any_dtype=True)
class BroadcastTo(Operation):
    """The value broadcast to ``shape``; -1 is the size that it has itself."""

    shape: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        more = len(self.shape) - x.rank
        if more < 0 or any(n < 1 and n != -1 for n in self.shape) or -1 in self.shape[:more]:
            raise ValueError(f"cannot take the shape {self.shape}")
        sizes: tuple[Size, ...] = (*self.shape[:more], *x.shape)
        wanted = tuple(n if m == -1 else m for n, m in zip(sizes, self.shape, strict=True))
        if broadcast((wanted, x.shape)) != wanted:
            raise ValueError(f"cannot take the shape {self.shape}")
        return Tensor(wanted, x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]

        def forward() -> None:
            xp.copyto(y, x)

        if not at.grads:
            return forward, None
        to, gather = spread(at, at.dx[0])
        return forward, (lambda: xp.copyto(to, at.dy[0]), gather)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        shape = tape.constant([max(n, 1) for n in self.shape])
        return tape.op("Expand", [tape.last(x), shape], rank=len(self.shape))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((-1, 4, 3)), [Tensor(("N", 1, 3))]),
            (cls((-1, -1, 3)), [Tensor(("N", "T", 1), "int32")]),
            (cls((2, -1, -1)), [Tensor(("N", 3), "bool")]),
            (cls((-1, 3)), [Tensor(("N", 3), "int64")]),
        ]
