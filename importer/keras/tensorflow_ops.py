"""Converters: functions of TensorFlow as layers, as tf.keras 2.4 and later write them.

Such a layer names its function ("math.multiply"); the call has the first argument as its tensor,
and all others by TensorFlow's names for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...runtime import ops
from ...runtime.errors import Unsupported
from .functions import FUNCTIONS
from .functions.calling import call, parameters, unmasked
from .functions.elementwise import cast
from .functions.operand import is_tensor, number, shown, wholes
from .functions.reduction import reduced
from .layer import Layer, keras

PACKAGES = (
    "compat.v1.", "__operators__.", "keras.activations.", "keras.backend.", "math.", "linalg.",
    "nn.", "image.", "ragged.", "tf.", "raw_ops.",
)  # fmt: skip

"""Where TensorFlow keeps its functions; the same name means the same in all of them."""

SAME = """
    abs acos acosh add add_n argmax argmin asin asinh atan atanh bias_add broadcast_to cast ceil
    convert_to_tensor cos cosh count_nonzero crelu cumsum depth_to_space divide_no_nan einsum elu
    equal erf exp expand_dims expm1 floor floormod gelu greater greater_equal hard_sigmoid identity
    l2_normalize leaky_relu less less_equal log log1p log_sigmoid log_softmax logical_and
    logical_not logical_or logical_xor matmul maximum minimum mod moments multiply negative norm
    not_equal ones_like pad per_image_standardization rank reciprocal relu relu6 repeat reshape
    reverse rgb_to_grayscale rint roll round rsqrt selu shape sigmoid sign silu sin sinh size
    softmax softplus softsign space_to_depth sqrt square squared_difference squeeze stack
    stop_gradient subtract swish take_along_axis tan tanh tensordot tile transpose unstack where
    zeros_like linear exponential mish batch_dot batch_flatten dot permute_dimensions concatenate
    repeat_elements flatten all any max mean min prod std sum var logsumexp clip gather
""".split()
"""Functions whose name and options are those of the vocabulary, but for ``OPTIONS``."""

RENAMED: Mapping[str, str] = {
    **{name: name for name in SAME},
    **{f"reduce_{name}": name for name in ("all", "any", "logsumexp", "max", "mean", "min", "prod")},
    "reduce_sum": "sum",
    "reduce_std": "std",
    "reduce_variance": "var",
    "clip_by_value": "clip",
    "concat": "concatenate",
    "div": "divide",
    "divide": "divide",
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

Special = Callable[..., Any]
SPECIAL: dict[str, Special] = {}
"""Functions whose arguments mean something else."""


def tensorflow(*names: str) -> Callable[[Special], Special]:
    """Registers a function of TensorFlow that needs more than other names."""

    def register(compute: Special) -> Special:
        SPECIAL.update(dict.fromkeys(names, compute))
        return compute

    return register


def bare(name: str) -> str:
    """A function's name without the package it is in."""
    while package := next((p for p in PACKAGES if name.startswith(p)), None):
        name = name.removeprefix(package)
    return name


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


@tensorflow("getitem", "slice_helper")
def _getitem(layer: Layer, x: Any, slice_spec: Any, **options: Any) -> Any:
    return call(layer, "getitem", (x, slice_spec), options)


@tensorflow("ones", "zeros", "fill", "constant")
def _filled(layer: Layer, *args: Any, **options: Any) -> Any:
    name = bare(str(layer["function"]))
    if is_tensor(args) or any(map(is_tensor, options.values())):
        raise layer.refuse("function", name)
    shape = np.asarray(args[0])
    if shape.dtype == object:  # it is broadcast to what it meets, or refused there
        raise layer.refuse("filling the shape", shown(shape))
    value = {"ones": 1.0, "zeros": 0.0}.get(name, options.get("value"))
    return shape if name == "constant" else np.full(shape, value, np.float32)


@tensorflow("split")
def _split(layer: Layer, x: Any, num_or_size_splits: Any, axis: Any = 0, num: Any = None) -> Any:
    del num
    if number(num_or_size_splits) is not None:
        return FUNCTIONS["split"](layer, x, num_or_size_splits, axis)
    sizes = wholes(layer, num_or_size_splits, "num_or_size_splits")
    if -1 in sizes[:-1]:
        raise layer.refuse("num_or_size_splits", list(sizes))
    cuts = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return FUNCTIONS["split"](layer, x, cuts, axis)


@tensorflow("argmax", "argmin")
def _place(layer: Layer, x: Any, axis: Any = 0, output_type: Any = "int64", **more: Any) -> Any:
    axis = more.pop("dimension", axis)
    y = call(layer, bare(str(layer["function"])), (x, 0 if axis is None else axis), more)
    return cast(layer, y, output_type)


@tensorflow("cumsum")
def _cumsum(layer: Layer, x: Any, axis: Any = 0, **options: Any) -> Any:
    return call(layer, "cumsum", (x, axis), options)


@tensorflow("concat")
def _concat(layer: Layer, values: Any, axis: Any = None, **options: Any) -> Any:
    return call(layer, "concatenate", (values, axis), options)


@tensorflow("l2_normalize")
def _l2_normalize(layer: Layer, x: Any, axis: Any = None, **options: Any) -> Any:
    options = {"axis" if name == "dim" else name: value for name, value in options.items()}
    return call(layer, "l2_normalize", (x,), {"axis": axis, **options})


@tensorflow("size")
def _size(layer: Layer, x: Any, out_type: Any = "int32", **options: Any) -> Any:
    del out_type
    return call(layer, "size", (x,), options)


@tensorflow("shape", "shape_v2", "int_shape")
def _shape(layer: Layer, x: Any, out_type: Any = "int32", **options: Any) -> Any:
    del out_type  # sizes are known, or take part in shapes only
    return call(layer, "shape", (x,), options)


@tensorflow("repeat")
def _repeat(layer: Layer, x: Any, repeats: Any, axis: Any = None, **options: Any) -> Any:
    return call(layer, "repeat", (x, repeats, axis), options)


@tensorflow("one_hot")
def _one_hot(
    layer: Layer, x: Any, depth: Any = None, on_value: Any = None, off_value: Any = None,
    axis: Any = None, dtype: Any = None, num_classes: Any = None,
) -> Any:  # fmt: skip
    on, off = (1 if on_value is None else on_value), (0 if off_value is None else off_value)
    count = num_classes if depth is None else depth
    y = FUNCTIONS["one_hot"](layer, x, count, -1 if axis is None else axis)
    if (on, off) != (1, 0):
        y = FUNCTIONS["add"](layer, FUNCTIONS["multiply"](layer, y, on - off), off)
    return cast(layer, y, dtype or "float32")


@tensorflow("resize", "resize_v2")
def _resize(
    layer: Layer, x: Any, size: Any, method: str = "bilinear", preserve_aspect_ratio: bool = False,
    antialias: bool = False, **options: Any,
) -> Any:  # fmt: skip
    if preserve_aspect_ratio:
        raise layer.refuse("preserve_aspect_ratio", True)
    name = str(method).lower()
    if name == "bicubic" and not antialias:
        name = "tabulated_bicubic"
    return call(layer, "resize", (x, size, name, antialias), options)


@tensorflow("resize_bilinear", "resize_nearest_neighbor", "resize_bicubic")
def resize_as_before(
    layer: Layer, x: Any, size: Any, align_corners: bool = False, half_pixel_centers: bool = False,
    method: str = "", **options: Any,
) -> Any:  # fmt: skip
    """The resizing of TensorFlow 1, whose pixels lie at their numbers unless it is told."""
    method = method or bare(str(layer["function"])).removeprefix("resize_")
    known = {
        ("bilinear", False): "corner_bilinear",
        ("bilinear", True): "bilinear",
        ("nearest_neighbor", True): "nearest",
        ("bicubic", True): "tabulated_bicubic",
    }
    if align_corners:
        raise layer.refuse("align_corners", True)
    if method == "nearest_neighbor" and not half_pixel_centers:
        return nearest_as_before(layer, x, size)
    if (method, bool(half_pixel_centers)) not in known:
        raise layer.refuse("half_pixel_centers", half_pixel_centers)
    return call(layer, "resize", (x, size, known[method, bool(half_pixel_centers)]), options)


def nearest_as_before(layer: Layer, x: Any, size: Any) -> Any:
    """Pixel floor(i * size / new size): TensorFlow 1's nearest neighbour."""
    wanted, have = wholes(layer, size, "size"), layer.shape(x)[1:3]
    for axis, (n, m) in enumerate(zip(have, wanted, strict=True), 1):
        if isinstance(n, str):
            raise layer.refuse("resizing the open size", n)
        x = FUNCTIONS["take"](layer, x, [i * n // m for i in range(m)], axis)
    return x


@tensorflow("max_pool", "max_pool2d", "max_pool1d", "max_pool3d", "max_pool_v2")
def _max_pool(layer: Layer, x: Any, ksize: Any = None, **options: Any) -> Any:
    ksize = options.pop("pool_size", ksize)
    return call(layer, "max_pool", (x, ksize), options)


@tensorflow("avg_pool", "avg_pool2d", "avg_pool1d", "avg_pool3d", "avg_pool_v2")
def _average_pool(layer: Layer, x: Any, ksize: Any = None, **options: Any) -> Any:
    ksize = options.pop("pool_size", ksize)
    return call(layer, "average_pool", (x, ksize), options)


@tensorflow("conv1d", "conv2d", "conv3d", "convolution")
def _conv(layer: Layer, x: Any, filters: Any = None, dilations: Any = None, **options: Any) -> Any:
    kernel = filters if (given := options.pop("filter", None)) is None else given
    return call(layer, "conv", (x, kernel), {**options, "dilation_rate": dilations})


@tensorflow("depthwise_conv2d", "depthwise_conv2d_native")
def _depthwise(
    layer: Layer, x: Any, filter: Any, dilations: Any = None, **options: Any
) -> Any:
    return call(layer, "depthwise_conv", (x, filter), {**options, "dilation_rate": dilations})


@tensorflow("batch_normalization")
def _batch_normalization(
    layer: Layer, x: Any, mean: Any, variance: Any, offset: Any = None, scale: Any = None,
    variance_epsilon: float = 1e-3, **options: Any,
) -> Any:  # fmt: skip
    given = {"offset": offset, "scale": scale, "epsilon": variance_epsilon}
    return call(layer, "batch_normalization", (x, mean, variance), {**given, **options})


@tensorflow("cosine_similarity")
def _cosine(layer: Layer, y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    both = (FUNCTIONS["l2_normalize"](layer, y, axis) for y in (y_true, y_pred))
    product = FUNCTIONS["multiply"](layer, *both)
    return FUNCTIONS["negative"](layer, reduced(layer, ops.ReduceSum, product, axis))


@tensorflow("sequence_mask")
def _sequence_mask(layer: Layer, lengths: Any, maxlen: Any = None, dtype: Any = "bool") -> Any:
    places = np.arange(wholes(layer, maxlen, "maxlen")[0], dtype=np.int32)
    mask = FUNCTIONS["greater"](layer, FUNCTIONS["expand_dims"](layer, lengths, -1), places)
    return cast(layer, mask, dtype)


@tensorflow("reduce_euclidean_norm")
def _length(layer: Layer, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return FUNCTIONS["norm"](layer, x, None, axis, keepdims)


