"""What neon computes, in NumPy and in neon's own layout: the batch is the last axis.

Written after the layers and the CPU backend of neon 2.6. A tensor is (features, N), (features,
steps, N) or (channels, height, width, N).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Values = dict[str, Array]


def run(layers: Sequence[Any], x: Array, *, caffe: bool = False) -> Values:
    """The output of every layer, by name."""
    values: Values = {"": x}
    _chain(layers, x, values, caffe)
    return values


def shown(value: Array) -> Array:
    """As neon gives outputs: the batch first, and steps before features."""
    if value.ndim == 3:
        return value.transpose(2, 1, 0)
    return np.moveaxis(value, -1, 0)


def _chain(layers: Sequence[Any], x: Array, values: Values, caffe: bool) -> Array:
    for layer in layers:
        kind, config = layer["type"].rsplit(".", 1)[-1], dict(layer["config"])
        name, params = config.pop("name"), layer.get("params", {})
        if kind in ("MergeSum", "MergeBroadcast", "Tree", "SingleOutputTree"):
            ends = [_chain(b["config"]["layers"], x, values, caffe) for b in config["layers"]]
            x = _joined(kind, config, ends)
        elif kind == "BranchNode":
            x = values.setdefault(name, x)
        elif kind in ("Pooling", "Dropout"):
            x = LAYERS[kind](x, params, config | {"caffe": caffe})
        else:
            x = LAYERS[kind](x, params, config)
        values[name] = x
    return x


def _joined(kind: str, config: Mapping[str, Any], ends: Sequence[Array]) -> Array:
    if kind == "MergeSum":
        return sum(ends[1:], ends[0])
    if kind != "MergeBroadcast":
        return ends[0]
    if config["merge"] == "stack":
        ends = [end.reshape(-1, end.shape[-1]) for end in ends]
    return np.concatenate(ends, 1 if config["merge"] == "recurrent" else 0)


def _flat(x: Array) -> Array:
    return x if x.ndim == 3 else x.reshape(-1, x.shape[-1])


def _linear(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    return np.tensordot(params["W"], _flat(x), 1)


def _bias(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    return (x.reshape(len(x), -1) + params["W"]).reshape(x.shape)


def _batch_norm(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    flat = x.reshape(len(x), -1)
    scaled = (flat - params["gmean"]) / np.sqrt(params["gvar"] + config.get("eps", 1e-3))
    return (scaled * params["gamma"] + params["beta"]).reshape(x.shape)


def function(transform: Mapping[str, Any]) -> Callable[[Array], Array]:
    """An activation."""
    kind, given = transform["type"].rsplit(".", 1)[-1], transform.get("config", {})
    slope, alpha = given.get("slope", 0), given.get("alpha", 1.0)

    def leaky(x: Array) -> Array:
        return np.maximum(x, 0) + slope * np.minimum(x, 0)

    def clipped(x: Array) -> Array:
        return np.minimum(leaky(x), given.get("xcut", 20.0))

    def explin(x: Array) -> Array:
        return np.maximum(x, 0) + alpha * (np.exp(np.minimum(x, 0)) - 1)

    def logistic(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    def divided(x: Array) -> Array:
        return x / given.get("divisor", 128.0)

    def softmax(x: Array) -> Array:
        flat = _flat(x)
        raised = np.exp(flat - flat.max(0))
        return (raised / raised.sum(0)).reshape(x.shape)

    def pixelwise(x: Array) -> Array:
        raised = np.exp(x - x.max(0))
        return raised / raised.sum(0)

    return {
        "Identity": np.asarray,
        "Rectlin": leaky,
        "Rectlinclip": clipped,
        "Explin": explin,
        "Logistic": logistic,
        "Tanh": np.tanh,
        "Normalizer": divided,
        "Softmax": softmax,
        "PixelwiseSoftmax": pixelwise,
    }[kind]


def _activation(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return function(config["transform"])(x)


def _dropout(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return x if config["caffe"] else x * config.get("keep", 0.5)


def _two(given: Any, prefix: str, usual: int) -> tuple[int, int]:
    if isinstance(given, int):
        return given, given
    return given.get(f"{prefix}h", usual), given.get(f"{prefix}w", usual)


def _convolution(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    r, s, k = config["fshape"]
    down, right = _two(config.get("strides", {}), "str_", 1)
    tall, wide = _two(config.get("dilation", {}), "dil_", 1)
    weights = params["W"].reshape(len(x), r, s, k)
    padded = _padded(x, _two(config.get("padding", {}), "pad_", 0))
    rows = (padded.shape[1] - tall * (r - 1) - 1) // down + 1
    columns = (padded.shape[2] - wide * (s - 1) - 1) // right + 1
    y = np.zeros((k, rows, columns, x.shape[-1]))
    for p in range(rows):
        for q in range(columns):
            window = padded[:, p * down :: tall, q * right :: wide][:, :r, :s]
            y[:, p, q] = np.einsum("crsk,crsn->kn", weights, window)
    if "weight_bias" in params:
        y += params["weight_bias"].reshape(-1, 1, 1, 1)
    return y


def _deconvolution(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    r, s, c = config["fshape"]
    down, right = _two(config.get("strides", {}), "str_", 1)
    above, left = _two(config.get("padding", {}), "pad_", 0)
    weights = params["W"].reshape(c, r, s, len(x))
    rows, columns = (x.shape[1] - 1) * down + r, (x.shape[2] - 1) * right + s
    y = np.zeros((c, rows, columns, x.shape[-1]))
    for p in range(x.shape[1]):
        for q in range(x.shape[2]):
            spread = np.einsum("crsk,kn->crsn", weights, x[:, p, q])
            y[:, p * down : p * down + r, q * right : q * right + s] += spread
    return y[:, above : rows - above, left : columns - left]


def _padded(x: Array, pads: tuple[int, int]) -> Array:
    return np.pad(x, ((0, 0), *((n, n) for n in pads), (0, 0)))


def _count(n: int, k: int, pad: int, step: int, caffe: bool) -> int:
    if not caffe:
        return (n - k + 2 * pad) // step + 1
    size = ceil((n - k + 2 * pad) / step) + 1
    return size - 1 if pad > 0 and (size - 1) * step >= n + pad else size


def _pooling(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    """Windows are cut at the edges, so that what is padded is no element."""
    how = {"max": np.max, "avg": np.mean}[config.get("op", "max")]
    if config["fshape"] == "all":
        return how(x, (1, 2), keepdims=True)
    size = config["fshape"]
    r, s = (size, size) if isinstance(size, int) else size
    strides = config.get("strides", {})
    down, right = _two(strides, "str_", 0) if strides != {} else (r, s)
    above, left = _two(config.get("padding", {}), "pad_", 0)
    rows = _count(x.shape[1], r, above, down, config["caffe"])
    columns = _count(x.shape[2], s, left, right, config["caffe"])
    y = np.zeros((len(x), rows, columns, x.shape[-1]))
    for p in range(rows):
        for q in range(columns):
            top, first = p * down - above, q * right - left
            window = x[:, max(top, 0) : top + r, max(first, 0) : first + s]
            y[:, p, q] = how(window, (1, 2))
    return y


def _lrn(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    depth, y = config["depth"], np.empty_like(x)
    for c in range(len(x)):
        near = x[max(0, c - depth // 2) : c + depth // 2 + 1]
        scale = 1 + config.get("ascale", 1.0) / depth * np.square(near).sum(0)
        y[c] = x[c] * scale ** -config.get("bpower", 1.0)
    return y


def _lookup_table(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
    return params["W"][x.astype(int)].transpose(2, 0, 1)


def _reshape(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    shape = config["reshape"]
    sizes = [shape] if isinstance(shape, int) else list(shape)
    sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return x.reshape(*sizes, x.shape[-1])


def _series(x: Array) -> Array:
    """(features, steps, N); of an image, the width is the steps."""
    if x.ndim == 2:
        return x[:, None]
    return x if x.ndim == 3 else x.reshape(-1, *x.shape[-2:])


def _parts(w: Array, inputs: int, units: int) -> tuple[Array, Array, Array]:
    width = w.shape[1]
    rows = w[:inputs].reshape(width, inputs), w[inputs:-1].reshape(width, units)
    return *rows, w[-1:].reshape(width, 1)


def _unrolled(
    kind: str, x: Array, weights: tuple[Array, Array, Array], config: Mapping[str, Any]
) -> Array:
    """One direction, from states of zeros."""
    w, r, b = weights
    units, activation = config["output_size"], function(config["activation"])
    gate = function(config.get("gate_activation", config["activation"]))
    h, c = np.zeros((units, x.shape[-1])), np.zeros((units, x.shape[-1]))
    found: list[Array] = []
    for t in range(x.shape[1]):
        fed = w @ x[:, t]
        if kind == "Recurrent":
            h = activation(fed + r @ h + b)
        elif kind == "LSTM":
            i, f, o, g = np.split(fed + r @ h + b, 4)
            c = gate(f) * c + gate(i) * activation(g)
            h = gate(o) * activation(c)
        else:
            both = gate(fed[: 2 * units] + r[: 2 * units] @ h + b[: 2 * units])
            reset, z = np.split(both, 2)
            new = fed[2 * units :] + r[2 * units :] @ (reset * h) + b[2 * units :]
            h = (1 - z) * h + z * activation(new)
        found.append(h)
    return np.stack(found, 1)


def _recurrent(kind: str) -> Callable[..., Array]:
    def forward(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
        x = _series(x)
        return _unrolled(kind, x, _parts(params["W"], len(x), config["output_size"]), config)

    return forward


def _both_ways(kind: str) -> Callable[..., Array]:
    def forward(x: Array, params: Mapping[str, Array], config: Mapping[str, Any]) -> Array:
        x, units, w = _series(x), config["output_size"], params["W"]
        halves = np.split(x, 2) if config.get("split_inputs") else [x, x]
        n = len(halves[0])
        ends: list[Array] = []
        for i, half in enumerate(halves):
            state = w[2 * n + i * units : 2 * n + (i + 1) * units]
            own = np.concatenate([w[i * n : (i + 1) * n], state, w[i - 2 :][:1]])
            step = -1 if i else 1
            made = _unrolled(kind, half[:, ::step], _parts(own, n, units), config)
            ends.append(made[:, ::step])
        return np.concatenate(ends)

    return forward


def _bi_sum(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return x[: len(x) // 2] + x[len(x) // 2 :]


def _sum(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return x.sum(1)


def _mean(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return x.mean(1)


def _last(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return x[:, -1]


def _same(x: Array, params: Any, config: Mapping[str, Any]) -> Array:
    return x


LAYERS: Mapping[str, Callable[..., Array]] = {
    "Linear": _linear,
    "Bias": _bias,
    "BatchNorm": _batch_norm,
    "Activation": _activation,
    "DataTransform": _activation,
    "Dropout": _dropout,
    "Convolution": _convolution,
    "Convolution_bias": _convolution,
    "Deconvolution": _deconvolution,
    "Pooling": _pooling,
    "LRN": _lrn,
    "LookupTable": _lookup_table,
    "Reshape": _reshape,
    "Recurrent": _recurrent("Recurrent"),
    "LSTM": _recurrent("LSTM"),
    "GRU": _recurrent("GRU"),
    "BiRNN": _both_ways("Recurrent"),
    "BiLSTM": _both_ways("LSTM"),
    "BiSum": _bi_sum,
    "RecurrentSum": _sum,
    "RecurrentMean": _mean,
    "RecurrentLast": _last,
    "SkipNode": _same,
}
