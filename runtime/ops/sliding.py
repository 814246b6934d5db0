"""How windows slide over the spatial axes of a value: padding, and how many windows fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..kernels.windows import Windows
from ..tensor import Size, Tensor, window

Pairs = tuple[tuple[int, int], ...]
"""(before, after) for each spatial axis."""
Padding = Literal["valid", "same", "causal"] | Pairs
"""Padding around the input. "valid": none; "same": what gives ceil(size / stride) outputs, half
of it before, the odd one after; "causal": before only, so no output sees what comes after it."""


@dataclass(frozen=True, slots=True)
class Sliding:
    """Windows of ``kernel`` elements, ``dilation`` apart, one every ``stride``.

    There is an entry per spatial axis.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Padding

    @classmethod
    def of(
        cls,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        padding: Padding,
        dilation: tuple[int, ...] = (),
    ) -> Sliding:
        """An empty stride or dilation is one of ones."""
        ones = (1,) * len(kernel)
        return cls(kernel, stride or ones, dilation or ones, padding)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def extent(self) -> tuple[int, ...]:
        """What a window spans, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def check(self, x: Tensor) -> None:
        """Whether this can slide over ``x`` at all.

        Raises:
            ValueError: it cannot.
        """
        for name in ("kernel", "stride", "dilation"):
            given = getattr(self, name)
            if len(given) != self.rank or min(given, default=0) < 1:
                raise ValueError(f"{name} {given} is not a positive number for each spatial axis")
        if x.rank != self.rank + 2:
            raise ValueError(f"needs {self.rank} spatial axes, but the input has {x.rank - 2}")
        if self.padding == "causal" and self.rank != 1:
            raise ValueError(f"causal padding is for sequences, not for {self.rank} spatial axes")
        if isinstance(self.padding, tuple) and (
            len(self.padding) != self.rank or min(map(min, self.padding)) < 0
        ):
            raise ValueError(f"padding {self.padding} is not two numbers for each spatial axis")

    def output(self, x: Tensor) -> tuple[Size, ...]:
        """The number of windows along each spatial axis.

        Raises:
            ValueError: there are none.
        """
        self.check(x)
        counts: list[Size] = []
        for axis, size in enumerate(x.shape[1:-1]):
            count = window(size, self._minus(axis), self.stride[axis])
            if isinstance(count, int) and count < 1:
                raise ValueError(f"a window of {self.extent[axis]} does not fit an axis of {size}")
            counts.append(count)
        return tuple(counts)

    def windows(self, size: tuple[int, ...], count: tuple[int, ...]) -> Windows:
        """The windows over an input of that size."""
        before = tuple(self.pads(axis, n)[0] for axis, n in enumerate(size))
        return Windows(size, count, self.kernel, self.stride, self.dilation, before)

    def pads(self, axis: int, size: int) -> tuple[int, int]:
        """Zeros before and after an axis of that size."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return self.extent[axis] - 1, 0
        if self.padding == "same":
            span = (-(-size // self.stride[axis]) - 1) * self.stride[axis] + self.extent[axis]
            total = max(span - size, 0)
            return total // 2, total - total // 2
        return self.padding[axis]

    def attributes(self, x: Tensor) -> Mapping[str, Any]:
        """The same in ONNX, for an input of this type.

        What "same" pads with a stride depends on the size; only where that is open is ONNX left to
        compute it.

        Raises:
            ValueError: it is open, and ONNX cannot compute it.
        """
        given = {"kernel_shape": self.kernel, "strides": self.stride}
        if set(self.dilation) != {1}:
            given["dilations"] = self.dilation
        sizes = x.shape[1:-1]
        if self.padding == "same" and any(
            isinstance(n, str) and s > 1 for n, s in zip(sizes, self.stride, strict=True)
        ):
            if set(self.dilation) != {1}:
                raise ValueError("ONNX cannot pad an open size for both a stride and a dilation")
            return {**given, "auto_pad": "SAME_UPPER"}
        # The pads of a stride of one are the same for every size.
        pads = [self.pads(axis, n if isinstance(n, int) else 1) for axis, n in enumerate(sizes)]
        return {**given, "pads": [before for before, _ in pads] + [after for _, after in pads]}

    def _minus(self, axis: int) -> int:
        """The extent less one and less the padding: what ``window`` wants to know."""
        return 0 if self.padding == "same" else self.extent[axis] - 1 - sum(self.pads(axis, 0))
