"""Functions of TensorFlow whose arguments mean something else than those of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....runtime import ops
from ..layer import Layer
from .functions import FUNCTIONS
from .functions.calling import call
from .functions.elementwise import cast
from .functions.operand import number, wholes
from .functions.reduction import reduced

PACKAGES = (
    "compat.v1.", "__operators__.", "keras.activations.", "keras.backend.", "math.", "linalg.",
    "nn.", "image.", "ragged.", "tf.", "raw_ops.",
)  # fmt: skip

"""Where TensorFlow keeps its functions; the same name means the same in all of them."""

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


@tensorflow("getitem", "slice_helper")
def _getitem(layer: Layer, x: Any, slice_spec: Any, **options: Any) -> Any:
    return call(layer, "getitem", (x, slice_spec), options)


@tensorflow("ones", "zeros")
def _filled(layer: Layer, shape: Any, dtype: Any = "float32", **options: Any) -> Any:
    value = 1 if bare(str(layer["function"])) == "ones" else 0
    return cast(layer, call(layer, "full", (shape, value), options), dtype)


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
def _depthwise(layer: Layer, x: Any, filter: Any, dilations: Any = None, **options: Any) -> Any:
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
    places = FUNCTIONS["arange"](layer, wholes(layer, maxlen, "maxlen")[0])
    mask = FUNCTIONS["greater"](layer, FUNCTIONS["expand_dims"](layer, lengths, -1), places)
    return cast(layer, mask, dtype)


@tensorflow("reduce_euclidean_norm")
def _length(layer: Layer, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return FUNCTIONS["norm"](layer, x, None, axis, keepdims)
