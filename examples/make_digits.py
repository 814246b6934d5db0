"""Makes digits.h5, its reference file and seven.png.

A small convnet that real Keras trains on scikit-learn's digits.

    python examples/make_digits.py [FOLDER]

Needs the extras [keras] and scikit-learn; takes about a minute. The files are committed: this is
how they came to be.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

os.environ["KERAS_BACKEND"] = "jax"
HERE = Path(__file__).parent


def data() -> tuple[Any, Any]:
    """1,797 digits as (n, 8, 8, 1) float32 in [0, 1], and what they are."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return (digits.images[..., None] / 16).astype(np.float32), digits.target


def model() -> Any:
    """Convolutions, batch normalization, pooling, dropout: what most old files are made of."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv1"),
            layers.BatchNormalization(name="norm1"),
            layers.ReLU(name="relu1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool"),
            layers.SeparableConv2D(48, 3, padding="same", activation="relu", name="conv3"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.2, name="dropout"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def main(folder: Path) -> None:
    """Trains, says how well, and writes the files."""
    import keras

    from cortex.importer.keras.witness import oracle

    keras.utils.set_random_seed(1)
    x, y = data()
    train, test = slice(None, 1500), slice(1500, None)
    net = model()
    loss = "sparse_categorical_crossentropy"
    net.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    net.fit(x[train], y[train], batch_size=32, epochs=30, verbose=0)
    print("accuracy on 297 digits it has not seen:", net.evaluate(x[test], y[test], verbose=0)[1])
    net.save(folder / "digits.h5")
    seven = int(np.flatnonzero(y[test] == 7)[0]) + test.start
    Image.fromarray((x[seven, ..., 0] * 255).round().astype(np.uint8)).save(folder / "seven.png")
    given = folder / "inputs.npz"
    np.savez(given, image=x[test][:4])
    oracle.main(str(folder / "digits.h5"), str(given), str(folder / "digits.reference.h5"))
    given.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
