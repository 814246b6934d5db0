"""Depthwise convolution: every channel has kernels of its own.

There is no product of matrices in it, but a sum of element-wise products, which ``einsum`` makes in
one pass. Where windows lie next to each other (stride one along the last axis), those of a row are
one run of memory, a lane, over which the kernel is laid out; elsewhere a lane is the channels.

Arrays: x (images, *spatial, channels), kernel (*kernel, channels, times), y (images, *spatial,
channels * times). Below, x[t, k] is element k of window t, x[t * stride - before + k * dilation].
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

from ..frame import Array, Frame
from ..op import Step
from .blocks import Reused, blocks, length
from .steps import in_turn, summed
from .windows import Region, Sizes, Windows, overlap, seen


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """Writes y[t, c, j] = sum of x[t, k, c] * kernel[k, c, j] over the elements k."""
    return _multiplied(at, w, x, kernel, y, times=kernel.shape[-1])


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """Writes dkernel[k, c, j] = sum of x[t, k, c] * dy[t, c, j] over the windows t."""
    lanes = _Lanes(at, w, dy.shape[-1])
    total, lines = lanes.kernel()
    spec = f"{lanes.windows},{lanes.outputs}->{lanes.elements}"

    def part(images: slice, region: Region, target: Array) -> Step:
        return lanes.contract(spec, region, lanes.cut(dy[images]), target)

    regions = _regions(at, w, x, dkernel.shape[-1])
    sums = summed(at, total, (partial(part, images, region) for images, region in regions))
    to = dkernel.reshape(*w.kernel, -1)
    return in_turn([sums, partial(at.xp.add.reduce, lines, axis=-2, out=to)])


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """Writes dx: forward over dy, its elements ``stride`` apart, with the kernel turned round."""
    turned = kernel[(slice(None, None, -1),) * w.rank]
    if kernel.shape[-1] == 1:
        return _multiplied(at, w.mirrored(), dy, turned, dx, apart=w.stride)
    every = at.scratch((*dx.shape, kernel.shape[-1]))
    flat = every.reshape(*dx.shape[:-1], -1)
    multiplied = _multiplied(at, w.mirrored(), dy, turned, flat, apart=w.stride)
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
    lanes = _Lanes(at, w, y.shape[-1])
    laid, lines = lanes.kernel()
    lay = partial(at.xp.copyto, lines, kernel.reshape(*w.kernel, 1, -1))
    spec = f"{lanes.windows},{lanes.elements}->{lanes.outputs}"
    parts = [
        lanes.contract(spec, region, laid, lanes.cut(y[images]))
        for images, region in _regions(at, w, x, times, apart)
    ]
    return in_turn([lay, *parts])


class _Lanes:
    """Windows, kernel and outputs as lanes, and the letters that einsum knows their axes by."""

    def __init__(self, at: Frame, w: Windows, channels: int) -> None:
        self._at, self._w, self._channels = at, w, channels
        self._width = w.count[-1] if w.stride[-1] == 1 else 1
        self._outer = w.count if self._width == 1 else w.count[:-1]
        outer, kernel = "abc"[: len(self._outer)], "ijk"[: w.rank]
        self.windows, self.elements, self.outputs = f"n{outer}{kernel}q", f"{kernel}q", f"n{outer}q"

    def kernel(self) -> tuple[Array, Array]:
        """Scratch memory for a kernel: (*kernel, lane), the same as (*kernel, width, channels)."""
        lines = self._at.scratch((*self._w.kernel, self._width, self._channels))
        return lines.reshape(*self._w.kernel, -1), lines

    def cut(self, y: Array) -> Array:
        """Outputs as (images, *outer, lane)."""
        return y.reshape(len(y), *self._outer, -1)

    def contract(self, spec: str, region: Region, other: Array, out: Array) -> Step:
        """Loads a region and contracts its windows with ``other``."""
        xp, load, windows = self._at.xp, region.load, self._seen(region.array)

        def step() -> None:
            if load:
                load()
            if xp.__name__ == "cupy":  # its einsum has no ``out``
                xp.copyto(out, xp.einsum(spec, windows, other))
            else:
                xp.einsum(spec, windows, other, out=out)

        return step

    def _seen(self, array: Array) -> Array:
        """The windows over a region as (images, *outer, *kernel, lane), a view."""
        xp, w = self._at.xp, self._w
        view = seen(xp, array, w, w.count)
        if self._width == 1:
            return view
        first = view[(*(slice(None),) * w.rank, 0)]
        shape = (*first.shape[:-1], self._width * self._channels)
        return xp.lib.stride_tricks.as_strided(first, shape, first.strides)


def _regions(
    at: Frame, w: Windows, x: Array, times: int, apart: Sizes | None = None
) -> Iterator[tuple[slice, Region]]:
    """(images, what their windows see), every channel ``times`` times, elements ``apart``."""
    memory, plain = Reused(at), times == 1 and not apart and not w.padded
    for images, _ in blocks(len(x), 1, prod(w.span) * x.shape[-1] * times):
        if plain:
            yield images, Region(x[(images, *map(slice, w.span))], None)
            continue
        array = memory.part(length(images), *w.span, x.shape[-1], times)
        to, source = overlap([-b for b in w.before], w.span, w.size, apart)
        given = x[(images, *source)][..., None]
        copy = partial(at.xp.copyto, array[(slice(None), *to)], given)
        load = in_turn([partial(array.fill, 0), copy])
        yield images, Region(array.reshape(length(images), *w.span, -1), load)
