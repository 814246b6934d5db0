"""Images of another size: repeated, interpolated or averaged pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frame import Frame
from ..kernels import separable
from ..kernels.separable import Matrix
from ..op import Example, Step, operation
from ..tensor import Size, Tensor, scaled
from .interpolation import SMOOTHING, Method, matrix, nearest
from .separable import Separable, numbers

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Resample"]

_RESIZE = {
    "bilinear": {"mode": "linear"},
    "corner_bilinear": {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
}
"""The methods that ONNX has too, for images."""


@operation("resample")
class Resample(Separable):
    """The spatial axes at another size, or so many times as large.

    ``size`` or ``factors`` is given, an entry per spatial axis. ``antialias``: see
    ``interpolation.matrix``. ONNX needs to know the input's sizes, but for "nearest" by factors,
    and for images, "bilinear" that is not antialiased and "bicubic" by factors.
    """

    size: tuple[int, ...] = ()
    factors: tuple[int, ...] = ()
    method: Method = "nearest"
    antialias: bool = False

    def spatial(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        given = self.size or self.factors
        if bool(self.size) == bool(self.factors):
            raise ValueError(f"either a size or factors, not {self.size} and {self.factors}")
        if len(given) != len(sizes) or min(given) < 1:
            raise ValueError(f"{given} is not a positive number for each of {len(sizes)} axes")
        return self.size or tuple(scaled(n, f) for n, f in zip(sizes, given, strict=True))

    def matrices(self, sizes: Sequence[int]) -> Sequence[Matrix | None]:
        return [
            None if n == m and self.method not in SMOOTHING else self._matrix(n, m)
            for n, m in self._pairs(sizes)
        ]

    def forward(self, at: Frame) -> Step:
        if self.method != "nearest":
            return super().forward(at)
        return separable.gather(at, self._places(at.x[0].shape[1:-1]), at.x[0], at.y[0])

    def _matrix(self, size: int, count: int) -> Matrix:
        return matrix(self.method, size, count, self.antialias)

    def _pairs(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """The sizes of each axis, before and after."""
        return [(n, int(m)) for n, m in zip(sizes, self.spatial(sizes), strict=True)]

    def _places(self, sizes: Sequence[int]) -> list[list[int] | None]:
        return [None if n == m else nearest(n, m) for n, m in self._pairs(sizes)]

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        if self.method == "nearest":
            return self._repeated(tape, x) if self.factors else self._picked(tape, x)
        # When it shrinks images, onnxruntime antialiases otherwise, and "cubic" fails on channels
        # that its optimizer has made the last axis.
        shrinks = not self.factors and (self.antialias or self.method == "bicubic")
        if self.method in _RESIZE and x.rank == 4 and not shrinks:
            return self._resized(tape, x, **_RESIZE[self.method])
        return super().onnx(tape, p, x)

    def _repeated(self, tape: Tape, x: Value) -> Value:
        return self._resized(tape, x, mode="nearest", nearest_mode="round_prefer_floor")

    def _picked(self, tape: Tape, x: Value) -> Value:
        x = tape.first(x)
        for axis, places in enumerate(self._places(numbers(tape.type())), 2):
            if places:
                x = tape.op("Gather", [x, tape.constant(places)], axis=axis)
        return x

    def _resized(self, tape: Tape, x: Value, **attributes: Any) -> Value:
        x = tape.first(x)
        if self.factors:
            scales = tape.constant([1.0, 1.0, *map(float, self.factors)])
            return tape.op("Resize", [x, None, scales], **attributes)
        # With "axes" for the two sizes that change, onnxruntime 1.31 fails to load the model.
        kept = tape.op("Shape", [x], rank=1, layout="last", start=0, end=2)
        sizes = tape.op("Concat", [kept, tape.constant(self.size)], axis=0)
        return tape.op("Resize", [x, None, None, sizes], **attributes)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        image, volume = Tensor(("N", 4, 5, 2)), Tensor(("N", 2, 3, 2, 2))
        still_open = Tensor(("N", "H", "W", 2))
        return [
            (cls(factors=(3,)), [Tensor(("N", "T", 2))]),
            (cls(factors=(2, 3)), [still_open]),
            (cls(factors=(2, 1, 3)), [volume]),
            (cls((3, 7)), [image]),
            (cls((4, 2)), [image]),
            (cls((4, 5)), [image]),
            (cls(factors=(2, 3), method="bilinear"), [still_open]),
            (cls(factors=(2, 2), method="bicubic", antialias=True), [still_open]),
            (cls((3, 7), method="bilinear"), [still_open]),
            (cls(factors=(2, 3), method="corner_bilinear"), [image]),
            (cls((6, 2), method="bicubic"), [image]),
            (cls((3, 4), method="bilinear", antialias=True), [image]),
            (cls(factors=(3, 3), method="tabulated_bicubic"), [image]),
            (cls((2, 3), method="tabulated_bicubic", antialias=True), [image]),
            (cls((7, 3), method="lanczos3"), [image]),
            (cls((3, 9), method="lanczos5", antialias=True), [image]),
            (cls((3, 6), method="area"), [image]),
            (cls((4, 6), method="gaussian"), [image]),
            (cls((4, 5), method="lanczos3"), [image]),
            (cls((3, 2, 3), method="bilinear"), [volume]),
        ]
