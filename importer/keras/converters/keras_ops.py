"""Converters: operations of Keras 3 (keras.ops) as layers of a model.

Such a layer has what the operation was built with as its options; its call has the tensors and
constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras
from .functions import FUNCTIONS
from .functions.calling import call, parameters, unmasked
from .functions.operand import axes_of, floats, number, tensor

PLAIN: Mapping[str, str] = {
    # numpy
    **{name: name.lower() for name in (
        "Absolute", "Add", "All", "Amax", "Amin", "Any", "Arccos", "Arccosh", "Arcsin", "Arcsinh",
        "Arctan", "Arctanh", "Ceil", "Clip", "Concatenate", "Copy", "Cos", "Cosh", "Diff", "Divide",
        "Dot", "Equal", "Exp", "Expm1", "Flip", "Floor", "Greater", "Isnan", "Less", "Log",
        "Log10", "Log1p", "Log2", "Matmul", "Max", "Maximum", "Mean", "Min", "Minimum", "Mod",
        "Moveaxis", "Multiply", "Ndim", "Negative", "Pad", "Power", "Prod", "Ravel", "Reciprocal",
        "Repeat", "Reshape", "Roll", "Sign", "Sin", "Sinh", "Size", "Split", "Sqrt", "Square",
        "Squeeze", "Stack", "Std", "Subtract", "Sum", "Swapaxes", "Take", "Tan", "Tanh",
        "Tensordot", "Tile", "Transpose", "Var", "Where", "GetItem",
    )},
    "BroadcastTo": "broadcast_to",
    "CountNonzero": "count_nonzero",
    "DivideNoNan": "divide_no_nan",
    "ExpandDims": "expand_dims",
    "Fabs": "abs",
    "FloorDivide": "floor_divide",
    "Fmax": "maximum",
    "Fmin": "minimum",
    "FullLike": "full_like",
    "GreaterEqual": "greater_equal",
    "LessEqual": "less_equal",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "LogicalXor": "logical_xor",
    "NotEqual": "not_equal",
    "OnesLike": "ones_like",
    "TakeAlongAxis": "take_along_axis",
    "TrueDivide": "divide",
    "ZerosLike": "zeros_like",
    # nn
    **{name: name.lower() for name in (
        "Celu", "Elu", "Gelu", "Glu", "Moments", "Normalize", "Relu", "Relu6", "Selu", "Sigmoid",
        "Silu", "Softmax", "Softplus", "Softsign", "Sparsemax", "Squareplus", "Threshold", "Conv",
    )},
    "AdaptiveAveragePool": "adaptive_average_pool",
    "AdaptiveMaxPool": "adaptive_max_pool",
    "AveragePool": "average_pool",
    "BatchNorm": "batch_normalization",
    "ConvTranspose": "conv_transpose",
    "DepthToSpace": "depth_to_space",
    "DepthwiseConv": "depthwise_conv",
    "DotProductAttention": "dot_product_attention",
    "HardShrink": "hard_shrink",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LayerNorm": "layer_normalization",
    "LeakyRelu": "leaky_relu",
    "LogSigmoid": "log_sigmoid",
    "LogSoftmax": "log_softmax",
    "MaxPool": "max_pool",
    "OneHot": "one_hot",
    "RMSNorm": "rms_normalization",
    "SeparableConv": "separable_conv",
    "SoftShrink": "soft_shrink",
    "SpaceToDepth": "space_to_depth",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "TanhShrink": "tanh_shrink",
    # math, image, core, linalg
    "Cast": "cast",
    "ConvertToTensor": "convert_to_tensor",
    "CropImages": "crop_images",
    "Erf": "erf",
    "Logsumexp": "logsumexp",
    "Norm": "norm",
    "PadImages": "pad_images",
    "RGBToGrayscale": "rgb_to_grayscale",
    "Resize": "resize",
    "Rsqrt": "rsqrt",
    "SaturateCast": "cast",
    "Slice": "slice",
    "StopGradient": "stop_gradient",
    "Unstack": "unstack",
}  # fmt: skip
"""The function of the vocabulary that is meant; operands come in the same order."""

OPTIONS: Mapping[str, str] = {
    "newshape": "shape",
    "num_classes": "depth",
    "x1": "x",
    "x2": "y",
    "x_max": "high",
    "x_min": "low",
}
"""The vocabulary's names for options."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "crop_to_aspect_ratio": (False,),
    "decimals": (0,),
    "fill_mode": ("constant",),
    "fill_value": (0.0,),
    "is_causal": (False,),
    "pad_to_aspect_ratio": (False,),
}
"""Options that change nothing at these values."""

KEEPING_NONE = ("axis", "shape")
"""Options in which None means something."""


def _register(kind: str, name: str) -> None:
    """Makes a converter of a function."""

    @keras(f"ops.{kind}", structured=True)
    def convert(layer: Layer, *args: Any, **more: Any) -> Any:
        return unmasked(call(layer, name, args, options_of(layer, name) | _named(more)))

    convert.__doc__ = f"keras.ops' {kind}."


def options_of(layer: Layer, function: str) -> dict[str, Any]:
    """What the operation was built with, by the names of the vocabulary."""
    known, _ = parameters(function)
    config = {option: layer.get(option, None) for option in layer.config}
    return _named({
        option: value
        for option, value in config.items()
        if value not in NEUTRAL.get(option, ())
        and (value is not None or (option in KEEPING_NONE and option in known))
    })  # fmt: skip


def _named(options: Mapping[str, Any]) -> dict[str, Any]:
    return {OPTIONS.get(option, option): value for option, value in options.items()}


for _kind, _name in PLAIN.items():
    _register(_kind, _name)


@keras("ops.Argmax", "ops.Argmin", structured=True)
def place(layer: Layer, x: Any) -> Any:
    """Where along an axis, or of all elements, the largest or smallest is."""
    axis, keepdims = layer.get("axis", None), layer.get("keepdims", False)
    name = layer.kind.lower()
    if axis is None:
        raise layer.refuse("axis", None)
    return unmasked(tensor(layer, FUNCTIONS[name](layer, x, axis, keepdims), "int32"))


@keras("ops.Cumsum", structured=True)
def cumsum(layer: Layer, x: Any) -> Any:
    """The sum of the elements up to each."""
    if (axis := layer.get("axis", None)) is None:
        raise layer.refuse("axis", None)
    y = FUNCTIONS["cumsum"](layer, x, axis)
    dtype = layer.get("dtype", None)
    return unmasked(FUNCTIONS["cast"](layer, y, dtype) if dtype else y)


@keras("ops.Einsum", structured=True)
def einsum(layer: Layer, *operands: Any) -> Any:
    """Einstein's summation."""
    return unmasked(FUNCTIONS["einsum"](layer, layer["subscripts"], *operands))


@keras("ops.Tril", "ops.Triu", structured=True)
def triangle(layer: Layer, x: Any) -> Value:
    """The lower, or upper, triangle of the last two axes; zeros elsewhere."""
    x, cut = floats(layer, x), np.tril if layer.kind == "Tril" else np.triu
    sizes = layer.shape(x)[-2:]
    if not all(isinstance(n, int) for n in sizes):
        raise layer.refuse("a triangle of the shape", sizes)
    inside = cut(np.ones([int(n) for n in sizes], np.float32), layer.get("k", 0))
    there = layer.add(ops.Greater(0.5), layer.constant(inside))
    return layer.add(ops.Fill(0.0, where=False), x, there)


@keras("ops.Average", structured=True)
def average(layer: Layer, x: Any, weights: Any = None) -> Any:
    """The mean, of elements that count differently if there are weights."""
    axis = layer.get("axis", None)
    if weights is None:
        return unmasked(FUNCTIONS["mean"](layer, x, axis))
    x, total = floats(layer, x), FUNCTIONS["sum"]
    if np.ndim(weights) == 1 and isinstance(axis, int):
        at = axes_of(layer, axis, layer.rank(x))[0]
        weights = np.reshape(weights, [-1] + [1] * (layer.rank(x) - at - 1))
    weighted = total(layer, FUNCTIONS["multiply"](layer, x, weights), axis)
    all_weights = FUNCTIONS["multiply"](layer, FUNCTIONS["ones_like"](layer, x), weights)
    return unmasked(FUNCTIONS["divide"](layer, weighted, total(layer, all_weights, axis)))


@keras("ops.Hstack", "ops.Vstack", structured=True)
def stacked(layer: Layer, xs: Any) -> Value:
    """Tensors one after the other along the second, or the first, axis."""
    return FUNCTIONS["concatenate"](layer, xs, 1 if layer.kind == "Hstack" else 0).masked(None)


@keras("ops.Round", structured=True)
def rounded(layer: Layer, x: Any) -> Value:
    """The nearest number of so many decimals."""
    scale = 10.0 ** number(layer.get("decimals", 0))
    whole = FUNCTIONS["round"](layer, FUNCTIONS["multiply"](layer, x, scale))
    return FUNCTIONS["divide"](layer, whole, scale).masked(None)


@keras("ops.Logaddexp", structured=True)
def logaddexp(layer: Layer, x1: Any, x2: Any) -> Value:
    """log(exp(x1) + exp(x2)) = x1 + softplus(x2 - x1)."""
    x1 = floats(layer, x1)
    difference = floats(layer, FUNCTIONS["subtract"](layer, x2, x1))
    return layer.add(ops.Add(), x1, layer.add(ops.Softplus(), difference))


@keras("ops.Identity", structured=True)
def identity(layer: Layer, x: Any) -> Any:
    """X itself."""
    return unmasked(x)


@keras("ops.Select", structured=True)
def select(layer: Layer, condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The first choice whose condition is true."""
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = FUNCTIONS["where"](layer, condition, choice, result)
    return unmasked(result)
