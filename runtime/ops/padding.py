"""Frames around values, of a number or of what the value itself holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..frame import Array, Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import DTYPES, Tensor, scaled
from .logic import check_value, constant
from .slicing import FURTHEST

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Pad"]

MODES = ("constant", "edge", "reflect", "symmetric")


@operation("pad", any_dtype=True)
class Pad(Operation):
    """More elements before and after each axis: ``paddings`` has a pair for every one.

    They are ``value``, or by the mode the nearest element ("edge"), or the mirrored elements, with
    the outermost ("symmetric") or without it ("reflect"). A frame may not be wider than what it
    mirrors; along an open axis that is only known when it runs.
    """

    paddings: tuple[tuple[int, int], ...]
    mode: str = "constant"
    value: float = 0.0

    def infer(self, x: Tensor) -> Tensor:
        if len(self.paddings) != x.rank or any(n < 0 for pair in self.paddings for n in pair):
            raise ValueError(f"paddings {self.paddings} are no pair for each of {x.rank} axes")
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode!r} is none of {', '.join(MODES)}")
        check_value(self.value, x.dtype)
        for size, pair in zip(x.shape, self.paddings, strict=True):
            least = {"reflect": max(pair) + 1, "symmetric": max(pair)}.get(self.mode, 1)
            if isinstance(size, int) and size < least:
                raise ValueError(f"an axis of size {size} has no {max(pair)} elements to mirror")
        sizes = (scaled(n, 1, sum(pair)) for n, pair in zip(x.shape, self.paddings, strict=True))
        return Tensor(tuple(sizes), x.dtype)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        inside = tuple(
            slice(before, before + n) for n, (before, _) in zip(x.shape, self.paddings, strict=True)
        )
        layers = self._layers(y, x.shape)
        value = at.hold((), y.dtype, self.value)

        def forward() -> None:
            if self.mode == "constant":
                xp.copyto(y, value)
            xp.copyto(y[inside], x)
            for layer, source in layers:
                xp.copyto(layer, source)

        if not at.grads:
            return forward, None
        dx, dy, whole = at.dx[0], at.dy[0], at.scratch(y.shape)
        slopes = self._layers(whole, x.shape)[::-1]

        def backward() -> None:
            xp.copyto(whole, dy)
            for layer, source in slopes:
                xp.add(source, layer, out=source)
            xp.copyto(dx, whole[inside])

        return forward, backward

    def _layers(self, y: Array, shape: tuple[int, ...]) -> list[tuple[Array, Array]]:
        """Layers of the frame with those they are like, axis by axis: the later hold the earlier.

        Empty if they are like none.
        """
        if self.mode == "constant":
            return []
        found: list[tuple[Array, Array]] = []
        for axis, (before, after) in enumerate(self.paddings):
            first, last = before, before + shape[axis] - 1
            nearest = {"edge": 0, "symmetric": 0, "reflect": 1}[self.mode]
            step = 0 if self.mode == "edge" else 1
            lanes = y.swapaxes(0, axis)
            found += [
                (lanes[place], lanes[source])
                for edge, way, count in ((first, -1, before), (last, 1, after))
                for place, source in (
                    (edge + way * (i + 1), edge - way * (nearest + step * i)) for i in range(count)
                )
            ]
        return found

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        if self.mode == "symmetric":  # which ONNX has not
            for axis, (before, after) in enumerate(self.paddings):
                x = _mirrored(tape, x, tape.axis(x, axis), before, after)
            return x
        places = {tape.axis(x, axis): pair for axis, pair in enumerate(self.paddings)}
        pads = [places[axis][side] for side in (0, 1) for axis in range(x.rank)]
        inputs = [x, tape.constant(pads)]
        if self.mode == "constant":
            inputs.append(constant(tape, self.value, tape.type().dtype))
        return tape.op("Pad", inputs, mode=self.mode)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image, sequence = Tensor(("N", 3, 4, 2)), Tensor(("N", "T", 2))
        paddings = ((0, 0), (1, 2), (2, 0), (0, 1))
        return [
            *[(cls(paddings, mode), [image]) for mode in MODES],
            *[(cls(((0, 0), (2, 1), (0, 0)), mode), [sequence]) for mode in MODES],
            *[(cls(((0, 0), (1, 1)), m, 1), [Tensor(("N", 3), t)]) for m in MODES for t in DTYPES],
            (cls(((1, 0), (0, 0)), "constant", -0.5), [Tensor(("N", 2))]),
        ]


def _mirrored(tape: Tape, x: Value, axis: int, before: int, after: int) -> Value:
    """The value with its outermost elements mirrored before and after it."""

    def backwards(start: int, end: int) -> Value:
        return tape.op("Slice", [x, *(tape.constant([n]) for n in (start, end, axis, -1))])

    parts = [backwards(before - 1, -FURTHEST)] * (before > 0) + [x]
    parts += [backwards(FURTHEST, -after - 1)] * (after > 0)
    return tape.op("Concat", parts, axis=axis) if len(parts) > 1 else x
