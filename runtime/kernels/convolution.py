"""Convolution and its two gradients: which algorithm computes them.

The choice depends on sizes alone, never on a clock, so the same network gives the same bits.
Arrays: x (rows, *spatial, channels), kernel (*kernel, channels / groups, filters), y like x.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import NamedTuple

from ..frame import Array, Frame
from ..op import Step
from . import columns, scatter, strips, winograd
from .steps import in_turn
from .windows import Windows

Bind = Callable[[Frame, Windows, Array, Array, Array], Step]


class Algorithm(NamedTuple):
    """``forward`` takes (x, kernel, y) and ``kernel_gradient`` (x, dy, dkernel)."""

    forward: Bind
    kernel_gradient: Bind


def _product(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    a, b, out = (array.reshape(-1, array.shape[-1]) for array in (x, kernel, y))
    return lambda: at.xp.matmul(a, b, out=out)


def _product_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    a, b, out = (array.reshape(-1, array.shape[-1]) for array in (x, dy, dkernel))
    return lambda: at.xp.matmul(a.T, b, out=out)


PRODUCT = Algorithm(_product, _product_gradient)
COLUMNS = Algorithm(columns.forward, columns.kernel_gradient)
STRIPS = Algorithm(strips.forward, strips.kernel_gradient)
WINOGRAD = Algorithm(winograd.forward, winograd.kernel_gradient)


def choose(w: Windows, images: int, channels: int, filters: int, groups: int = 1) -> Algorithm:
    """The algorithm for a layer of these sizes."""
    if groups > 1:
        return COLUMNS
    if set((*w.kernel, *w.stride)) == {1} and w.size == w.count and not w.padded:
        return PRODUCT
    if winograd.suits(w, images, channels, filters):
        return WINOGRAD
    if strips.suits(w, channels):
        return STRIPS
    return COLUMNS


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """y[t] = sum of x[t * stride - before + k * dilation] @ kernel[k] over the elements k."""
    w, x, kernel, y = _planar(w, x, kernel, y)
    return _chosen(w, x, kernel).forward(at, w, x, kernel, y)


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """dkernel[k] = sum of x[t * stride - before + k * dilation].T @ dy[t] over the windows t."""
    w, x, dkernel, dy = _planar(w, x, dkernel, dy)
    return _chosen(w, x, dkernel).kernel_gradient(at, w, x, dy, dkernel)


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """dx[i] = sum of dy[t] @ kernel[k].T over the windows t that have i as their element k.

    With stride one this is the convolution of dy with the kernel turned round, unless dx is so much
    larger than dy that most of its windows are padding.
    """
    w, dx, kernel, dy = _planar(w, dx, kernel, dy)
    before = tuple(e - 1 - b for e, b in zip(w.extent, w.before, strict=True))
    if set(w.stride) != {1} or min(before) < 0 or 3 * prod(w.size) > 4 * prod(w.count):
        return scatter.input_gradient(at, w, dy, kernel, dx)
    back = Windows(w.count, w.size, w.kernel, w.stride, w.dilation, before)
    turned = _turned(kernel, dx.shape[-1] // kernel.shape[-2])
    copy = at.scratch(turned.shape)
    exchanged = copy.reshape(*turned.shape[:-2], dx.shape[-1])
    return in_turn([partial(at.xp.copyto, copy, turned), forward(at, back, dy, exchanged, dx)])


def _chosen(w: Windows, x: Array, kernel: Array) -> Algorithm:
    channels, filters = x.shape[-1], kernel.shape[-1]
    return choose(w, len(x), channels, filters, channels // kernel.shape[-2])


def _turned(kernel: Array, groups: int) -> Array:
    """The kernel turned round, with channels and filters exchanged in each group, as a view:
    (*kernel, filters of a group, groups, channels of a group)."""
    rank = kernel.ndim - 2
    parted = kernel.reshape(*kernel.shape[:-1], groups, -1)[(slice(None, None, -1),) * rank]
    return parted.transpose(*range(rank), rank + 2, rank + 1, rank)


def _planar(w: Windows, x: Array, kernel: Array, y: Array) -> tuple[Windows, Array, Array, Array]:
    """A convolution over sequences as one over images of one row; any other as it is."""
    if w.rank > 1:
        return w, x, kernel, y
    return w.planar(), x[:, None], kernel[None], y[:, None]
