"""Converters: images, sequences and volumes of another size."""

from __future__ import annotations

from typing import Any

from ....runtime import ops
from ....runtime.errors import Unsupported
from ....runtime.ops.interpolation import Method
from ..builder import Value
from ..layer import Layer, keras
from ..origin import THEANO
from .axes import as_layer, channels_last, per_axis

Size = tuple[int, int]
"""Height and width."""

METHODS: tuple[Method, ...] = (
    "nearest",
    "bilinear",
    "bicubic",
    "lanczos3",
    "lanczos5",
    "area",
    "gaussian",
    "mitchellcubic",
)
WITHIN = ("nearest", "bilinear", "area", "gaussian")
"""The methods whose results lie between the pixels they are made of."""


@keras("UpSampling1D", "UpSampling2D", "UpSampling3D")
def up_sampling(layer: Layer, x: Value) -> Value:
    op = ops.Resample(factors=per_axis(layer, "size"), method=_method(layer, default="nearest"))
    return as_layer(layer, layer.add(op, channels_last(layer, x)))


@keras("Resizing")
def resizing(layer: Layer, x: Value) -> Value:
    ignore_training(layer)
    size, method = target(layer), _method(layer, default="bilinear")
    op = ops.Resample(size, method=method, antialias=bool(layer.get("antialias", False)))
    crops = layer.get("crop_to_aspect_ratio", False)
    pads = layer.get("pad_to_aspect_ratio", False)
    if (mode := layer.get("fill_mode", "constant")) != "constant":
        raise layer.refuse("fill_mode", mode)
    fill, rounds = float(layer.get("fill_value", 0.0)), _rounds(layer, x, method)
    image = floats(layer, channels_last(layer, x))
    if crops:
        image = _cropped(layer, image, _largest_part(sizes(layer, image), size))
    elif pads:
        image = _framed(layer, image, size, fill)
    y = layer.add(op, image)
    return as_layer(layer, layer.add(ops.Cast("int32"), layer.add(ops.Round(), y)) if rounds else y)


@keras("CenterCrop")
def center_crop(layer: Layer, x: Value) -> Value:
    ignore_training(layer)
    size, image = target(layer), floats(layer, channels_last(layer, x))
    if all(n >= wanted for n, wanted in zip(sizes(layer, image), size, strict=True)):
        return as_layer(layer, _cropped(layer, image, size))
    return as_layer(layer, filled(layer, image, size))


def target(layer: Layer) -> Size:
    """The options that say the size of an image."""
    return int(layer["height"]), int(layer["width"])


def sizes(layer: Layer, image: Value) -> Size:
    """Height and width of a channels-last image.

    Raises:
        Unsupported: one is open.
    """
    match layer.shape(image):
        case (_, int(height), int(width), _):
            return height, width
        case shape:
            raise Unsupported(
                f"{layer.title}: what it cuts out depends on the size of the image, which is "
                f"{shape[1:-1]}"
            )


def filled(layer: Layer, image: Value, size: Size) -> Value:
    """The largest part in the middle that has the proportions of ``size``, in that size.

    Keras calls it ``smart_resize``.
    """
    part = _largest_part(sizes(layer, image), size)
    return layer.add(ops.Resample(size, method="bilinear"), _cropped(layer, image, part))


def ignore_training(layer: Layer) -> None:
    """Keras 3 writes that layers of images are called for training, which is their default.

    A model that predicts calls them for inference whatever is written.
    """
    if layer.generation > 2:
        layer.given("training")


def floats(layer: Layer, x: Value) -> Value:
    """The tensor in floats, which layers for images make of whole numbers."""
    return x if layer.tensor(x).dtype == "float" else layer.add(ops.Cast("float"), x)


def _method(layer: Layer, *, default: str) -> Method:
    """How to interpolate; what a name means depends on who computed it."""
    name, origin = str(layer.get("interpolation", default)).lower(), layer.origin
    if name not in METHODS:
        raise layer.refuse("interpolation", name)
    if name == "bilinear" and layer.generation < 3:
        if origin.backend == THEANO:
            raise layer.refuse("interpolation on Theano", name)
        # TensorFlow 1, and Keras outside of TensorFlow, took pixels for points at their numbers.
        if not origin.is_tf_keras or layer.origin.is_before(2, 2):
            return "corner_bilinear"
    if name == "bicubic":
        if origin.backend == "torch":  # whose kernel is another one
            raise layer.refuse("interpolation on PyTorch", name)
        if layer.generation < 3 or origin.backend == "tensorflow":
            return "tabulated_bicubic"
    return name


def _rounds(layer: Layer, x: Value, method: Method) -> bool:
    """Whether Keras makes whole numbers of whole numbers; before Keras 3 it made floats of them.

    Raises:
        Unsupported: it would also have to keep them within the range of a dtype that is not known,
            or a version whose backends disagree.
    """
    if layer.generation < 3 or layer.tensor(x).dtype == "float":
        return False
    if method != "nearest" and (layer.origin.is_before(3, 6) or method not in WITHIN):
        raise layer.refuse("interpolation of whole numbers", method)
    return True


def _largest_part(given: Size, size: Size) -> Size:
    """The size of the largest part of an image that has the proportions of ``size``."""
    (height, width), (tall, wide) = given, size
    return (
        max(min(height, int(width * tall / wide)), 1),
        max(min(width, int(height * wide / tall)), 1),
    )


def _cropped(layer: Layer, image: Value, part: Size) -> Value:
    """A part in the middle."""
    over = [n - m for n, m in zip(sizes(layer, image), part, strict=True)]
    if not any(over):
        return image
    return layer.add(ops.Cropping(tuple((n // 2, n - n // 2) for n in over)), image)


def _framed(layer: Layer, image: Value, size: Size, value: float) -> Value:
    """The image in the middle of one that has the proportions of ``size``.

    The frame is as wide on both sides, and so a pixel short where the difference is odd.
    """
    (height, width), (tall, wide) = sizes(layer, image), size
    rows = max(int(width * tall / wide) - height, 0) // 2
    columns = max(int(height * wide / tall) - width, 0) // 2
    paddings: Any = ((0, 0), (rows, rows), (columns, columns), (0, 0))
    return layer.add(ops.Pad(paddings, value=value), image) if rows or columns else image
