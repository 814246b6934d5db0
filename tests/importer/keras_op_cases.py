"""Models made of operations of Keras 3, for real Keras to write and run.

    python -m tests.importer.keras_op_cases FOLDER

writes NAME.keras, and NAME.npz with the input and the outputs, for each case.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Case = tuple[tuple[int, ...], Callable[[Any, Any], Any]]
"""The shape of a row of the input, and a function of ``keras.ops`` and that input."""

VECTOR, SERIES, IMAGE = (6,), (6, 4), (8, 6, 4)


def _array(*shape: int) -> Any:
    import numpy as np

    return (np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 7 - 3) / 5


ELEMENTS = [
    "absolute", "arcsin", "arccos", "arcsinh", "arctan", "arctanh", "ceil", "cos", "cosh", "erf",
    "exp", "expm1", "floor", "negative", "reciprocal", "round", "sign", "sin", "sinh", "square",
    "tan", "tanh", "celu", "elu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh",
    "leaky_relu", "log_sigmoid", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax",
    "squareplus", "tanh_shrink", "zeros_like", "ones_like", "gelu", "copy", "stop_gradient",
]  # fmt: skip
POSITIVE = ["log", "log10", "log1p", "log2", "rsqrt", "sqrt", "arccosh"]
REDUCTIONS = [
    "all", "any", "amax", "amin", "count_nonzero", "logsumexp", "max", "mean", "min", "prod",
    "std", "sum", "var",
]  # fmt: skip
PAIRS = [
    "add", "subtract", "multiply", "divide", "divide_no_nan", "floor_divide", "maximum", "minimum",
    "mod", "logaddexp",
]  # fmt: skip
RELATIONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


def _layer_scale(ops: Any, x: Any) -> Any:
    from keras.src.applications import convnext, inception_resnet_v2  # they have no public names

    x = convnext.LayerScale(0.1, 4)(x)
    x = inception_resnet_v2.CustomScaleLayer(0.2)([x, x * 3])
    return x + convnext.StochasticDepth(0.2)(x)


CASES: Mapping[str, Case] = {
    **{n: (VECTOR, lambda ops, x, n=n: getattr(ops, n)(x * 0.9) + 0.0) for n in ELEMENTS},
    **{n: (VECTOR, lambda ops, x, n=n: getattr(ops, n)(x + 2.5)) for n in POSITIVE},
    **{
        n: (SERIES, lambda ops, x, n=n: ops.cast(getattr(ops, n)(ops.round(x), axis=-1), "float32"))
        for n in REDUCTIONS
    },
    **{n: (VECTOR, lambda ops, x, n=n: getattr(ops, n)(x, x[:, ::-1] + 0.1)) for n in PAIRS},
    **{
        n: (VECTOR, lambda ops, x, n=n: ops.where(getattr(ops, n)(x, 0.1), x, -2.0))
        for n in RELATIONS
    },
    "numbers": (VECTOR, lambda ops, x: (2 - x) * 3 / 4 + 1.0 / (x + 3) + x**2 - 2.0**x),
    "constants": (VECTOR, lambda ops, x: x * _array(6) + ops.convert_to_tensor(_array(6))),
    "maximum of a number": (VECTOR, lambda ops, x: ops.maximum(x, 0.2) + ops.minimum(0.1, x)),
    "powers": (
        VECTOR,
        lambda ops, x: ops.power(x + 2, x) + ops.power(x + 2, 0.5) + (x + 2) ** -1.5,
    ),
    "clip": (VECTOR, lambda ops, x: ops.clip(x, -0.3, 0.4)),
    "logical": (
        VECTOR,
        lambda ops, x: ops.cast(
            ops.logical_xor(ops.logical_and(x > -0.5, ops.logical_not(x > 0.5)), x > 0), "float32"
        ),
    ),
    "round to decimals": (VECTOR, lambda ops, x: ops.round(x, 1)),
    "cast": (VECTOR, lambda ops, x: ops.cast(ops.cast(x * 9, "int32") // 2 % 3, "float32")),
    "full like": (VECTOR, lambda ops, x: ops.full_like(x, 3.0) + x),
    "select": (VECTOR, lambda ops, x: ops.select([x > 0.5, x > 0], [x, x * 2], 7.0)),
    "approximate gelu": (VECTOR, lambda ops, x: ops.gelu(x, approximate=True)),
    "glu": (VECTOR, lambda ops, x: ops.glu(x)),
    "threshold": (VECTOR, lambda ops, x: ops.threshold(x, 0.2, -1.0)),
    "options": (
        VECTOR,
        lambda ops, x: (
            ops.elu(x, 0.5)
            + ops.celu(x, 0.7)
            + ops.leaky_relu(x, 0.3)
            + ops.squareplus(x, 2)
            + ops.hard_shrink(x, 0.3)
            + ops.soft_shrink(x, 0.3)
        ),
    ),
    "softmax of an axis": (SERIES, lambda ops, x: ops.softmax(x, axis=1)),
    "softmax of axes": (SERIES, lambda ops, x: ops.softmax(x, axis=(1, 2))),
    "kept": (IMAGE, lambda ops, x: x - ops.mean(x, axis=(1, 2), keepdims=True)),
    "average": (SERIES, lambda ops, x: ops.average(x, axis=1) + ops.average(x, 1, _array(6) + 1)),
    "moments": (IMAGE, lambda ops, x: ops.concatenate(ops.moments(x, [1, 2]), axis=-1)),
    "argmax": (SERIES, lambda ops, x: ops.cast(ops.argmax(x, axis=-1), "float32")),
    "argmin": (SERIES, lambda ops, x: ops.cast(ops.argmin(x, 1, keepdims=True), "float32")),
    "cumsum": (SERIES, lambda ops, x: ops.cumsum(x, axis=1)),
    "diff": (SERIES, lambda ops, x: ops.diff(x, 2, axis=1)),
    "normalize": (SERIES, lambda ops, x: ops.normalize(x, axis=1) + ops.normalize(x, order=3)),
    "layer normalization": (
        SERIES,
        lambda ops, x: ops.layer_normalization(x, _array(4), _array(4), epsilon=1e-3),
    ),
    "rms normalization": (SERIES, lambda ops, x: ops.rms_normalization(x, _array(4))),
    "batch normalization": (
        SERIES,
        lambda ops, x: ops.batch_normalization(
            x, _array(4), _array(4) + 1, -1, _array(4), _array(4)
        ),
    ),
    # Shapes
    "reshape": (IMAGE, lambda ops, x: ops.reshape(x, (-1, 12, 16))),
    "reshape row": (IMAGE, lambda ops, x: ops.reshape(x, (-1, 192))),
    "transpose": (IMAGE, lambda ops, x: ops.transpose(x, (0, 3, 1, 2))),
    "swapaxes": (IMAGE, lambda ops, x: ops.swapaxes(ops.moveaxis(x, 1, -1), 1, 2)),
    "axes": (SERIES, lambda ops, x: ops.squeeze(ops.expand_dims(x, 2), 2) + x),
    "concatenate": (SERIES, lambda ops, x: ops.concatenate([x, x * 2], axis=1)),
    "stack": (SERIES, lambda ops, x: ops.stack([x, x * 2], axis=-1)),
    "hstack": (SERIES, lambda ops, x: ops.hstack([x, x * 2])),
    "split": (SERIES, lambda ops, x: ops.split(x, 2, axis=-1)),
    "split at": (SERIES, lambda ops, x: ops.split(x, [1, 4], axis=1)),
    "unstack": (SERIES, lambda ops, x: ops.unstack(x, axis=2)),
    "tile": (SERIES, lambda ops, x: ops.tile(x, (1, 2, 3))),
    "repeat": (SERIES, lambda ops, x: ops.repeat(x, 2, axis=1)),
    "pad": (SERIES, lambda ops, x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=2.0)),
    "reflect": (IMAGE, lambda ops, x: ops.pad(x, ((0, 0), (2, 1), (1, 1), (0, 0)), "reflect")),
    "flip": (SERIES, lambda ops, x: ops.flip(x, axis=(1, 2))),
    "roll": (SERIES, lambda ops, x: ops.roll(x, 2, axis=1)),
    "triangles": (SERIES, lambda ops, x: ops.tril(x) + ops.triu(x, 1) * 2),
    # Elements
    "items": (
        IMAGE,
        lambda ops, x: x[:, 1:-1, ::2, ..., None] * x[:, 0, 0, 0][:, None, None, None, None],
    ),
    "turned round": (SERIES, lambda ops, x: x[:, ::-1] - x[..., ::-1]),
    "take": (SERIES, lambda ops, x: ops.take(x, [2, 0, 0], axis=1)),
    "take arrays": (SERIES, lambda ops, x: ops.take(x, [[2, 0], [1, 1]], axis=1)),
    "take along": (
        SERIES,
        lambda ops, x: ops.take_along_axis(x, ops.argmax(x, axis=1, keepdims=True), axis=1),
    ),
    "one hot": (VECTOR, lambda ops, x: ops.one_hot(ops.cast(x * 3, "int32"), 4)),
    # Products
    "matmul": (SERIES, lambda ops, x: ops.matmul(x, ops.transpose(x, (0, 2, 1)))),
    "matmul of a constant": (SERIES, lambda ops, x: ops.matmul(x, _array(4, 3))),
    "dot": (SERIES, lambda ops, x: ops.dot(x, _array(4, 3))),
    "tensordot": (IMAGE, lambda ops, x: ops.tensordot(x, _array(6, 4, 3), axes=2)),
    "einsum": (SERIES, lambda ops, x: ops.einsum("btc,bsc->bts", x, x * 2)),
    "einsum of a constant": (SERIES, lambda ops, x: ops.einsum("btc,cd->bdt", x, _array(4, 3))),
    "attention": (
        (5, 2, 3),
        lambda ops, x: ops.dot_product_attention(x, x * 2, x + 1),
    ),
    # Images
    "resize": (IMAGE, lambda ops, x: ops.image.resize(x, (5, 9))),
    "resize nearest": (IMAGE, lambda ops, x: ops.image.resize(x, (16, 12), "nearest")),
    "resize bicubic": (
        IMAGE,
        lambda ops, x: ops.image.resize(x, (9, 7), "bicubic", antialias=True),
    ),
    "grey": ((4, 4, 3), lambda ops, x: ops.image.rgb_to_grayscale(x)),
    "frame": (
        IMAGE,
        lambda ops, x: ops.image.pad_images(x, 1, 2, target_height=11, target_width=9),
    ),
    "cut": (IMAGE, lambda ops, x: ops.image.crop_images(x, 1, 2, target_height=5, target_width=3)),
    "convolution": (IMAGE, lambda ops, x: ops.conv(x, _array(3, 3, 4, 5), 2, "same")),
    "depthwise": (IMAGE, lambda ops, x: ops.depthwise_conv(x, _array(3, 2, 4, 2), padding="same")),
    "separable": (
        IMAGE,
        lambda ops, x: ops.separable_conv(x, _array(3, 3, 4, 2), _array(1, 1, 8, 3)),
    ),
    "pools": (
        IMAGE,
        lambda ops, x: ops.max_pool(x, 2, 2) + ops.average_pool(x, (2, 2), 2, "same"),
    ),
    "depth to space": (IMAGE, lambda ops, x: ops.depth_to_space(x, 2)),
    "space to depth": (IMAGE, lambda ops, x: ops.space_to_depth(x, 2)),
    "layers of an application": (IMAGE, _layer_scale),
    "channels first": (
        (4, 8, 6),
        lambda ops, x: ops.max_pool(x, 2, 2, data_format="channels_first"),
    ),
}


def file_name(case: str) -> str:
    """The case as part of a file name."""
    return case.replace(" ", "_")


def write_all(folder: Path) -> None:
    """Has real Keras write and run every case."""
    import numpy as np

    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    rng = np.random.default_rng(0)
    for case, (shape, build) in CASES.items():
        x = keras.Input(shape, name="x0")
        model = keras.Model(x, build(keras.ops, x))
        for weight in model.weights:
            weight.assign(rng.uniform(-1, 1, weight.shape))
        model.save(folder / f"{file_name(case)}.keras")
        given = rng.uniform(-1, 1, (3, *shape)).astype("float32")
        made = model(given)
        outputs = made if isinstance(made, list | tuple) else [made]
        arrays: dict[str, Any] = {f"y{i}": np.asarray(y) for i, y in enumerate(outputs)}
        np.savez(folder / f"{file_name(case)}.npz", x0=given, **arrays)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
