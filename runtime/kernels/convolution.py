"""Convolution and its two gradients: which algorithm computes them.

The choice depends on sizes alone, never on a clock: the same network gives the same bits.

Arrays: x (images, *spatial, channels), kernel (*kernel, channels / groups, filters), y (images,
*spatial, filters). Below, x[t, k] is element k of window t, x[t * stride - before + k * dilation].
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
    """``forward`` is given (x, kernel, y), ``kernel_gradient`` (x, dy, dkernel)."""

    forward: Bind
    kernel_gradient: Bind


def _product(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    a, b, out = (array.reshape(-1, array.shape[-1]) for array in (x, kernel, y))
    return partial(at.xp.matmul, a, b, out=out)


def _product_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    a, b, out = (array.reshape(-1, array.shape[-1]) for array in (x, dy, dkernel))
    return partial(at.xp.matmul, a.T, b, out=out)


PRODUCT = Algorithm(_product, _product_gradient)
COLUMNS = Algorithm(columns.forward, columns.kernel_gradient)
STRIPS = Algorithm(strips.forward, strips.kernel_gradient)
WINOGRAD = Algorithm(winograd.forward, winograd.kernel_gradient)


def choose(w: Windows, images: int, channels: int, filters: int, groups: int = 1) -> Algorithm:
    """The algorithm for a layer of these sizes."""
    if groups > 1:
        return COLUMNS
    if {*w.kernel, *w.stride} == {1} and w.size == w.count and not w.padded:
        return PRODUCT
    if winograd.suits(w, images, channels, filters):
        return WINOGRAD
    if strips.suits(w, channels):
        return STRIPS
    return COLUMNS


def forward(at: Frame, w: Windows, x: Array, kernel: Array, y: Array) -> Step:
    """Writes y[t] = sum of x[t, k] @ kernel[k] over the elements k."""
    w, x, kernel, y = _planar(w, x, kernel, y)
    return _chosen(w, x, kernel).forward(at, w, x, kernel, y)


def kernel_gradient(at: Frame, w: Windows, x: Array, dy: Array, dkernel: Array) -> Step:
    """Writes dkernel[k] = sum of x[t, k].T @ dy[t] over the windows t."""
    w, x, dkernel, dy = _planar(w, x, dkernel, dy)
    return _chosen(w, x, dkernel).kernel_gradient(at, w, x, dy, dkernel)


def input_gradient(at: Frame, w: Windows, dy: Array, kernel: Array, dx: Array) -> Step:
    """Writes dx[i] = sum of dy[t] @ kernel[k].T over the windows t that have i as element k.

    With stride one this is the convolution of dy with the kernel turned round, and made as such,
    unless dx is so much larger than dy that much of it would be padding.
    """
    w, dx, kernel, dy = _planar(w, dx, kernel, dy)
    back = w.mirrored()
    if {*w.stride} != {1} or min(back.before) < 0 or 3 * prod(w.size) > 4 * prod(w.count):
        return scatter.input_gradient(at, w, dy, kernel, dx)
    turned = _turned(kernel, dx.shape[-1] // kernel.shape[-2])
    copy = at.scratch(turned.shape)
    exchanged = copy.reshape(*turned.shape[:-2], dx.shape[-1])
    return in_turn([partial(at.xp.copyto, copy, turned), forward(at, back, dy, exchanged, dx)])


def _chosen(w: Windows, x: Array, kernel: Array) -> Algorithm:
    channels, filters = x.shape[-1], kernel.shape[-1]
    return choose(w, len(x), channels, filters, channels // kernel.shape[-2])


def _turned(kernel: Array, groups: int) -> Array:
    """The kernel turned round, with channels and filters exchanged in each group, as a view.

    (*kernel, filters of a group, groups, channels of a group)
    """
    rank = kernel.ndim - 2
    parted = kernel.reshape(*kernel.shape[:-1], groups, -1)[(slice(None, None, -1),) * rank]
    return parted.transpose(*range(rank), rank + 2, rank + 1, rank)


def _planar(w: Windows, x: Array, kernel: Array, y: Array) -> tuple[Windows, Array, Array, Array]:
    """A convolution over sequences as one over images of one row; any other as it is."""
    if w.rank > 1:
        return w, x, kernel, y
    return w.planar(), x[:, None], kernel[None], y[:, None]
