"""The same elements in another shape, order or frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import Tensor, product, scaled, window

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Cropping", "Flatten", "Reshape", "Transpose", "ZeroPadding"]

Pairs = tuple[tuple[int, int], ...]
"""(before, after) for each axis between the batch and the channels."""


@operation("flatten", view=True, any_dtype=True)
class Flatten(Operation):
    """One row of elements a row, in C order."""

    def infer(self, x: Tensor) -> Tensor:
        return Tensor((x.shape[0], product(x.shape[1:])), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Flatten", [tape.last(x)], rank=2, axis=1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        shapes = [("N", 3), ("N", 2, 3, 4), ("N", 2, 2)]
        return [(cls(), [Tensor(shape)]) for shape in shapes]


@operation("reshape", view=True, any_dtype=True)
class Reshape(Operation):
    """A row's elements in another shape, C order; one size may be -1."""

    shape: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        size = product(x.shape[1:])
        if self.shape.count(-1) > 1 or any(n < 1 and n != -1 for n in self.shape):
            raise ValueError(f"cannot take the shape {self.shape}")
        known = math.prod(n for n in self.shape if n != -1)
        if isinstance(size, int) and (size % known if -1 in self.shape else size != known):
            raise ValueError(f"cannot take the shape {self.shape}: a row has {size} elements")
        rest = window(size, 0, known)
        return Tensor((x.shape[0], *(rest if n == -1 else n for n in self.shape)), x.dtype)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        # 0 copies the batch's size.
        inputs = [tape.last(x), tape.constant([0, *self.shape])]
        return tape.op("Reshape", inputs, rank=len(self.shape) + 1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 4, 6))
        return [(cls(shape), [x]) for shape in ((24,), (2, -1), (3, 2, 4), (-1, 2))]


@operation("transpose", any_dtype=True)
class Transpose(Operation):
    """The axes in another order: axis i of the output is axis ``axes[i]`` of the input.

    The batch is axis 0.
    """

    axes: tuple[int, ...]

    def infer(self, x: Tensor) -> Tensor:
        if sorted(self.axes) != list(range(x.rank)):
            raise ValueError(f"axes {self.axes} are no order of {x.rank} axes")
        return Tensor(tuple(x.shape[axis] for axis in self.axes), x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, y, source = at.xp, at.y[0], at.x[0].transpose(self.axes)

        def forward() -> None:
            xp.copyto(y, source)

        if not at.grads:
            return forward, None
        dy, target = at.dy[0], at.dx[0].transpose(self.axes)
        return forward, lambda: xp.copyto(target, dy)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op("Transpose", [tape.last(x)], perm=self.axes)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        x = Tensor(("N", 2, 3, 4))
        return [(cls((0, 3, 1, 2)), [x]), (cls((0, 2, 1)), [Tensor(("N", 3, 2))])]


@operation("zero_padding")
class ZeroPadding(Operation):
    """Zeros before and after each spatial axis."""

    padding: Pairs

    def infer(self, x: Tensor) -> Tensor:
        _check_pairs(self.padding, x)
        sizes = [scaled(n, 1, a + b) for n, (a, b) in _between(x, self.padding)]
        return Tensor((x.shape[0], *sizes, x.shape[-1]))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        inside = (slice(None), *(slice(a, a + n) for n, (a, _) in _between(x, self.padding)))

        def forward() -> None:
            y.fill(0)
            xp.copyto(y[inside], x)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0], at.dx[0]
        return forward, lambda: xp.copyto(dx, dy[inside])

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x = tape.first(x)
        pads = [0, 0, *(a for a, _ in self.padding), 0, 0, *(b for _, b in self.padding)]
        return tape.op("Pad", [x, tape.constant(pads)])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(((1, 2),)), [Tensor(("N", 3, 2))]),
            (cls(((1, 0), (0, 2))), [Tensor(("N", 2, 3, 2))]),
        ]


@operation("cropping")
class Cropping(Operation):
    """The input without so many cells before and after each spatial axis."""

    cropping: Pairs

    def infer(self, x: Tensor) -> Tensor:
        _check_pairs(self.cropping, x)
        sizes = [scaled(n, 1, -a - b) for n, (a, b) in _between(x, self.cropping)]
        if any(isinstance(n, int) and n < 1 for n in sizes):
            raise ValueError(f"cropping {self.cropping} leaves nothing")
        return Tensor((x.shape[0], *sizes, x.shape[-1]))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        inside = (slice(None), *(slice(a, n - b) for n, (a, b) in _between(x, self.cropping)))
        source = x[inside]

        def forward() -> None:
            xp.copyto(y, source)

        if not at.grads:
            return forward, None
        dy, dx = at.dy[0], at.dx[0]

        def backward() -> None:
            dx.fill(0)
            xp.copyto(dx[inside], dy)

        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        x = tape.first(x)
        pads = [0, 0, *(-a for a, _ in self.cropping), 0, 0, *(-b for _, b in self.cropping)]
        return tape.op("Pad", [x, tape.constant(pads)])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(((1, 2),)), [Tensor(("N", 5, 2))]),
            (cls(((1, 0), (0, 2))), [Tensor(("N", 3, 4, 2))]),
        ]


def _between(x: Any, pairs: Pairs) -> list[tuple[Any, tuple[int, int]]]:
    """The sizes of the axes between batch and channels, each with its pair."""
    return list(zip(x.shape[1:-1], pairs, strict=True))


def _check_pairs(pairs: Pairs, x: Tensor) -> None:
    if len(pairs) != x.rank - 2:
        raise ValueError(f"{len(pairs)} pairs for {x.rank - 2} spatial axes")
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError(f"negative sizes in {pairs}")
