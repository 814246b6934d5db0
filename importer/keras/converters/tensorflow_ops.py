"""Converters: functions of TensorFlow as layers, as tf.keras 2.4 and later write them.

Such a layer names its function ("math.multiply"); the call has the first argument as its tensor,
and all others by TensorFlow's names for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....runtime.errors import Unsupported
from ..layer import Layer, keras
from .functions import FUNCTIONS
from .functions.calling import call, parameters, unmasked
from .functions.operand import is_tensor
from .tensorflow_functions import SPECIAL, bare

SAME = (
    "abs", "acos", "acosh", "add", "add_n", "all", "any", "argmax", "argmin", "asin", "asinh",
    "atan", "atanh", "batch_dot", "batch_flatten", "bias_add", "broadcast_to", "cast", "ceil",
    "clip", "concatenate", "convert_to_tensor", "cos", "cosh", "count_nonzero", "crelu", "cumsum",
    "depth_to_space", "divide_no_nan", "dot", "einsum", "elu", "equal", "erf", "exp",
    "expand_dims", "expm1", "exponential", "flatten", "floor", "floormod", "gather", "gelu",
    "greater", "greater_equal", "hard_sigmoid", "identity", "l2_normalize", "leaky_relu", "less",
    "less_equal", "linear", "log", "log1p", "log_sigmoid", "log_softmax", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logsumexp", "matmul", "max", "maximum", "mean",
    "min", "minimum", "mish", "mod", "moments", "multiply", "negative", "norm", "not_equal",
    "ones_like", "pad", "per_image_standardization", "permute_dimensions", "prod", "rank",
    "reciprocal", "relu", "relu6", "repeat", "repeat_elements", "reshape", "reverse",
    "rgb_to_grayscale", "rint", "roll", "round", "rsqrt", "selu", "shape", "sigmoid", "sign",
    "silu", "sin", "sinh", "size", "softmax", "softplus", "softsign", "space_to_depth", "sqrt",
    "square", "squared_difference", "squeeze", "stack", "std", "stop_gradient", "subtract", "sum",
    "swish", "take_along_axis", "tan", "tanh", "tensordot", "tile", "transpose", "unstack", "var",
    "where", "zeros_like",
)  # fmt: skip
"""Functions whose name and options are those of the vocabulary, but for ``OPTIONS``."""

RENAMED: Mapping[str, str] = {
    **{name: name for name in SAME},
    **{
        f"reduce_{name}": name for name in ("all", "any", "logsumexp", "max", "mean", "min", "prod")
    },
    "reduce_sum": "sum",
    "reduce_std": "std",
    "reduce_variance": "var",
    "clip_by_value": "clip",
    "concat": "concatenate",
    "div": "divide",
    "divide": "divide",
    "fill": "full",
    "floordiv": "floor_divide",
    "floor_div": "floor_divide",
    "is_nan": "isnan",
    "log_softmax_v2": "log_softmax",
    "neg": "negative",
    "permute": "transpose",
    "pow": "power",
    "realdiv": "divide",
    "scalar_mul": "multiply",
    "sub": "subtract",
    "truediv": "divide",
}
"""The function of the vocabulary that is meant."""

OPTIONS: Mapping[str, str] = {
    "a": "x",
    "b": "y",
    "alpha": "negative_slope",
    "clip_value_max": "high",
    "clip_value_min": "low",
    "dim": "axis",
    "dims": "axis",
    "keep_dims": "keepdims",
    "max_value": "high",
    "min_value": "low",
    "multiples": "repeats",
    "pattern": "axes",
    "paddings": "pad_width",
    "perm": "axes",
    "reduction_indices": "axis",
    "rep": "repeats",
    "squeeze_dims": "axis",
    "transpose_a": "transpose_x",
    "transpose_b": "transpose_y",
}
"""The vocabulary's names for TensorFlow's options."""


@keras("TFOpLambda", structured=True)
def tensorflow_function(layer: Layer, *args: Any, **options: Any) -> Any:
    """One function of TensorFlow."""
    function = str(layer["function"])
    options.pop("name", None)
    name = bare(function)
    if not any(map(is_tensor, (*args, *options.values()))) and name == "einsum":
        raise Unsupported(f"{layer.title}: tf.keras does not write what {function} is called on")
    if name in SPECIAL:
        return unmasked(SPECIAL[name](layer, *args, **options))
    if name not in RENAMED:
        raise Unsupported(f"{layer.title}: TensorFlow's function {function} is not supported")
    ours = RENAMED[name]
    named = {_option(ours, o): value for o, value in options.items() if value is not None}
    return unmasked(call(layer, ours, args, named))


def _option(function: str, option: str) -> str:
    return option if option in parameters(function)[0] else OPTIONS.get(option, option)


@keras("SlicingOpLambda", structured=True)
def slicing(layer: Layer, x: Any, slice_spec: Any) -> Any:
    """x[...]."""
    if (function := layer["function"]) != "__operators__.getitem":
        raise layer.refuse("function", function)
    entries = slice_spec if isinstance(slice_spec, list) else [slice_spec]
    return unmasked(FUNCTIONS["getitem"](layer, x, tuple(_key(entry) for entry in entries)))


def _key(entry: Any) -> Any:
    if isinstance(entry, dict):
        if entry.get("class_name") == "__ellipsis__":
            return ...
        return slice(entry.get("start"), entry.get("stop"), entry.get("step"))
    return entry


@keras("ClassMethod", "InstanceMethod", "InstanceProperty", structured=True)
def method(layer: Layer, *args: Any, **options: Any) -> Any:
    """A method of a class of TensorFlow: none is known."""
    del args, options
    names = [layer.get(o, None) for o in ("cls_symbol", "method_name", "attr_name", "cls_ref")]
    named = ".".join(str(name) for name in names if name)
    raise Unsupported(f"{layer.title}: TensorFlow's {named or 'method'} is not supported")
