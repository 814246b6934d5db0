"""Kernels and tables that Keras 3 stores in 8 or 4 bits, or beside a low-rank change, as floats.

Keras rounds what goes into an int8 layer to 8 bits, too, row by row, and multiplies whole numbers;
here the kernel alone is what it stored, and the product is that of floats. So a network of a few
such layers agrees with Keras to about a hundredth, not to rounding. What int4 rounds by default is
the kernel alone, and a table is only looked up: these are exact.

Sources: ``quantizers/quantizers.py`` and the layers ``Dense``, ``EinsumDense``, ``Embedding`` and
``ReversibleEmbedding`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....runtime.equation import Equation
from ...deferred import Array, Deferred
from ..layer import Layer


def quantization(layer: Layer) -> str:
    """``int8`` or ``int4``, or nothing: how the layer's kernel or table is stored.

    Raises:
        Unsupported: another way of storing it.
    """
    layer.get("quantization_config", None)
    mode = quantization_mode(layer.get("dtype", None))
    if mode not in ("", "int8", "int4"):
        raise layer.refuse("dtype", f"of the mode {mode}")
    return mode


def quantization_mode(policy: Any) -> str:
    """The mode of a policy, ``int8_from_float32`` or an object; nothing for other policies."""
    if isinstance(policy, dict):
        config: Mapping[str, Any] = policy.get("config") or {}
        text = str(config.get("mode") or str(config.get("name") or ""))
        text = text if "mode" in config or "_from_" in text else ""
    else:
        text = str(policy or "")
        text = text if "_from_" in text else ""
    return text.partition("_from_")[0].partition("/")[0]


def dense_arrays(layer: Layer, bias: bool) -> dict[str, Deferred]:
    """Kernel (inputs, units) and bias of a dense layer."""
    mode = quantization(layer)
    arrays = layer.take("kernel", *["bias"] * bias)
    if mode:
        shape = (arrays["kernel"].shape[0], int(layer["units"]))
        arrays["kernel"] = _Steps.of(layer, "kernel").floats(arrays["kernel"], shape, mode)
    return _changed(layer, arrays, "kernel")


def einsum_arrays(
    layer: Layer, equation: Equation, given: Sequence[Any], output: Sequence[Any], bias: bool
) -> dict[str, Deferred]:
    """Kernel and bias of a layer that computes ``equation``.

    ``given`` is the shape of its input, ``output`` that of its result as its option has it.
    """
    mode = quantization(layer)
    arrays = layer.take("kernel", *["bias"] * bias)
    letters = equation.operands[1]
    if mode == "int8":
        scale = layer.take("kernel_scale")["kernel_scale"]
        kernel = arrays["kernel"]
        arrays["kernel"] = _made(
            kernel, kernel.shape, lambda: kernel.read() / _over_kernel(scale.read(), equation)
        )
    elif mode:
        sizes = dict(zip(equation.result[-len(output) :], output, strict=True))
        sizes |= zip(equation.operands[0], given, strict=True)
        shape = tuple(int(sizes[letter]) for letter in letters)
        rows = arrays["kernel"].shape[0]
        flat = (rows, int(np.prod(shape)) // rows)
        made = _Steps.of(layer, "kernel").floats(arrays["kernel"], flat, mode)
        arrays["kernel"] = _made(made, shape, lambda: made.read().reshape(shape))
    return _changed(layer, arrays, "kernel")


def _over_kernel(scale: Array, equation: Equation) -> Array:
    """A scale whose axes are those of the result, or its last ones, with the axes of the kernel."""
    result, kernel = equation.result, equation.operands[1]
    scale = scale.reshape((1,) * (len(result) - scale.ndim) + scale.shape)
    own = [result.index(letter) for letter in kernel if letter in result]
    others = [axis for axis in range(len(result)) if axis not in own]
    scale = scale.transpose(*others, *own)[(0,) * len(others)]
    return scale.reshape([scale.shape[_place(kernel, result, i)] if letter in result else 1
                          for i, letter in enumerate(kernel)])  # fmt: skip


def _place(kernel: str, result: str, index: int) -> int:
    """Which of the kernel's letters that are in the result the letter at ``index`` is."""
    return sum(letter in result for letter in kernel[:index])


def tables(layer: Layer, *, reverse: bool = False) -> dict[str, Deferred]:
    """The table (words, units) of an embedding and, ``reverse``, the one (units, words) back."""
    mode = quantization(layer)
    arrays = {"table": layer.take("embeddings")["embeddings"]}
    words, units = int(layer["input_dim"]), int(layer["output_dim"])
    groups = None
    if mode:
        steps = _Steps.of(layer, "embeddings", by_row=True)
        groups = steps.groups
        arrays["table"] = steps.floats(arrays["table"], (words, units), mode)
    arrays["table"] = _changed(layer, {"embeddings": arrays["table"]}, "embeddings")["embeddings"]
    if reverse:
        back = layer.take("reverse_embeddings")["reverse_embeddings"]
        if mode:
            steps = _Steps.of(layer, "reverse_embeddings", groups=groups)
            back = steps.floats(back, (units, words), mode, packed=0)
        arrays["reverse"] = back
    return arrays


@dataclass(frozen=True)
class _Steps:
    """What the whole numbers of a matrix are multiples of.

    Without ``zero`` and ``groups`` it is 1 / scale, of each column, or each row if ``by_row``. With
    them, the numbers are counted from a zero, which like the scale is that of a column and of a
    group of rows; or of a row and of a group of columns.
    """

    scale: Deferred
    zero: Deferred | None
    groups: Deferred | None
    by_row: bool

    @classmethod
    def of(
        cls, layer: Layer, name: str, *, by_row: bool = False, groups: Deferred | None = None
    ) -> _Steps:
        """Those of the array ``name``, which may count its groups as another array does."""
        (scale,) = layer.take(f"{name}_scale").values()
        if len(scale.shape) == 1:
            return cls(scale, None, None, by_row)
        (zero,) = layer.take(f"{name}_zero").values()
        return cls(scale, zero, groups or layer.take("g_idx")["g_idx"], by_row)

    def floats(
        self, stored: Deferred, shape: tuple[int, int], mode: str, *, packed: int = 1
    ) -> Deferred:
        """The matrix; ``packed`` is the axis along which a byte holds two numbers of 4 bits."""

        def read() -> Array:
            numbers = stored.read()
            if mode == "int4":
                numbers = unpacked(numbers, shape[packed], packed)
            axis = 1 if self.by_row else 0
            if self.zero is None or self.groups is None:
                return numbers / np.expand_dims(self.scale.read(), axis)
            group = self.groups.read().astype(np.int64)
            low, step = (np.take(part.read(), group, axis) for part in (self.zero, self.scale))
            return (numbers - low.astype(np.float32)) * step

        return _made(stored, shape, read)


def unpacked(numbers: Array, size: int, axis: int) -> Array:
    """The numbers -8 … 7 of which each byte holds two along an axis, the lower bits first."""
    octets = numbers.astype(np.uint8)
    both = np.stack([octets & 15, octets >> 4], axis + 1)
    shape = list(numbers.shape)
    shape[axis] *= 2
    signed = (both.reshape(shape).astype(np.int16) ^ 8) - 8
    return np.take(signed, range(size), axis)


def _made(stored: Deferred, shape: tuple[int, ...], read: Callable[[], Array]) -> Deferred:
    dtype = np.dtype(np.float32)
    return Deferred(stored.name, shape, dtype, lambda: np.asarray(read(), dtype))


def _changed(layer: Layer, arrays: dict[str, Deferred], name: str) -> dict[str, Deferred]:
    """With the low-rank change that was trained, where it is stored beside the array."""
    rank, alpha = layer.get("lora_rank", None), layer.get("lora_alpha", None)
    factors = [layer.arrays.find(f"lora_{name}_{part}") for part in "ab"]
    if not rank or not all(factors):
        return arrays
    stored = arrays[name]
    a, b = layer.take(f"lora_{name}_a", f"lora_{name}_b").values()
    factor = (alpha or rank) / rank
    made = _made(stored, stored.shape, lambda: stored.read() + factor * (a.read() @ b.read()))
    return {**arrays, name: made}
