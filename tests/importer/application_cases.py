"""Networks of ``keras.applications``, and what their own functions make of a picture.

    python -m tests.importer.application_cases FOLDER

writes NAME.keras for each network, and pictures.npz.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

MODULES = {
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "resnet50": "resnet",
    "resnet50v2": "resnet_v2",
    "densenet121": "densenet",
    "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2",
    "xception": "xception",
    "mobilenet_1.0": "mobilenet",
    "mobilenet_v2_1.0": "mobilenet_v2",
    "mobilenet_v3_small_1.0": "mobilenet_v3",
    "nasnet_mobile": "nasnet",
    "efficientnetb0": "efficientnet",
    "efficientnetv2-b0": "efficientnet_v2",
    "convnext_tiny": "convnext",
}
"""Of an architecture, the module of ``keras.applications`` that has its ``preprocess_input``."""

NETWORKS: Mapping[str, Callable[[Any], Any]] = {
    "mobilenet": lambda made: made.MobileNet(alpha=0.25, weights=None),
    "rescales": lambda made: made.MobileNetV3Small(weights=None, include_top=False),
    "rescales_no_more": lambda made: made.MobileNetV3Small(
        weights=None, include_top=False, include_preprocessing=False
    ),
    "normalizes": lambda made: made.EfficientNetB0(weights=None, include_top=False),
    "normalizes_by_itself": lambda made: made.EfficientNetV2B0(weights=None, include_top=False),
}


def write_all(folder: Path) -> None:
    """Has real Keras do it."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    applications: Any = keras.applications
    for name, build in NETWORKS.items():
        keras.backend.clear_session()
        build(applications).save(folder / f"{name}.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    made = {
        name: getattr(applications, module).preprocess_input(pixels.astype(np.float32))
        for name, module in MODULES.items()
    }
    np.savez(folder / "pictures.npz", pixels=pixels, **made)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
