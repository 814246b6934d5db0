"""Converters: spectra of sounds."""

from __future__ import annotations

import numpy as np

from ....runtime import ops
from ...deferred import Array, Deferred
from ..builder import Value
from ..layer import Layer, keras
from .axes import has_channels_first

EPSILON = 1e-7
"""What Keras takes for the least power, and the least logarithm's argument."""
POWERS = ("log", "magnitude", "psd")


@keras("STFTSpectrogram")
def short_time_fourier(layer: Layer, x: Value) -> Value:
    """A convolution with kernels that are stored: waves in a window."""
    mode = layer.get("mode", "log")
    kernels = [name for name, other in (("real", "imag"), ("imag", "real")) if mode != other]
    parts = [_convolved(layer, x, layer.take(f"{name}_kernel")) for name in kernels]
    if mode in POWERS:
        return _arranged(layer, _power(layer, mode, *parts))
    if mode == "stft":
        return _arranged(layer, layer.add(ops.Concatenate(-1), *parts))
    if len(parts) > 1:
        raise layer.refuse("mode", mode)
    return _arranged(layer, parts[0])


def _convolved(layer: Layer, x: Value, arrays: dict[str, Deferred]) -> Value:
    """(N, T, channels, frequencies): the same kernel over each channel."""
    sound = layer.channels_last(x) if has_channels_first(layer) else x
    channels = int(layer.shape(sound)[-1])
    for option in ("fft_length", "window", "periodic", "scaling"):
        layer.get(option, None)  # the kernel was made of them
    (kernel,) = arrays.values()
    length, _, waves = kernel.shape
    if length != layer["frame_length"]:
        raise layer.refuse("frame_length", layer["frame_length"])

    def repeated(array: Array) -> Array:
        return np.tile(array, (1, 1, channels))

    op = ops.Convolution(
        channels * waves,
        (length,),
        (layer.get("frame_step", None) or length // 2,),
        layer.get("padding", "valid"),
        groups=channels,
        use_bias=False,
    )
    y = layer.add(op, sound, kernel=kernel.map(repeated))
    return layer.add(ops.Reshape((-1, channels, waves)), y)


def _power(layer: Layer, mode: str, real: Value, imaginary: Value) -> Value:
    squares = (layer.add(ops.Square(), part) for part in (real, imaginary))
    power = layer.add(ops.Add(), *squares)
    if mode == "psd":  # all but the first and the last stand for two frequencies
        factors = np.full(int(layer.shape(power)[-1]), 2.0)
        factors[[0, -1]] = 1
        return layer.add(ops.Multiply(), power, layer.constant(factors))
    magnitude = layer.add(ops.Sqrt(), layer.add(ops.Clip(low=EPSILON), power))
    if mode == "magnitude":
        return magnitude
    return layer.add(ops.Log(), layer.add(ops.Clip(low=EPSILON), magnitude))


def _arranged(layer: Layer, y: Value) -> Value:
    """The axes as Keras has them, from (N, T, channels, frequencies)."""
    first = has_channels_first(layer)
    if layer.get("expand_dims", False):
        return Value(y.name, (0, 2, 1, 3) if first else (0, 1, 3, 2))
    flat = layer.add(ops.Reshape((-1, int(layer.shape(y)[2]) * int(layer.shape(y)[3]))), y)
    return layer.channels_first(flat) if first else flat
