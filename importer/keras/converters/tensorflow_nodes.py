"""Converters: nodes of a TensorFlow graph as layers, as tf.keras 2.0 to 2.3 write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ....runtime.errors import UnreadableFile, Unsupported
from ..builder import Value
from ..layer import Layer, keras
from .functions import FUNCTIONS
from .functions.calling import call, unmasked
from .functions.operand import folded, wholes
from .node_def import Node, read_node
from .tensorflow_functions import resize_as_before

PLAIN: Mapping[str, str] = {
    **{name: name.lower() for name in (
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Elu",
        "Equal", "Erf", "Exp", "Expm1", "Floor", "Greater", "Less", "Log", "Log1p", "Maximum",
        "Minimum", "Reciprocal", "Relu", "Relu6", "Rint", "Round", "Rsqrt", "Selu", "Shape", "Size",
        "Rank", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Square", "Tan",
        "Tanh", "Identity", "Tile", "Reshape", "Transpose",
    )},
    "Add": "add",
    "AddV2": "add",
    "BatchMatMul": "matmul",
    "BatchMatMulV2": "matmul",
    "BroadcastTo": "broadcast_to",
    "ClipByValue": "clip",
    "DivNoNan": "divide_no_nan",
    "ExpandDims": "expand_dims",
    "Fill": "full",
    "FloorDiv": "floor_divide",
    "FloorMod": "mod",
    "GreaterEqual": "greater_equal",
    "Inv": "reciprocal",
    "IsNan": "isnan",
    "LessEqual": "less_equal",
    "LogSoftmax": "log_softmax",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "Mod": "mod",
    "Mul": "multiply",
    "Neg": "negative",
    "NotEqual": "not_equal",
    "OnesLike": "ones_like",
    "Pow": "power",
    "RealDiv": "divide",
    "ReverseV2": "flip",
    "Roll": "roll",
    "SelectV2": "where",
    "Slice": "slice",
    "Softmax": "softmax",
    "SquaredDifference": "squared_difference",
    "StopGradient": "stop_gradient",
    "Sub": "subtract",
    "ZerosLike": "zeros_like",
    **{name: name.lower() for name in ("All", "Any", "Max", "Mean", "Min", "Prod", "Sum")},
}  # fmt: skip
"""The function of the vocabulary that takes the inputs as they are."""

ATTRIBUTES: Mapping[str, str] = {
    "adj_x": "transpose_x",
    "adj_y": "transpose_y",
    "alpha": "negative_slope",
    "block_size": "block_size",
    "dilations": "dilation_rate",
    "exclusive": "exclusive",
    "keep_dims": "keepdims",
    "ksize": "pool_size",
    "padding": "padding",
    "data_format": "data_format",
    "reverse": "reverse",
    "squeeze_dims": "axis",
    "strides": "strides",
    "transpose_a": "transpose_x",
    "transpose_b": "transpose_y",
}
"""The vocabulary's names for attributes."""

INERT = frozenset(
    {"T", "TI", "Tidx", "Tindices", "Tparams", "Taxis", "Tpaddings", "Tperm", "Tshape", "Tdim",
     "Tlen", "Tmultiples", "Tshift", "Tblock_shape", "Taxes", "N", "Index", "out_type", "SrcT",
     "Truncate", "_cloned", "_output_shapes", "incompatible_shape_error", "use_cudnn_on_gpu",
     "explicit_paddings", "_class", "validate_indices"}
)  # fmt: skip
"""Attributes that repeat the types, or change nothing."""

Convert = Callable[[Layer, Sequence[Any], dict[str, Any]], Any]
NODES: dict[str, Convert] = {}
"""Operations whose inputs or attributes mean something else."""


def node(*names: str) -> Callable[[Convert], Convert]:
    """Registers an operation: a function of the inputs in order, and of its attributes."""

    def register(convert: Convert) -> Convert:
        NODES.update(dict.fromkeys(names, convert))
        return convert

    return register


@keras("TensorFlowOpLayer", structured=True)
def tensorflow_node(layer: Layer, *args: Any, **more: Any) -> Any:
    """One node of a graph of TensorFlow; ``constants`` are inputs by their place."""
    found = read_node(layer["node_def"])
    tensors = _flat((*args, *more.values()))
    constants = {int(place): value for place, value in (layer.get("constants", None) or {}).items()}
    for place in sorted(constants):
        tensors.insert(place, folded(np.asarray(_array(constants[place]))))
    if len(tensors) != found.inputs:
        raise UnreadableFile(
            f"{layer.title}: {len(tensors)} inputs for {found.op}, which has {found.inputs}"
        )
    return unmasked(_converted(layer, found, tensors))


def _flat(args: Any) -> list[Any]:
    if isinstance(args, list | tuple):
        return [x for arg in args for x in _flat(arg)]
    return [args]


def _array(constant: Any) -> Any:
    """A constant; one of NumPy's arrays may have been written as an object."""
    if isinstance(constant, dict):
        return constant.get("value", constant.get("config", {}).get("value"))
    return constant


def _converted(layer: Layer, found: Node, x: Sequence[Any]) -> Any:
    attributes = {key: value for key, value in found.attributes.items() if key not in INERT}
    if found.op in NODES:
        return NODES[found.op](layer, x, attributes)
    if found.op not in PLAIN:
        raise Unsupported(f"{layer.title}: TensorFlow's operation {found.op} is not supported")
    name = PLAIN[found.op]
    return call(layer, name, x, named(attributes))


def named(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by the vocabulary's names."""
    return {ATTRIBUTES.get(key, key): value for key, value in attributes.items()}


def _options_alone(name: str) -> Convert:
    """A function of one tensor whose options are all attributes."""
    return lambda layer, x, attributes: call(layer, name, x, named(attributes))


for _op, _name in {
    "AvgPool": "average_pool",
    "Conv2D": "conv",
    "DepthToSpace": "depth_to_space",
    "DepthwiseConv2dNative": "depthwise_conv",
    "LeakyRelu": "leaky_relu",
    "MatMul": "matmul",
    "MaxPool": "max_pool",
    "SpaceToDepth": "space_to_depth",
    "Cumsum": "cumsum",
    "BiasAdd": "bias_add",
}.items():
    NODES[_op] = _options_alone(_name)


@node("Squeeze")
def _squeeze(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "squeeze", x, {"axis": attributes.pop("squeeze_dims", None), **attributes})


@node("Cast")
def _cast(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "cast", (*x, attributes.pop("DstT")), attributes)


@node("AddN")
def _sum(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "add_n", (x,), attributes)


@node("ConcatV2")
def _concatenate(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "concatenate", (list(x[:-1]), x[-1]), attributes)


@node("Pack")
def _stack(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "stack", (list(x),), attributes)


@node("Unpack")
def _unstack(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "unstack", x, attributes)


@node("Split")
def _split(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    axis, value = x
    return call(layer, "split", (value, attributes.pop("num_split"), axis), attributes)


@node("SplitV")
def _split_at(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    attributes.pop("num_split", None)
    value, sizes, axis = x
    cuts = np.cumsum(wholes(layer, sizes, "size_splits"))[:-1].tolist()
    return call(layer, "split", (value, cuts, axis), attributes)


@node("GatherV2", "Gather")
def _gather(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    value, ids, *axis = x
    return call(layer, "gather", (value, ids, axis[0] if axis else 0), attributes)


@node("Pad", "PadV2", "MirrorPad")
def _pad(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    value, pairs, *filler = x
    mode = attributes.pop("mode", "constant")
    return call(layer, "pad", (value, pairs, mode, filler[0] if filler else 0), attributes)


@node("ArgMax", "ArgMin")
def _place(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    attributes.pop("output_type", None)
    found = read_node(layer["node_def"])
    return call(layer, found.op.lower(), x, attributes)


@node("OneHot")
def _one_hot(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    ids, depth, on, off = x
    y = FUNCTIONS["one_hot"](layer, ids, depth, attributes.get("axis", -1))
    if (on, off) == (1, 0):
        return y
    return FUNCTIONS["add"](layer, FUNCTIONS["multiply"](layer, y, on - off), off)


@node("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic")
def _resize(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    methods = {"ResizeBilinear": "bilinear", "ResizeBicubic": "bicubic"}
    method = methods.get(read_node(layer["node_def"]).op, "nearest_neighbor")
    return resize_as_before(layer, *x, **attributes, method=method)


@node("Select")
def _select(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    condition, *values = x
    if isinstance(condition, Value) and layer.rank(condition) == 1:  # it chooses whole rows
        rank = max(layer.rank(v) for v in values if isinstance(v, Value))
        condition = FUNCTIONS["expand_dims"](layer, condition, list(range(1, rank)))
    return call(layer, "where", (condition, *values), attributes)


@node("Einsum")
def _einsum(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    return call(layer, "einsum", (attributes.pop("equation"), *x), attributes)


@node("StridedSlice")
def _strided_slice(layer: Layer, x: Sequence[Any], attributes: dict[str, Any]) -> Any:
    """Bounds as arrays, with a bit mask for each of the things an entry may mean instead."""
    value, begins, ends, steps = x
    masks = {
        what: int(attributes.pop(f"{what}_mask", 0))
        for what in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }

    def key(i: int) -> Any:
        bit = 1 << i
        if masks["ellipsis"] & bit:
            return ...
        if masks["new_axis"] & bit:
            return None
        if masks["shrink_axis"] & bit:
            return begins[i]
        begin = None if masks["begin"] & bit else begins[i]
        return slice(begin, None if masks["end"] & bit else ends[i], steps[i])

    begins, ends, steps = (_entries(bounds) for bounds in (begins, ends, steps))
    return call(layer, "getitem", (value, tuple(key(i) for i in range(len(begins)))), attributes)


def _entries(bounds: Any) -> list[Any]:
    bounds = folded(bounds)
    return list(bounds) if isinstance(bounds, list | tuple | np.ndarray) else [bounds]
