"""Layers with every option that matters, for real Keras to write and run.

    python -m tests.importer.keras_cases FOLDER

writes NAME.h5, NAME.keras and NAME.reference.h5 for each case; the tests import the first two and
hold them against the last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import keras_core_cases, keras_sequence_cases

Case = tuple[tuple[int | None, ...], Callable[[Any], Any]]
"""The shape of a row of the input, and a layer, or a function of the input that calls several."""

VECTOR, SERIES, IMAGE = (6,), (7, 4), (8, 7, 4)
OPEN = 7
"""The length of a series whose length is open."""

LAYERS: Mapping[str, Case] = {
    "dense": (VECTOR, lambda nn: nn.Dense(5)),
    "dense without bias": (VECTOR, lambda nn: nn.Dense(5, use_bias=False, activation="tanh")),
    "dense over series": (SERIES, lambda nn: nn.Dense(3, activation="sigmoid")),
    "activation layer": (IMAGE, lambda nn: nn.Activation("softplus")),
    "relu": (IMAGE, lambda nn: nn.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2)),
    "relu6": (IMAGE, lambda nn: nn.ReLU(6.0)),
    "leaky relu": (IMAGE, lambda nn: nn.LeakyReLU(0.2)),
    "elu": (IMAGE, lambda nn: nn.ELU(0.7)),
    "prelu": (IMAGE, lambda nn: nn.PReLU("random_normal")),
    "prelu shared": (IMAGE, lambda nn: nn.PReLU("random_normal", shared_axes=[1, 2])),
    "softmax": (IMAGE, lambda nn: nn.Softmax()),
    "softmax over an axis": (IMAGE, lambda nn: nn.Softmax(axis=1)),
    "dropout": (VECTOR, lambda nn: nn.Dropout(0.4, noise_shape=(None, 1))),
    "spatial dropout": (IMAGE, lambda nn: nn.SpatialDropout2D(0.4)),
    "gaussian dropout": (VECTOR, lambda nn: nn.GaussianDropout(0.4)),
    "gaussian noise": (VECTOR, lambda nn: nn.GaussianNoise(0.4)),
    "alpha dropout": (VECTOR, lambda nn: nn.AlphaDropout(0.4)),
    "activity regularization": (VECTOR, lambda nn: nn.ActivityRegularization(0.1, 0.1)),
    "flatten": (IMAGE, lambda nn: nn.Flatten()),
    "reshape": (IMAGE, lambda nn: nn.Reshape((4, -1, 2))),
    "permute": (IMAGE, lambda nn: nn.Permute((3, 1, 2))),
    "conv1d": (SERIES, lambda nn: nn.Conv1D(5, 3, strides=2, activation="relu")),
    "conv1d same": (SERIES, lambda nn: nn.Conv1D(5, 4, padding="same")),
    "conv1d causal": (SERIES, lambda nn: nn.Conv1D(5, 3, padding="causal", dilation_rate=2)),
    "conv1d groups": (SERIES, lambda nn: nn.Conv1D(6, 3, groups=2)),
    "conv2d": (IMAGE, lambda nn: nn.Conv2D(5, (3, 2), strides=(2, 1))),
    "conv2d same": (IMAGE, lambda nn: nn.Conv2D(5, 4, strides=2, padding="same", use_bias=False)),
    "conv2d dilated": (IMAGE, lambda nn: nn.Conv2D(5, 3, dilation_rate=(2, 1), padding="same")),
    "conv2d groups": (IMAGE, lambda nn: nn.Conv2D(8, 3, groups=4, activation="elu")),
    "conv2d 1x1": (IMAGE, lambda nn: nn.Conv2D(5, 1, activation="silu")),
    "depthwise1d": (SERIES, lambda nn: nn.DepthwiseConv1D(3, depth_multiplier=2)),
    "depthwise2d": (IMAGE, lambda nn: nn.DepthwiseConv2D(3, padding="same", strides=2)),
    "depthwise2d multiplied": (IMAGE, lambda nn: nn.DepthwiseConv2D((2, 3), depth_multiplier=3)),
    "separable1d": (
        SERIES,
        lambda nn: nn.SeparableConv1D(5, 3, padding="same", depth_multiplier=2),
    ),
    "separable2d": (IMAGE, lambda nn: nn.SeparableConv2D(5, 3, strides=2, activation="relu")),
    "transposed1d": (SERIES, lambda nn: nn.Conv1DTranspose(5, 3, strides=2, padding="same")),
    "transposed2d": (IMAGE, lambda nn: nn.Conv2DTranspose(5, (3, 4), strides=(2, 3))),
    "transposed2d same": (IMAGE, lambda nn: nn.Conv2DTranspose(5, 4, strides=2, padding="same")),
    "transposed2d padded": (
        IMAGE,
        lambda nn: nn.Conv2DTranspose(5, 3, strides=2, padding="same", output_padding=1),
    ),
    "max1d": (SERIES, lambda nn: nn.MaxPooling1D(2, padding="same")),
    "max2d": (IMAGE, lambda nn: nn.MaxPooling2D((3, 2), strides=(2, 1), padding="same")),
    "average1d": (SERIES, lambda nn: nn.AveragePooling1D(3, strides=1)),
    "average2d": (IMAGE, lambda nn: nn.AveragePooling2D(3, strides=2, padding="same")),
    "global max1d": (SERIES, lambda nn: nn.GlobalMaxPooling1D()),
    "global max2d": (IMAGE, lambda nn: nn.GlobalMaxPooling2D(keepdims=True)),
    "global average1d": (SERIES, lambda nn: nn.GlobalAveragePooling1D(keepdims=True)),
    "global average2d": (IMAGE, lambda nn: nn.GlobalAveragePooling2D()),
    "pad1d": (SERIES, lambda nn: nn.ZeroPadding1D((1, 2))),
    "pad2d": (IMAGE, lambda nn: nn.ZeroPadding2D(((1, 0), (2, 3)))),
    "crop1d": (SERIES, lambda nn: nn.Cropping1D((2, 1))),
    "crop2d": (IMAGE, lambda nn: nn.Cropping2D((1, 2))),
    "norm": (IMAGE, lambda nn: nn.BatchNormalization()),
    "norm of vectors": (VECTOR, lambda nn: nn.BatchNormalization(epsilon=0.1, momentum=0.9)),
    "norm without scale": (IMAGE, lambda nn: nn.BatchNormalization(scale=False)),
    "norm without centre": (IMAGE, lambda nn: nn.BatchNormalization(center=False, axis=2)),
}

ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "squareplus",
    "tanh",
    "tanh_shrink",
]
MERGES = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")


def merged(kind: str) -> Callable[[Any], Any]:
    """Two branches of an image, one of them a single channel, joined."""

    def build(nn: Any) -> Any:
        def call(x: Any) -> Any:
            return getattr(nn, kind)()(
                [nn.Conv2D(4, 1)(x), nn.GlobalMaxPooling2D(keepdims=True)(x)]
            )

        return call

    return build


def concatenated(axis: int) -> Callable[[Any], Any]:
    """Three values side by side."""

    def build(nn: Any) -> Any:
        def call(x: Any) -> Any:
            return nn.Concatenate(axis)([x, nn.ReLU()(x), nn.Activation("tanh")(x)])

        return call

    return build


def shared(nn: Any) -> Any:
    """A layer on two values, and a value read three times."""

    def call(x: Any) -> Any:
        dense = nn.Dense(6, activation="relu")
        once = dense(x)
        return nn.Add()([once, dense(once), x])

    return call


CASES: Mapping[str, Case] = {
    **LAYERS,
    **{f"activation {n}": (VECTOR, lambda nn, n=n: nn.Dense(5, activation=n)) for n in ACTIVATIONS},
    **{n: (IMAGE, merged(n)) for n in MERGES},
    **{f"concatenate {axis}": (IMAGE, concatenated(axis)) for axis in (-1, 1, 2)},
    "shared": (VECTOR, shared),
    **keras_core_cases.CASES,
    **keras_sequence_cases.CASES,
}


WORDS = "embedding of whole numbers"


def file_name(case: str) -> str:
    """The case as part of a file name."""
    return case.replace(" ", "_")


def write_all(folder: Path) -> None:
    """Has real Keras write every case with random weights, and an embedding of numbers."""
    import numpy as np

    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    from cortex.importer.keras.witness import oracle

    rng = np.random.default_rng(0)
    models = {name: _model(keras, shape, build) for name, (shape, build) in CASES.items()}
    ids = keras.Input((5,), dtype="int32", name="ids")
    models[WORDS] = keras.Model(ids, keras.layers.Embedding(11, 3)(ids))
    for name, model in models.items():
        for weight in model.weights:
            low = 0.2 if "variance" in weight.path else -1.0
            weight.assign(rng.uniform(low, 1, weight.shape))
        path = folder / f"{file_name(name)}.keras"
        # Keras itself misreads what it writes into HDF5, where there are masks or lists of axes.
        for file in (path.with_suffix(".h5"), path):
            model.save(file)
        shape = (3, *(n or OPEN for n in model.input_shape[1:]))
        x = rng.integers(0, 11, shape) if name == WORDS else rng.uniform(-1, 1, shape)
        np.savez(folder / "inputs.npz", x.astype("int32" if name == WORDS else "float32"))
        answer = path.with_suffix(".reference.h5")
        assert oracle.main(str(path), str(folder / "inputs.npz"), str(answer)) == 0, name


def _model(keras: Any, shape: tuple[int | None, ...], build: Callable[[Any], Any]) -> Any:
    x = keras.Input(shape, name="x")
    return keras.Model(x, build(keras.layers)(x))


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
