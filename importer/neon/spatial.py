"""Converters: convolutions, pooling, and normalization across channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...runtime import ops
from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.op import Operation
from ..builder import Value
from ..deferred import Deferred
from ..options import Options
from .connected import with_bias
from .layer import Layer, neon, rearranged

AXES = "dhw"
WINDOW = "TRS"


@dataclass(frozen=True)
class Windows:
    """How windows lie over the spatial axes."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The padding before and after."""
        return tuple((n, n) for n in self.padding)


def windows(settings: Options, rank: int, size: Mapping[str, int]) -> Windows:
    """The windows of a layer: a single number is for height and width, as neon has it."""
    if rank not in (2, 3):
        raise UnreadableFile(f"{settings.title}: it needs an image, or a volume")
    axes = AXES[3 - rank :]
    window = tuple(size.get(letter, 1) for letter in WINDOW[3 - rank :])
    if rank == 2 and size.get("T", 1) != 1:
        raise UnreadableFile(f"{settings.title}: a window of three axes needs a volume")
    return Windows(
        window,
        _per_axis(settings, "strides", "str_", axes, {}, 1),
        _per_axis(settings, "padding", "pad_", axes, {}, 0),
        _per_axis(settings, "dilation", "dil_", axes, {}, 1),
    )


def _per_axis(
    settings: Options, option: str, prefix: str, axes: str, usual: Mapping[str, int], least: int
) -> tuple[int, ...]:
    given: Any = settings.get(option, {})
    if isinstance(given, int):
        given = {f"{prefix}h": given, f"{prefix}w": given}
    if not isinstance(given, dict):
        raise settings.refuse(option)
    known: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    found: list[int] = []
    for axis in axes:
        value = known.pop(f"{prefix}{axis}", usual.get(axis, least))
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise settings.refuse(option)
        found.append(value)
    if any(value != least for value in known.values()):
        raise settings.refuse(option)
    return tuple(found)


def fshape(settings: Options, *, last: str) -> dict[str, int]:
    """``fshape`` by letter: (R, S, K), (T, R, S, K), or a mapping."""
    given: Any = settings["fshape"]
    if isinstance(given, int) and not last:
        given = (given, given)
    if isinstance(given, list | tuple):
        values: Sequence[Any] = given
        letters = f"TRS{last}"[-len(values) :] if len(values) >= 2 + len(last) else ""
        given = dict(zip(letters, values, strict=False)) if len(letters) == len(values) else None
    if not isinstance(given, dict):
        raise settings.refuse("fshape")
    sizes: dict[str, Any] = {str(key): value for key, value in given.items()}
    for size in sizes.values():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise settings.refuse("fshape")
    if unknown := sizes.keys() - set(f"TRS{last}"):
        raise Unsupported(f"{settings.title}: fshape {min(unknown)!r} is not supported")
    if {"R", "S", *last} - sizes.keys():
        raise settings.refuse("fshape")
    return sizes


def _kernel(layer: Layer, size: tuple[int, ...], maps: int, last: int) -> Deferred:
    """W (maps · window, last) as (window, maps, last)."""
    count = maps
    for n in size:
        count *= n
    order = (*range(1, len(size) + 1), 0, len(size) + 1)
    return rearranged(
        layer.array("W", count, last),
        (*size, maps, last),
        lambda w: w.reshape(maps, *size, last).transpose(order),
    )


@neon("Convolution", "Convolution_bias")
def convolution(layer: Layer, x: Value) -> Value:
    settings, shape = layer.options, layer.sizes(x)
    sizes, channels = fshape(settings, last="K"), shape[0]
    found, filters = windows(settings, len(shape) - 1, sizes), sizes["K"]
    kernel = _kernel(layer, found.size, channels, filters)
    if layer.entry.kind == "Convolution_bias":
        settings.ignore("bias")
        layer.bias = layer.array("weight_bias", filters, 1)
    op = ops.Convolution(
        filters,
        found.size,
        found.strides,
        found.pairs,
        found.dilation,
        use_bias=layer.bias is not None,
    )
    value = layer.features_last(x)
    return layer.tensor(layer.add(op, value, **with_bias(layer, kernel, filters)))


@neon("Deconvolution")
def deconvolution(layer: Layer, x: Value) -> Value:
    """The gradient of the convolution whose output has the channels of its input."""
    settings, shape = layer.options, layer.sizes(x)
    sizes, channels = fshape(settings, last="C"), shape[0]
    found, filters = windows(settings, len(shape) - 1, sizes), sizes["C"]
    kernel = _kernel(layer, found.size, filters, channels)
    op = ops.TransposedConvolution(
        filters,
        found.size,
        found.strides,
        found.pairs,
        dilation=found.dilation,
        use_bias=layer.bias is not None,
    )
    value = layer.features_last(x)
    return layer.tensor(layer.add(op, value, **with_bias(layer, kernel, filters)))


@neon("Pooling")
def pooling(layer: Layer, x: Value) -> Value:
    """The largest or the mean of windows, which follow each other unless told otherwise."""
    settings, sizes = layer.options, layer.sizes(x)
    how = settings.get("op", "max")
    if how not in ("max", "avg"):
        raise settings.refuse("op")
    value = layer.features_last(x)
    if settings["fshape"] == "all":
        settings.ignore("strides", "padding")
        found: Operation = ops.GlobalMaxPooling() if how == "max" else ops.GlobalAveragePooling()
        ones = ops.Reshape((*(1 for _ in sizes[1:]), sizes[0]))
        return layer.tensor(layer.add(ones, layer.add(found, value)))
    over = pool_windows(settings, len(sizes) - 1)
    pads = rounded_up(sizes[1:], over) if layer.caffe else over.pairs
    make = ops.MaxPooling if how == "max" else ops.AveragePooling
    return layer.tensor(layer.add(make(over.size, over.strides, pads), value))


def pool_windows(settings: Options, rank: int) -> Windows:
    """The windows of a pooling, whose stride is their size unless it is told."""
    size, axes = fshape(settings, last=""), AXES[3 - rank :]
    usual = {axis: size.get(letter, 1) for axis, letter in zip(AXES, WINDOW, strict=True)}
    found = windows(settings, rank, size)
    strides = _per_axis(settings, "strides", "str_", axes, usual, 1)
    return Windows(found.size, strides, found.padding, found.dilation)


def rounded_up(sizes: Sequence[int], over: Windows) -> tuple[tuple[int, int], ...]:
    """The padding with which a window that the input only fills in part counts.

    That is ``output_dim`` of neon's backends, when it is to do as Caffe does.
    """
    found: list[tuple[int, int]] = []
    for n, k, step, pad in zip(sizes, over.size, over.strides, over.padding, strict=True):
        count = -(-(n - k + 2 * pad) // step) + 1
        if pad and (count - 1) * step >= n + pad:
            count -= 1
        found.append((pad, max(0, (count - 1) * step + k - n - pad)))
    return tuple(found)


@neon("LRN")
def lrn(layer: Layer, x: Value) -> Value:
    """Divides by (1 + ascale / depth * sum of x² over depth channels) ** bpower."""
    settings = layer.options
    depth = settings.whole("depth", least=1)
    if settings.number("alpha", 1) != 1 or settings.number("beta", 0) != 0:
        raise settings.refuse("alpha" if settings.number("alpha", 1) != 1 else "beta")
    scale, power = settings.number("ascale", 1.0), settings.number("bpower", 1.0)
    op = ops.LocalResponseNormalization(depth, 1.0, scale / depth, power)
    return layer.tensor(layer.add(op, layer.features_last(x)))
