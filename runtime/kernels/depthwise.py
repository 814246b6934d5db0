"""Depthwise convolution: every channel has windows of its own.

There is no product of matrices in it, but a sum of element-wise products, which ``einsum`` makes in
one pass. Where windows lie next to each other (stride one along the last axis), those of a row are
one run of memory, a lane, over which the kernel is laid out; elsewhere a lane is the channels.

Arrays: x (rows, *spatial, channels), kernel (*kernel, channels, times) and y (rows, *spatial,
channels * times).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

from ..frame import Array, Frame
from ..op import Step
from .steps import in_turn, summed
from .windows import Region, Reused, Sizes, Windows, blocks, inside, length, seen


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """y[t, c, j] = sum of x[t * stride - before + k * dilation, c] * kernel[k, c, j] over k."""
    return _multiplied(at, w, x, kernel, y, times=kernel.shape[-1])


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """dkernel[k, c, j] = sum of x[t * stride - before + k * dilation, c] * dy[t, c, j] over t."""
    lanes = _Lanes(at, w, dy.shape[-1])
    laid, lines = lanes.kernel()

    def part(images: slice, region: Region, target: Array) -> Step:
        return lanes.contract(
            region, f"{lanes.windows},{lanes.outputs}->{lanes.elements}", lanes.cut(dy[images]), target
        )

    regions = _regions(at, w, x, dkernel.shape[-1])
    sums = summed(at, laid, (partial(part, images, region) for images, region in regions))
    total = dkernel.reshape(*w.kernel, -1)
    return in_turn([sums, partial(at.xp.add.reduce, lines, axis=-2, out=total)])


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """What ``forward`` does, over dy with its elements ``stride`` apart and the kernel turned round."""
    before = tuple(e - 1 - b for e, b in zip(w.extent, w.before, strict=True))
    back = Windows(w.count, w.size, w.kernel, (1,) * w.rank, w.dilation, before)
    turned = kernel[(slice(None, None, -1),) * w.rank]
    if kernel.shape[-1] == 1:
        return _multiplied(at, back, dy, turned, dx, apart=w.stride)
    every = at.scratch((*dx.shape, kernel.shape[-1]))
    flat = every.reshape(*dx.shape[:-1], -1)
    multiplied = _multiplied(at, back, dy, turned, flat, apart=w.stride)
    return in_turn([multiplied, partial(at.xp.add.reduce, every, axis=-1, out=dx)])


def _multiplied(
    at: Frame,
    w: Windows,
    x: Array,
    kernel: Array,
    y: Array,
    times: int = 1,
    apart: Sizes | None = None,
) -> Step:
    """y = the sum of windows * kernel."""
    lanes = _Lanes(at, w, y.shape[-1])
    laid, lines = lanes.kernel()
    given = kernel.reshape(*w.kernel, 1, -1)
    spec = f"{lanes.windows},{lanes.elements}->{lanes.outputs}"
    parts = [
        lanes.contract(region, spec, laid, lanes.cut(y[images]))
        for images, region in _regions(at, w, x, times, apart)
    ]
    return in_turn([partial(at.xp.copyto, lines, given), *parts])


class _Lanes:
    """How windows, kernel and outputs are seen as lanes, and the letters of their axes in einsum."""

    def __init__(self, at: Frame, w: Windows, channels: int) -> None:
        self._at, self._w, self._channels = at, w, channels
        self._width = w.count[-1] if w.stride[-1] == 1 else 1
        self._outer = w.count if self._width == 1 else w.count[:-1]
        outer, kernel = "abc"[: len(self._outer)], "ijk"[: w.rank]
        self.windows, self.elements, self.outputs = f"n{outer}{kernel}q", f"{kernel}q", f"n{outer}q"

    def kernel(self) -> tuple[Array, Array]:
        """Scratch memory for a kernel: (*kernel, lane), and the same as (*kernel, width, channels)."""
        lines = self._at.scratch((*self._w.kernel, self._width, self._channels))
        return lines.reshape(*self._w.kernel, -1), lines

    def cut(self, y: Array) -> Array:
        """Outputs as (rows, *outer, lane)."""
        return y.reshape(len(y), *self._outer, -1)

    def contract(self, region: Region, spec: str, other: Array, out: Array) -> Step:
        """Loads the region, then contracts its windows with ``other``."""
        xp, load = self._at.xp, region.load
        windows = self._seen(region.array)

        def step() -> None:
            if load:
                load()
            if xp.__name__ == "cupy":  # its einsum has no ``out``
                xp.copyto(out, xp.einsum(spec, windows, other))
            else:
                xp.einsum(spec, windows, other, out=out)

        return step

    def _seen(self, array: Array) -> Array:
        """The windows over a region as (rows, *outer, *kernel, lane), a view."""
        view = seen(self._at.xp, array, self._w, self._w.count)
        if self._width == 1:
            return view
        first = view[(*(slice(None),) * self._w.rank, 0)]
        shape = (*first.shape[:-1], self._width * self._channels)
        return self._at.xp.lib.stride_tricks.as_strided(first, shape, first.strides)


def _regions(
    at: Frame, w: Windows, x: Array, times: int, apart: Sizes | None = None
) -> Iterator[tuple[slice, Region]]:
    """(images, what their windows see), every channel ``times`` times and elements ``apart``."""
    memory, channels = Reused(at), x.shape[-1]
    for images, _ in blocks(len(x), 1, prod(w.span) * channels * times):
        if times == 1 and not apart and not w.padded:
            yield images, Region(x[(images, *map(slice, w.span))], None)
            continue
        array = memory.part(length(images), *w.span, channels, times)
        pairs = [
            inside(-before, step, size, span)
            for before, step, size, span in zip(
                w.before, apart or (1,) * w.rank, w.size, w.span, strict=True
            )
        ]
        to = array[(slice(None), *(points for points, _ in pairs))]
        source = x[(images, *(ts for _, ts in pairs))][..., None]
        load = in_turn([partial(array.fill, 0), partial(at.xp.copyto, to, source)])
        yield images, Region(array.reshape(length(images), *w.span, -1), load)
