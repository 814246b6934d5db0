"""Converters: convolutions with another kernel at every position, which Keras stores in three ways.

Implementation 1 has a kernel for each position; 2 is a dense layer whose weights are zero outside
of the windows; 3 stores those inside of them only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....runtime import ops
from ....runtime.errors import Unsupported
from ...deferred import Array
from ..builder import Value
from ..layer import Layer, keras
from .activations import activate
from .axes import as_layer, channels_last, has_channels_first, per_axis


@keras("LocallyConnected1D", "LocallyConnected2D")
def locally_connected(layer: Layer, x: Value) -> Value:
    image = channels_last(layer, x)
    *sizes, channels = layer.shape(image)[1:]
    if not all(isinstance(n, int) for n in sizes):
        raise Unsupported(f"{layer.title}: it has a kernel for each position of an open size")
    places = Places(
        tuple(int(n) for n in sizes),
        int(channels),
        int(layer["filters"]),
        per_axis(layer, "kernel_size"),
        per_axis(layer, "strides", 1),
        same=_is_same(layer),
        first=has_channels_first(layer),
    )
    bias = bool(layer.get("use_bias", True))
    op = ops.LocallyConnected(
        places.filters, places.kernel_size, places.strides, places.padding, bias
    )
    arrays = layer.take("kernel", *["bias"] * bias)
    convert = places.kernel_of(layer.get("implementation", 1))
    arrays["kernel"] = arrays["kernel"].map(convert)
    if bias and places.first:  # it is not transposed, but taken for a bias that has channels first
        arrays["bias"] = arrays["bias"].map(
            lambda b: np.moveaxis(b.reshape(b.shape[-1], *b.shape[:-1]), 0, -1)
        )
    return activate(layer, as_layer(layer, layer.add(op, image, **arrays)))


def _is_same(layer: Layer) -> bool:
    padding = layer.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise layer.refuse("padding", padding)
    return padding == "same"


@dataclass(frozen=True)
class Places:
    """The positions of a window over an input, with entries per spatial axis.

    ``first``: the arrays have channels first. Of what "same" pads, half the window lies before the
    first element, whatever the stride.
    """

    sizes: tuple[int, ...]
    channels: int
    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    same: bool
    first: bool

    @property
    def padding(self) -> Any:
        """What the operation has to pad."""
        if not self.same:
            return "valid"
        spans = zip(self.sizes, self.kernel_size, self.strides, self.counts, strict=True)
        return tuple((k // 2, max((m - 1) * s + k - k // 2 - n, 0)) for n, k, s, m in spans)

    @cached_property
    def counts(self) -> Sequence[int]:
        """How many positions there are along each axis."""
        spans = zip(self.sizes, self.kernel_size, self.strides, strict=True)
        return [-(-(n if self.same else n - k + 1) // s) for n, k, s in spans]

    def kernel_of(self, implementation: int) -> Callable[[Array], Array]:
        """The function that makes (positions, window, filters) of a stored kernel."""
        convert = {1: self._of_positions, 2: self._of_all, 3: self._of_windows}[implementation]
        shape = (prod(self.counts), prod(self.kernel_size) * self.channels, self.filters)

        def made(kernel: Array) -> Array:
            return convert(kernel).reshape(shape)

        return made

    def _of_positions(self, kernel: Array) -> Array:
        """From (positions, window, filters), where the window may have its channels first."""
        if not self.first:
            return kernel
        parts = (prod(self.counts), self.channels, prod(self.kernel_size), self.filters)
        return kernel.reshape(parts).swapaxes(1, 2)

    def _of_all(self, kernel: Array) -> Array:
        """From the weights of all elements of the input for all of the output."""
        elements, positions = prod(self.sizes), prod(self.counts)
        if self.first:
            parts = (self.channels, elements, self.filters, positions)
            kernel = kernel.reshape(parts).transpose(1, 0, 3, 2)
        whole = kernel.reshape(elements, self.channels, positions, self.filters)
        places, inside = self._windows
        return whole[places, :, np.arange(positions)[:, None]] * inside[:, :, None, None]

    def _of_windows(self, kernel: Array) -> Array:
        """From a list of the weights in the windows, in order of the output, then of the input."""
        inside, last = self._windows[1], (self.channels,)
        if self.first:
            mask, order = inside[None, :, None, :], (1, 3, 2, 0)
            shape = (self.filters, len(inside), *last, inside.shape[1])
        else:
            mask, order = inside[:, None, :, None], (0, 2, 3, 1)
            shape = (len(inside), self.filters, inside.shape[1], *last)
        made = np.zeros(shape, kernel.dtype)
        made[np.broadcast_to(mask, shape)] = kernel
        return made.transpose(order)

    @cached_property
    def _windows(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(positions, elements of a window): each element's number, and whether it is there."""
        places, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), np.bool_)
        for size, k, stride, count in zip(
            self.sizes, self.kernel_size, self.strides, self.counts, strict=True
        ):
            starts = np.arange(count) * stride - (k // 2 if self.same else 0)
            axis = np.add.outer(starts, np.arange(k))
            there = (axis >= 0) & (axis < size)
            shape = (len(places) * count, -1)
            added = places[:, None, :, None] * size + axis.clip(0, size - 1)[None, :, None, :]
            places = added.reshape(shape)
            inside = (inside[:, None, :, None] & there[None, :, None, :]).reshape(shape)
        return places, inside
