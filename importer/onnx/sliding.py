"""How windows slide, as ONNX says it for convolutions and pools of all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.tensor import Size
from .call import Call

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial axes, an entry for each."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Any
    """As the operations of the graph have it: "same", "valid" or pairs."""

    @property
    def extent(self) -> tuple[int, ...]:
        """What a window spans, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def pairs(self) -> Pairs:
        """The padding, which is none or explicit."""
        return tuple((0, 0) for _ in self.kernel) if self.padding == "valid" else self.padding


def windows(call: Call, kernel: tuple[int, ...], sizes: tuple[Size, ...]) -> Windows:
    """The attributes that they all have, for an input of these spatial sizes.

    Raises:
        UnreadableFile: they do not fit one another.
    """
    rank = len(kernel)
    given = tuple(call.options.get("kernel_shape", kernel))
    strides = tuple(call.options.get("strides", (1,) * rank))
    dilation = tuple(call.options.get("dilations", (1,) * rank))
    pads = tuple(call.options.get("pads", (0,) * 2 * rank))
    if (
        given != kernel
        or not len(strides) == len(dilation) == len(sizes) == rank == len(pads) / 2
        or min(*kernel, *strides, *dilation) < 1
    ):
        raise UnreadableFile(
            f"{call.title}: kernel {given}, strides {strides}, dilations {dilation}, pads {pads} "
            f"do not fit weights of {kernel} and an input of {sizes}"
        )
    if min(pads) < 0:
        raise Unsupported(f"{call.title}: negative pads {pads} are not supported")
    plain: Any = tuple((pads[i], pads[i + rank]) for i in range(rank)) if any(pads) else "valid"
    found = Windows(kernel, strides, dilation, plain)
    return replace(found, padding=_automatic(call, found, sizes))


def _automatic(call: Call, w: Windows, sizes: tuple[Size, ...]) -> Any:
    """The padding that ``auto_pad`` asks for, if it does."""
    match call.options.get("auto_pad", "NOTSET"):
        case b"NOTSET" | "NOTSET" | b"":
            return w.padding
        case b"VALID" | "VALID":
            return "valid"
        case b"SAME_UPPER" | "SAME_UPPER":
            return "same"
        case b"SAME_LOWER" | "SAME_LOWER":
            return _same(call, w, sizes)
        case _:
            raise call.options.refuse("auto_pad")


def _same(call: Call, w: Windows, sizes: tuple[Size, ...]) -> Pairs:
    """Padding for ceil(size / stride) windows, the odd one before."""
    pairs: list[tuple[int, int]] = []
    for size, stride, extent in zip(sizes, w.strides, w.extent, strict=True):
        if isinstance(size, str) and stride > 1:
            raise Unsupported(f"{call.title}: auto_pad SAME_LOWER of the open size {size}")
        count = -(-size // stride) if isinstance(size, int) else 1
        span = (count - 1) * stride + extent
        total = max(span - (size if isinstance(size, int) else 1), 0)
        pairs.append((total - total // 2, total // 2))
    return tuple(pairs)
