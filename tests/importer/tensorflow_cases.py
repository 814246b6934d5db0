"""Models made of TensorFlow's functions, for a real tf.keras to write and run.

    python -m tests.importer.tensorflow_cases FOLDER

writes NAME.h5, and NAME.npz with inputs and outputs, for each case. The Python that runs it needs
tf_keras and TensorFlow, and nothing of Cortex.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Case = tuple[tuple[tuple[int | None, ...], ...], Callable[[Any, Any, Any, Any], Any]]
"""The shapes of rows of the inputs, and a function of TensorFlow, Keras and the inputs."""

V, S, IMAGE = (4,), (3, 4), (6, 4, 8)
OPEN, PICTURE = (None, 4), (None, None, 8)

CASES: Mapping[str, Case] = {
    # Arithmetic
    "numbers": ((V,), lambda tf, k, x, _: (2 - x) * 3 / 4 + 1 - x**2 + (-x) ** 3),
    "pairs": ((S, S), lambda tf, k, x, y: (x + y) * (x - y) / (y * y + 1.0)),
    "broadcast": ((S, V), lambda tf, k, x, y: x * y[:, None, :] + y[:, tf.newaxis]),
    "constants": ((V,), lambda tf, k, x, _: x * tf.constant([1.0, 2, 3, 4]) + [1.0, 0, 0, 1]),
    "inverse": ((V,), lambda tf, k, x, _: 1.0 / (x + 3) + 2.0 / (x + 4)),
    "powers": (
        (V,),
        lambda tf, k, x, _: tf.sqrt(x + 2) + (x + 2) ** -0.5 + 2.0**x + tf.pow(x + 2, x),
    ),
    "whole": (
        (V,),
        lambda tf, k, x, _: tf.math.floordiv(x, 0.3) + tf.math.floormod(x, 0.3) + x // 2,
    ),
    "elements": (
        (V,),
        lambda tf, k, x, _: (
            tf.exp(x)
            + tf.math.log(x + 2)
            + tf.abs(x)
            + tf.sign(x)
            + tf.square(x)
            + tf.sin(x)
            + tf.cos(x)
            + tf.math.erf(x)
            + tf.math.log1p(x + 1)
            + tf.math.expm1(x)
            + tf.math.rsqrt(x + 2)
            + tf.math.reciprocal(x + 2)
            + tf.round(x * 3)
            + tf.floor(x)
            + tf.math.ceil(x)
            + tf.math.atan(x)
            + tf.math.sinh(x)
            + tf.tanh(x)
        ),
    ),
    "extremes": ((V, V), lambda tf, k, x, y: tf.maximum(x, y) + tf.minimum(x, 0.2) * 3),
    "no nan": ((V, V), lambda tf, k, x, y: tf.math.divide_no_nan(x, tf.nn.relu(y))),
    "differences": ((V, V), lambda tf, k, x, y: tf.math.squared_difference(x, y)),
    "add n": ((V, V), lambda tf, k, x, y: tf.add_n([x, y, x])),
    "whole numbers": (
        (V,),
        lambda tf, k, x, _: tf.cast(
            tf.cast(x * 9, "int32") // 2 % 3 + 1 - tf.cast(x, "int32"), "float32"
        ),
    ),
    # Comparisons
    "compare": (
        (V, V),
        lambda tf, k, x, y: tf.where((x > y) & (x < 0.5) | ~(y >= 0), x, tf.zeros_like(y)),
    ),
    "equal": ((V,), lambda tf, k, x, _: tf.cast(tf.equal(tf.round(x), 0), tf.float32)),
    "not equal": ((V,), lambda tf, k, x, _: tf.where(tf.not_equal(tf.round(x), 0.0), 1.0, x)),
    "clip": ((V,), lambda tf, k, x, _: tf.clip_by_value(x, -0.3, 0.5) + k.backend.clip(x, 0, 1)),
    "ones like": ((V,), lambda tf, k, x, _: tf.ones_like(x) * 3 + tf.zeros_like(x) - x),
    # Activations
    "activations": (
        (V,),
        lambda tf, k, x, _: (
            tf.nn.relu(x)
            + tf.nn.sigmoid(x)
            + tf.nn.softplus(x)
            + tf.nn.softsign(x)
            + tf.nn.elu(x)
            + tf.nn.selu(x)
            + tf.nn.relu6(x * 9)
            + tf.nn.swish(x)
            + tf.nn.leaky_relu(x, alpha=0.1)
            + tf.nn.leaky_relu(x)
            + tf.nn.gelu(x)
            + tf.nn.gelu(x, approximate=True)
            + tf.nn.softmax(x)
            + tf.nn.log_softmax(x)
        ),
    ),
    "hard swish": ((V,), lambda tf, k, x, _: x * tf.nn.relu6(x + 3) / 6),
    "mish": ((V,), lambda tf, k, x, _: x * tf.math.tanh(tf.math.softplus(x))),
    "keras activations": (
        (V,),
        lambda tf, k, x, _: (
            k.activations.hard_sigmoid(x)
            + k.activations.relu(x, alpha=0.2)
            + k.activations.exponential(x)
            + k.activations.relu(x, threshold=0.2, max_value=0.8)
        ),
    ),
    "crelu": ((V,), lambda tf, k, x, _: tf.nn.crelu(x)),
    "softmax of an axis": ((S,), lambda tf, k, x, _: tf.nn.softmax(x, axis=1)),
    # Reductions
    "sums": (
        (IMAGE,),
        lambda tf, k, x, _: (
            tf.reduce_sum(x, axis=[1, 2])
            + tf.reduce_mean(x, [1, 2])
            + tf.reduce_max(x, axis=(1, 2)) * tf.reduce_min(x, axis=[1, -2])
            + tf.reduce_logsumexp(x, axis=[1, 2])
        ),
    ),
    "kept": ((IMAGE,), lambda tf, k, x, _: x - tf.reduce_mean(x, axis=-1, keepdims=True)),
    "prod": ((S,), lambda tf, k, x, _: tf.reduce_prod(x, axis=1)),
    "any": (
        (S,),
        lambda tf, k, x, _: tf.cast(
            tf.reduce_any(x > 0.5, axis=-1) & tf.reduce_all(x < 0.9, -1), "float32"
        ),
    ),
    "backend": (
        (IMAGE,),
        lambda tf, k, x, _: (
            k.backend.sum(x, axis=1)
            + k.backend.mean(x, axis=1, keepdims=False)
            + k.backend.std(x, axis=1)
            + k.backend.var(x, axis=1)
            + k.backend.max(x, axis=1)
        ),
    ),
    "variance": (
        (S,),
        lambda tf, k, x, _: tf.math.reduce_variance(x, 1) + tf.math.reduce_std(x, 1),
    ),
    "moments": ((S,), lambda tf, k, x, _: tf.concat(tf.nn.moments(x, axes=[1]), axis=-1)),
    "norm": ((S,), lambda tf, k, x, _: tf.norm(x, axis=-1) + tf.norm(x, ord=1, axis=-1)),
    "l2 normalize": (
        (S,),
        lambda tf, k, x, _: tf.math.l2_normalize(x, axis=-1) + k.backend.l2_normalize(x, axis=1),
    ),
    "argmax": ((S,), lambda tf, k, x, _: tf.cast(tf.argmax(x, axis=-1), "float32")),
    "argmin": ((S,), lambda tf, k, x, _: tf.cast(tf.argmin(x, 1, output_type="int32"), "float32")),
    "cumsum": (
        (S,),
        lambda tf, k, x, _: tf.cumsum(x, 1) + tf.cumsum(x, axis=2, reverse=True, exclusive=True),
    ),
    "count": (
        (S,),
        lambda tf, k, x, _: tf.cast(tf.math.count_nonzero(tf.round(x), axis=1), "float32"),
    ),
    # Shapes
    "reshape": ((IMAGE,), lambda tf, k, x, _: tf.reshape(x, [-1, 8, 24])),
    "reshape by shape": ((IMAGE,), lambda tf, k, x, _: tf.reshape(x, [tf.shape(x)[0], 24, 8])),
    "reshape by parts": (
        (IMAGE,),
        lambda tf, k, x, _: tf.reshape(x, tf.stack([tf.shape(x)[0], x.shape[1] * x.shape[2], 8])),
    ),
    "reshape open": (
        (PICTURE,),
        lambda tf, k, x, _: tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1] * tf.shape(x)[2], 8]),
    ),
    "reshape channels": (
        (PICTURE,),
        lambda tf, k, x, _: tf.transpose(
            tf.reshape(x, [-1, tf.shape(x)[1], tf.shape(x)[2], 2, 4]), [0, 1, 2, 4, 3]
        ),
    ),
    "shuffle channels": (
        (IMAGE,),
        lambda tf, k, x, _: tf.reshape(
            tf.transpose(tf.reshape(x, [-1, 6, 4, 2, 4]), [0, 1, 2, 4, 3]), [-1, 6, 4, 8]
        ),
    ),
    "rows": (
        (S,),
        lambda tf, k, x, _: tf.reduce_sum(tf.reshape(tf.reshape(x, [-1, 4]) * 2, [-1, 3, 4]), 1),
    ),
    "flatten": ((IMAGE,), lambda tf, k, x, _: k.backend.batch_flatten(x)),
    "transpose": ((IMAGE,), lambda tf, k, x, _: tf.transpose(x, [0, 3, 1, 2])),
    "permute": ((S,), lambda tf, k, x, _: k.backend.permute_dimensions(x, (0, 2, 1))),
    "axes": (
        (S,),
        lambda tf, k, x, _: tf.squeeze(tf.expand_dims(x, 2), axis=2) + tf.squeeze(x[:, :, None]),
    ),
    "concat": ((S, S), lambda tf, k, x, y: tf.concat([x, y, x], axis=-1)),
    "stack": ((V, V), lambda tf, k, x, y: tf.stack([x, y], axis=1)),
    "split": ((S,), lambda tf, k, x, _: tf.split(x, 2, axis=-1)),
    "split sizes": ((S,), lambda tf, k, x, _: tf.split(x, [1, 3], axis=-1)),
    "unstack": ((S,), lambda tf, k, x, _: tf.unstack(x, axis=1)),
    "tile": ((S,), lambda tf, k, x, _: tf.tile(x, [1, 2, 3])),
    "repeat": ((S,), lambda tf, k, x, _: tf.repeat(x, 2, axis=1)),
    "repeat elements": ((S,), lambda tf, k, x, _: k.backend.repeat_elements(x, 3, axis=1)),
    "pad": (
        (S,),
        lambda tf, k, x, _: tf.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=3.0),
    ),
    "reflect": (
        (IMAGE,),
        lambda tf, k, x, _: tf.pad(x, [[0, 0], [2, 2], [1, 1], [0, 0]], "REFLECT"),
    ),
    "reverse": ((S,), lambda tf, k, x, _: tf.reverse(x, axis=[1, -1])),
    "roll": ((S,), lambda tf, k, x, _: tf.roll(x, shift=1, axis=1) + tf.roll(x, [-1, 2], [1, 2])),
    "broadcast to": ((V,), lambda tf, k, x, _: tf.broadcast_to(x[:, None], [tf.shape(x)[0], 3, 4])),
    # Elements
    "slices": (
        (IMAGE,),
        lambda tf, k, x, _: x[:, 1:-1, ::2, ..., 3:5] + x[:, 0, 0, 0][:, None, None, tf.newaxis],
    ),
    "last": ((OPEN,), lambda tf, k, x, _: x[:, -1] + x[:, 0, ...]),
    "reversed": ((OPEN,), lambda tf, k, x, _: x[:, ::-1]),
    "all but one": ((OPEN,), lambda tf, k, x, _: x[:, : tf.shape(x)[1] - 1] - x[:, 1:]),
    "shuffled": ((IMAGE,), lambda tf, k, x, _: x[..., ::-1]),
    "gather": ((S,), lambda tf, k, x, _: tf.gather(x, [2, 0], axis=1)),
    "gather each": (
        (S,),
        lambda tf, k, x, _: tf.gather(x, tf.argmax(x[:, :, 0], axis=1), batch_dims=1),
    ),
    "gather of a table": (
        (V,),
        lambda tf, k, x, _: tf.gather(
            tf.constant([[1.0, 2], [3, 4], [5, 6]]), tf.cast(tf.abs(x) * 3, "int32")
        ),
    ),
    "one hot": ((V,), lambda tf, k, x, _: tf.one_hot(tf.cast(x * 3, "int32"), 3)),
    "one hot values": (
        (V,),
        lambda tf, k, x, _: tf.one_hot(
            tf.cast(x * 3, "int32"), 3, on_value=2.0, off_value=-1.0, axis=1
        ),
    ),
    # Products
    "matmul": ((S, S), lambda tf, k, x, y: tf.matmul(x, y, transpose_b=True)),
    "matmul at": ((S, (4, 2)), lambda tf, k, x, y: x @ y),
    "matmul of heads": (
        ((2, 3, 4), (2, 3, 4)),
        lambda tf, k, x, y: tf.matmul(x, y, transpose_a=True),
    ),
    "matmul of a constant": (
        (S,),
        lambda tf, k, x, _: tf.matmul(x, [[1.0, 2], [3, 4], [5, 6], [7, 8]]),
    ),
    "tensordot": ((S,), lambda tf, k, x, _: tf.tensordot(x, tf.eye(4)[:, :3] + 1, axes=1)),
    "keras dot": ((S,), lambda tf, k, x, _: k.backend.dot(x, tf.eye(4)[:, :3] + 1)),
    "batch dot": ((V, V), lambda tf, k, x, y: k.backend.batch_dot(x, y, axes=1)),
    "attention": (
        (OPEN, OPEN),
        lambda tf, k, x, y: tf.matmul(tf.nn.softmax(tf.matmul(x, y, transpose_b=True) / 2.0), y),
    ),
    "bias": ((S,), lambda tf, k, x, _: tf.nn.bias_add(x, [1.0, 2, 3, 4])),
    # Images
    "resize": ((IMAGE,), lambda tf, k, x, _: tf.image.resize(x, (9, 5))),
    "resize nearest": ((IMAGE,), lambda tf, k, x, _: tf.image.resize(x, (12, 8), method="nearest")),
    "resize by shape": (
        (PICTURE,),
        lambda tf, k, x, _: tf.image.resize(x, tf.shape(x)[1:3] * 2, method="nearest"),
    ),
    "resize bicubic": ((IMAGE,), lambda tf, k, x, _: tf.image.resize(x, (9, 7), method="bicubic")),
    "resize down": ((IMAGE,), lambda tf, k, x, _: tf.image.resize(x, (3, 2), antialias=True)),
    "resize before": ((IMAGE,), lambda tf, k, x, _: tf.compat.v1.image.resize_bilinear(x, (9, 8))),
    "nearest before": (
        (IMAGE,),
        lambda tf, k, x, _: tf.compat.v1.image.resize_nearest_neighbor(x, (9, 8)),
    ),
    "keras resize": (
        (IMAGE,),
        lambda tf, k, x, _: k.backend.resize_images(x, 2, 3, "channels_last"),
    ),
    "depth to space": ((PICTURE,), lambda tf, k, x, _: tf.nn.depth_to_space(x, 2)),
    "space to depth": ((IMAGE,), lambda tf, k, x, _: tf.nn.space_to_depth(x, 2)),
    "convolution": (
        (IMAGE,),
        lambda tf, k, x, _: tf.nn.conv2d(
            x, tf.reshape(tf.range(144.0) / 99, (3, 3, 8, 2)), 2, "SAME"
        ),
    ),
    "depthwise": (
        (IMAGE,),
        lambda tf, k, x, _: tf.nn.depthwise_conv2d(
            x, tf.reshape(tf.range(48.0) / 50, (3, 1, 8, 2)), [1, 1, 1, 1], "VALID"
        ),
    ),
    "pools": (
        (IMAGE,),
        lambda tf, k, x, _: (
            tf.nn.max_pool2d(x, 2, 2, "SAME") + tf.nn.avg_pool2d(x, [1, 2, 2, 1], 2, "SAME")
        ),
    ),
    "standardized": ((IMAGE,), lambda tf, k, x, _: tf.image.per_image_standardization(x)),
    "grey": (((4, 4, 3),), lambda tf, k, x, _: tf.image.rgb_to_grayscale(x)),
    # Neither here nor there
    "identity": (
        (V,),
        lambda tf, k, x, _: tf.stop_gradient(tf.identity(tf.convert_to_tensor(x))) + 1,
    ),
    "normalization": (
        (S,),
        lambda tf, k, x, _: tf.nn.batch_normalization(
            x, *tf.nn.moments(x, [1], keepdims=True), None, 2.0, 1e-3
        ),
    ),
    "layers between": (
        (S,),
        lambda tf, k, x, _: (
            tf.reduce_mean(k.layers.Dense(5)(x * 2), 1) + k.layers.Dense(5)(x[:, 0])
        ),
    ),
}


def file_name(case: str) -> str:
    """The case as part of a file name."""
    return case.replace(" ", "_")


def write_all(folder: Path) -> None:
    """Has tf.keras write and run every case."""
    import numpy as np
    import tensorflow as tf  # pyright: ignore[reportMissingImports]
    import tf_keras as keras  # pyright: ignore[reportMissingImports]

    rng = np.random.default_rng(0)
    for case, (shapes, build) in CASES.items():
        names = [f"x{i}" for i in range(len(shapes))]
        inputs = [keras.Input(shape, name=name) for shape, name in zip(shapes, names, strict=True)]
        model = keras.Model(inputs, build(tf, keras, inputs[0], inputs[-1]))
        model.save(folder / f"{file_name(case)}.h5")
        sizes = [tuple(5 if n is None else n for n in shape) for shape in shapes]
        given = [rng.uniform(-1, 1, (3, *size)).astype("float32") for size in sizes]
        made = model(given)
        outputs = [np.asarray(y) for y in (made if isinstance(made, list | tuple) else [made])]
        arrays: dict[str, Any] = dict(zip(names, given, strict=True)) | {
            f"y{i}": y for i, y in enumerate(outputs)
        }
        np.savez(folder / f"{file_name(case)}.npz", **arrays)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
