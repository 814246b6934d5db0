"""What Caffe's layers compute, written down plainly from its own sources, in float64.

Arrays have their channels on axis 1. ``p`` are a layer's options, ``w`` its arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Options = Mapping[str, Any]
Compute = Callable[[Sequence[Array], Options, Sequence[Array]], Any]
LAYERS: dict[str, Compute] = {}


def layer(*kinds: str) -> Callable[[Compute], Compute]:
    def register(compute: Compute) -> Compute:
        LAYERS.update(dict.fromkeys(kinds, compute))
        return compute

    return register


def pair(p: Options, name: str, default: int) -> tuple[int, int]:
    short = "kernel" if name == "kernel_size" else name
    if f"{short}_h" in p:
        return p[f"{short}_h"], p[f"{short}_w"]
    given = p.get(name, default)
    height, width = given if isinstance(given, list) else (given, given)
    return height, width


@layer("Convolution")
def convolution(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    kernel, groups = w[0], p.get("group", 1)
    (ph, pw), (sh, sw) = pair(p, "pad", 0), pair(p, "stride", 1)
    dh, dw = pair(p, "dilation", 1)
    padded = np.pad(x[0], ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    kh, kw = kernel.shape[2:]
    height = (padded.shape[2] - (dh * (kh - 1) + 1)) // sh + 1
    width = (padded.shape[3] - (dw * (kw - 1) + 1)) // sw + 1
    y = np.zeros((len(padded), len(kernel), height, width))
    inside, outside = padded.shape[1] // groups, len(kernel) // groups
    for o in range(len(kernel)):
        first = o // outside * inside
        part = padded[:, first : first + inside]
        for i in range(height):
            for j in range(width):
                window = part[:, :, i * sh :, j * sw :][:, :, : dh * kh : dh, : dw * kw : dw]
                y[:, o, i, j] = (window[:, :, :kh, :kw] * kernel[o]).sum((1, 2, 3))
    return y + w[1][:, None, None] if len(w) > 1 else y


@layer("Deconvolution")
def deconvolution(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    kernel, groups = w[0], p.get("group", 1)
    (ph, pw), (sh, sw) = pair(p, "pad", 0), pair(p, "stride", 1)
    rows, channels, height, width = x[0].shape
    kh, kw = kernel.shape[2:]
    each = kernel.shape[1]
    y = np.zeros((rows, each * groups, (height - 1) * sh + kh, (width - 1) * sw + kw))
    for c in range(channels):
        group = c // (channels // groups)
        for o in range(each):
            for i in range(height):
                for j in range(width):
                    place = y[:, group * each + o, i * sh : i * sh + kh, j * sw : j * sw + kw]
                    place += x[0][:, c, i, j, None, None] * kernel[c, o]
    y = y[:, :, ph : y.shape[2] - ph, pw : y.shape[3] - pw]
    return y + w[1][:, None, None] if len(w) > 1 else y


@layer("InnerProduct")
def inner_product(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    axis = p.get("axis", 1)
    rows = x[0].reshape(*x[0].shape[:axis], -1)
    y = rows @ (w[0] if p.get("transpose") else w[0].T)
    return y + w[1] if len(w) > 1 else y


@layer("Pooling")
def pooling(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    """The loops of PoolingLayer::Reshape and Forward_cpu."""
    rows, channels, height, width = x[0].shape
    if p.get("global_pooling"):
        p = {**p, "kernel_h": height, "kernel_w": width}
    (kh, kw), (sh, sw) = pair(p, "kernel_size", 0), pair(p, "stride", 1)
    ph, pw = pair(p, "pad", 0)
    whole = math.floor if p.get("round_mode") == "FLOOR" else math.ceil
    out_h = whole((height + 2 * ph - kh) / sh) + 1
    out_w = whole((width + 2 * pw - kw) / sw) + 1
    if ph or pw:
        if (out_h - 1) * sh >= height + ph:
            out_h -= 1
        if (out_w - 1) * sw >= width + pw:
            out_w -= 1
    y = np.zeros((rows, channels, out_h, out_w))
    for i in range(out_h):
        for j in range(out_w):
            top, left = i * sh - ph, j * sw - pw
            bottom, right = min(top + kh, height + ph), min(left + kw, width + pw)
            size = (bottom - top) * (right - left)
            part = x[0][:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            if p.get("pool", "MAX") == "MAX":
                y[:, :, i, j] = part.max((2, 3))
            else:
                y[:, :, i, j] = part.sum((2, 3)) / size
    return y


@layer("LRN")
def response_normalization(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    size, alpha, beta = p.get("local_size", 5), p.get("alpha", 1.0), p.get("beta", 0.75)
    if p.get("norm_region") == "WITHIN_CHANNEL":
        options = {"pool": "AVE", "kernel_size": size, "pad": size // 2}
        return x[0] * (1 + alpha * pooling([x[0] ** 2], options, [])) ** -beta
    around = np.pad(x[0] ** 2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    total = sum(around[:, i : i + x[0].shape[1]] for i in range(size))
    return x[0] * (p.get("k", 1.0) + alpha / size * total) ** -beta


@layer("BatchNorm")
def batch_norm(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    mean, variance = (along(x[0], a / w[2][0]) for a in w[:2])
    return (x[0] - mean) / np.sqrt(variance + p.get("eps", 1e-5))


def along(x: Array, array: Array, axis: int = 1) -> Array:
    return array.reshape((1,) * axis + array.shape + (1,) * (x.ndim - axis - array.ndim))


@layer("Scale")
def scale(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    axis = p.get("axis", 1)
    factor, *bias = [*x[1:], *w] if len(x) > 1 else w
    y = x[0] * along(x[0], factor, axis)
    return y + along(x[0], bias[0], max(axis, 1)) if bias else y


@layer("Bias")
def bias(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    return x[0] + along(x[0], w[0], p.get("axis", 1))


@layer("Eltwise")
def eltwise(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    match p.get("operation", "SUM"):
        case "SUM":
            factors = p.get("coeff", [1] * len(x))
            return sum((a * f for a, f in zip(x, factors, strict=True)), np.zeros(x[0].shape))
        case "PROD":
            return np.prod(x, axis=0)
        case _:
            return np.max(x, axis=0)


@layer("Concat")
def concat(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    return np.concatenate(x, p.get("axis", p.get("concat_dim", 1)))


@layer("Slice")
def slices(x: Sequence[Array], p: Options, w: Sequence[Array]) -> list[Array]:
    return np.split(x[0], p.get("slice_point", 2), p.get("axis", 1))


@layer("Split")
def split(x: Sequence[Array], p: Options, w: Sequence[Array]) -> list[Array]:
    return [x[0], x[0]]


@layer("Crop")
def crop(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    axis, offsets = p.get("axis", 2) % x[0].ndim, p.get("offset", 0)
    rest = x[0].ndim - axis
    offsets = offsets if isinstance(offsets, list) else [offsets] * rest
    sizes = x[1].shape[axis:]
    parts = [slice(o, o + n) for o, n in zip(offsets, sizes, strict=True)]
    return x[0][(slice(None),) * axis + tuple(parts)]


@layer("Softmax", "SoftmaxWithLoss")
def softmax(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    axis = p.get("axis", 1)
    powers = np.exp(x[0] - x[0].max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


@layer("PReLU")
def prelu(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    slope = w[0].reshape(()) if p.get("channel_shared") else along(x[0], w[0])
    return np.maximum(x[0], 0) + slope * np.minimum(x[0], 0)


@layer("MVN")
def mean_variance(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    axes = tuple(range(1 if p.get("across_channels") else 2, x[0].ndim))
    y = x[0] - x[0].mean(axes, keepdims=True)
    if p.get("normalize_variance", True):
        y = y / (np.sqrt((y**2).mean(axes, keepdims=True)) + p.get("eps", 1e-9))
    return y


@layer("Normalize")
def normalize(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    axes = (1, 2, 3) if p.get("across_spatial", True) else (1,)
    y = x[0] / np.sqrt((x[0] ** 2).sum(axes, keepdims=True) + p.get("eps", 1e-10))
    return y * (w[0] if w[0].size == 1 else along(x[0], w[0]))


@layer("Reshape")
def reshape(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    dims, start = p["shape"]["dim"], p.get("axis", 0)
    start = start if start >= 0 else x[0].ndim + 1 + start
    count = p.get("num_axes", -1)
    end = x[0].ndim if count == -1 else start + count
    middle = [x[0].shape[start + i] if n == 0 else n for i, n in enumerate(dims)]
    return x[0].reshape(*x[0].shape[:start], *middle, *x[0].shape[end:])


@layer("Flatten")
def flatten(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    start, end = p.get("axis", 1), p.get("end_axis", -1) % x[0].ndim
    return x[0].reshape(*x[0].shape[:start], -1, *x[0].shape[end + 1 :])


@layer("Permute")
def permute(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    return x[0].transpose(p["order"])


@layer("Tile")
def tile(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    return np.concatenate([x[0]] * p["tiles"], p.get("axis", 1))


@layer("Reduction")
def reduction(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    rows = x[0].reshape(*x[0].shape[: p["axis"]], -1)
    match p.get("operation", "SUM"):
        case "SUM":
            y = rows.sum(-1)
        case "ASUM":
            y = np.abs(rows).sum(-1)
        case "SUMSQ":
            y = (rows**2).sum(-1)
        case _:
            y = rows.mean(-1)
    return y * p.get("coeff", 1.0)


@layer("ArgMax")
def argmax(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    if "axis" in p:
        function = np.max if p.get("out_max_val") else np.argmax
        return np.asarray(function(x[0], axis=p["axis"], keepdims=True), np.float64)
    rows = x[0].reshape(len(x[0]), -1)
    found = [rows.argmax(1)] + [rows.max(1)] * bool(p.get("out_max_val"))
    return np.stack(found, 1)[..., None].astype(np.float64)


@layer("Embed")
def embed(x: Sequence[Array], p: Options, w: Sequence[Array]) -> Array:
    return w[0][x[0].astype(int)] + (w[1] if len(w) > 1 else 0)


def _base(p: Options) -> float:
    return math.e if p.get("base", -1.0) == -1 else p["base"]


ELEMENTS: Mapping[str, Callable[[Array, Options], Array]] = {
    "ReLU": lambda x, p: np.where(x > 0, x, p.get("negative_slope", 0.0) * x),
    "ELU": lambda x, p: np.where(x > 0, x, p.get("alpha", 1.0) * (np.exp(x) - 1)),
    "Sigmoid": lambda x, p: 1 / (1 + np.exp(-x)),
    "TanH": lambda x, p: np.tanh(x),
    "AbsVal": lambda x, p: np.abs(x),
    "BNLL": lambda x, p: np.log(1 + np.exp(x)),
    "Exp": lambda x, p: _base(p) ** (p.get("shift", 0.0) + p.get("scale", 1.0) * x),
    "Log": lambda x, p: np.log(p.get("shift", 0.0) + p.get("scale", 1.0) * x) / np.log(_base(p)),
    "Power": lambda x, p: (p.get("shift", 0.0) + p.get("scale", 1.0) * x) ** p.get("power", 1.0),
    "Threshold": lambda x, p: (x > p.get("threshold", 0.0)).astype(np.float64),
    "Dropout": lambda x, p: (
        x if p.get("scale_train", True) else x * (1 - p.get("dropout_ratio", 0.5))
    ),
    "Swish": lambda x, p: x / (1 + np.exp(-p.get("beta", 1.0) * x)),
    "Clip": lambda x, p: np.clip(x, p["min"], p["max"]),
}


def compute(kind: str, x: Sequence[Array], p: Options, w: Sequence[Array]) -> list[Array]:
    """The tops of a layer."""
    if kind in ELEMENTS:
        return [ELEMENTS[kind](x[0], p)]
    y = LAYERS[kind](x, p, w)
    return y if isinstance(y, list) else [y]
