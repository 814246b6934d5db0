"""Converters: recurrent layers whose products are convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....runtime import ops
from ...deferred import Array, Deferred
from ..builder import Value
from ..layer import Layer, keras
from .axes import has_channels_first, per_axis
from .convolution import oriented
from .recurrent import INERT, Cell, backwards, function, given_states, run

Pairs = tuple[tuple[int, int], ...]


@keras("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def conv_lstm(layer: Layer, x: Value, *more: Value) -> Any:
    for option in INERT:
        layer.get(option, None)
    count, first = int(layer.kind[-2]), has_channels_first(layer)
    gates = "sigmoid" if layer.generation > 2 else "hard_sigmoid"
    arrays = layer.take("kernel", "recurrent_kernel", *["bias"] * bool(layer.get("use_bias", True)))
    for name in ("kernel", "recurrent_kernel"):
        arrays[name] = oriented(layer, arrays[name], count)
    wider = _wider(layer, count)
    for name in ("kernel", "recurrent_kernel") if any(wider) else ():
        arrays[name] = _with_zeros(arrays[name], wider)
    size = per_axis(layer, "kernel_size")
    op = ops.ConvLSTM(
        layer["filters"],
        kernel_size=tuple(n + more for n, more in zip(size, wider, strict=True)),
        strides=per_axis(layer, "strides", 1),
        padding=_padding(layer, wider),
        dilation=per_axis(layer, "dilation_rate", 1),
        activation=function(layer, "activation", "tanh"),
        recurrent_activation=function(layer, "recurrent_activation", gates),
        use_bias="bias" in arrays,
        reverse=backwards(layer),
    )
    states = given_states(layer, more)
    if first:
        x = _turned(x, (0, 1, *range(3, count + 3), 2))
        states = [_turned(state, (0, *range(2, count + 2), 1)) for state in states]
    whole = Value(layer.plain(x), (), x.mask)
    _, *after = op.infer(layer.tensor(whole))
    result = run(layer, [Cell(op, arrays, tuple(state.shape for state in after))], whole, states)
    return _channels_first(layer, result, count) if first else result


def _wider(layer: Layer, count: int) -> Sequence[int]:
    """By how much kernels have to grow so that "same" pads a state as the layer does.

    Theano puts the odd row of an even kernel's padding before the state, others after it. With a
    row of zeros at its end a kernel is odd, and there is none.
    """
    given: Any = layer.get("recurrent_padding", None)
    return [before - after for before, after in given] if given else [0] * count


def _padding(layer: Layer, wider: Sequence[int]) -> Any:
    """What goes round the input: a name, or (before, after) for each axis."""
    given: Any = layer.get("padding", "valid")
    if given == "valid" and any(wider):
        given = [(0, 0)] * len(wider)
    if isinstance(given, str):
        return given
    return tuple((int(a), int(b) + n) for (a, b), n in zip(given, wider, strict=True))


def _with_zeros(kernel: Deferred, wider: Sequence[int]) -> Deferred:
    def change(array: Array) -> Array:
        return np.pad(array, [*((0, n) for n in wider), (0, 0), (0, 0)])

    return kernel.map(change)


def _turned(x: Value, order: tuple[int, ...]) -> Value:
    """The tensor with its axes in another order."""
    axes = x.axes or tuple(range(len(order)))
    return Value(x.name, tuple(axes[axis] for axis in order), x.mask)


def _channels_first(layer: Layer, result: Any, count: int) -> Any:
    """Channels before the places of each output, which follow batch and, in sequences, time."""
    if isinstance(result, tuple):
        parts: tuple[Value, ...] = result
        return tuple(_channels_first(layer, part, count) for part in parts)
    last = layer.rank(result) - 1
    return _turned(result, (*range(last - count), last, *range(last - count, last)))
