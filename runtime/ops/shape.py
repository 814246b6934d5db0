"""The same elements in another order or frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import DTYPES, Tensor, scaled

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Cropping", "Transpose", "ZeroPadding"]

Pairs = tuple[tuple[int, int], ...]
"""(before, after) for each axis between the batch and the channels."""


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
        turned = [(cls((0, 2, 1)), [Tensor(("N", 3, 2), dtype)]) for dtype in DTYPES]
        return [(cls((0, 3, 1, 2)), [x]), (cls((1, 0, 2, 3)), [x]), *turned]


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
