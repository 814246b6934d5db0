"""Layers over sequences, images and volumes, and preprocessing, for real Keras to write and run.

    python -m tests.importer.spatial_cases FOLDER

writes, for each shape of an input, a model with every layer for it, and what Keras makes of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Build = Callable[[Any], Any]
Case = tuple[tuple[int, ...], Build]
Options = Mapping[str, Any]

VECTOR, SERIES, IMAGE, VOLUME = (6,), (6, 4), (8, 7, 4), (4, 6, 5, 4)
SHAPES = {1: SERIES, 2: IMAGE, 3: VOLUME}
FIRST = "channels_first"


def layer(kind: str, **options: Any) -> Build:
    """A layer with options."""
    return lambda nn: getattr(nn, kind)(**options)


def chain(*layers: Build) -> Build:
    """Layers one after the other."""

    def build(nn: Any) -> Any:
        def call(x: Any) -> Any:
            for one in layers:
                x = one(nn)(x)
            return x

        return call

    return build


def masked(kind: str, **options: Any) -> Build:
    """A layer on a series some steps of which are masked."""
    return chain(layer("ReLU", threshold=0.6), layer("Masking"), layer(kind, **options))


def whole(kind: str, **options: Any) -> Build:
    """A layer on whole numbers from 0 to 7."""
    bounds = [-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75]
    return chain(layer("Discretization", bin_boundaries=bounds), layer(kind, **options))


WINDOWS: Mapping[str, Sequence[Options]] = {
    "Conv{}D": [
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"},
        {"filters": 8, "kernel_size": 2, "dilation_rate": 2, "groups": 2, "use_bias": False},
    ],
    "Conv{}DTranspose": [
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "elu"},
        {"filters": 3, "kernel_size": 2, "strides": 3, "use_bias": False},
        {"filters": 3, "kernel_size": 4, "strides": 2, "output_padding": 1},
        {"filters": 3, "kernel_size": 3, "dilation_rate": 2},
    ],
    "DepthwiseConv{}D": [
        {"kernel_size": 3, "padding": "same", "depth_multiplier": 2, "activation": "relu"},
        {"kernel_size": 2, "dilation_rate": 2, "use_bias": False},
    ],
    "SeparableConv{}D": [
        {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
        {"filters": 5, "kernel_size": 2, "dilation_rate": 2, "use_bias": False},
    ],
    "MaxPooling{}D": [{"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": 2}],
    "AveragePooling{}D": [{"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": 2}],
    "AdaptiveMaxPooling{}D": [{"output_size": 3}],
    "AdaptiveAveragePooling{}D": [{"output_size": 3}],
    "GlobalMaxPooling{}D": [{}, {"keepdims": True}],
    "GlobalAveragePooling{}D": [{}, {"keepdims": True}],
    "ZeroPadding{}D": [{"padding": 2}],
    "Cropping{}D": [{"cropping": 1}],
    "UpSampling{}D": [{"size": 2}],
}
"""Layers of one, two and three spatial axes; each is tried with its channels last, and first."""
NO_THIRD = ("DepthwiseConv{}D", "SeparableConv{}D")
LAST_ONLY = ("Cropping1D", "UpSampling1D")


def _windows() -> Iterator[tuple[str, Case]]:
    for pattern, rows in WINDOWS.items():
        for n, shape in SHAPES.items():
            kind = pattern.format(n)
            for i, options in enumerate(rows if n < 3 or pattern not in NO_THIRD else ()):
                yield f"{kind} {i}", (shape, layer(kind, **options))
                if kind not in LAST_ONLY:
                    yield f"{kind} {i} first", (shape, layer(kind, **options, data_format=FIRST))


METHODS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")

RESIZING: Mapping[str, Case] = {
    **{f"up {m}": (IMAGE, layer("UpSampling2D", size=(2, 3), interpolation=m)) for m in METHODS},
    **{
        f"resize {m} {'smooth' if smooth else 'sharp'}": (
            IMAGE,
            layer("Resizing", height=5, width=11, interpolation=m, antialias=smooth),
        )
        for m in METHODS
        for smooth in (False, True)
    },
    "resize channels first": (IMAGE, layer("Resizing", height=5, width=3, data_format=FIRST)),
    **{
        f"resize {how} {height}x{width}": (
            IMAGE,
            layer("Resizing", height=height, width=width, **{f"{how}_to_aspect_ratio": True}),
        )
        for how in ("crop", "pad")
        for height, width in ((4, 11), (9, 3), (8, 7))
    },
    "resize in a frame": (
        IMAGE,
        layer("Resizing", height=4, width=9, pad_to_aspect_ratio=True, fill_value=0.5),
    ),
    # Twice the size: other weights are rounded, and a half may become less or more.
    "resize whole numbers": (IMAGE, whole("Resizing", height=16, width=14)),
    "resize whole numbers in a frame": (
        IMAGE,
        whole("Resizing", height=20, width=14, pad_to_aspect_ratio=True, fill_value=3.0),
    ),
    "pick whole numbers": (IMAGE, whole("Resizing", height=5, width=9, interpolation="nearest")),
    "centre": (IMAGE, layer("CenterCrop", height=5, width=2)),
    "centre of all": (IMAGE, layer("CenterCrop", height=8, width=7)),
    "centre of less": (IMAGE, layer("CenterCrop", height=5, width=9)),
    "centre of less channels first": (
        IMAGE,
        layer("CenterCrop", height=9, width=5, data_format=FIRST),
    ),
}

MASKS: Mapping[str, Case] = {
    "mask for a mean": (SERIES, masked("GlobalAveragePooling1D")),
    "mask for a mean that is kept": (SERIES, masked("GlobalAveragePooling1D", keepdims=True)),
    "mask for a maximum": (SERIES, masked("GlobalMaxPooling1D")),
    "mask for a window": (
        SERIES,
        chain(masked("MaxPooling1D", pool_size=2), layer("GlobalAveragePooling1D")),
    ),
    "mask rescaled": (
        SERIES,
        chain(masked("Rescaling", scale=2.0, offset=-1.0), layer("GlobalAveragePooling1D")),
    ),
    "mask normalized": (
        SERIES,
        chain(masked("Normalization"), layer("GlobalAveragePooling1D")),
    ),
}

BINS = [-0.5, 0.0, 0.25]
PREPROCESSING: Mapping[str, Case] = {
    "rescale": (IMAGE, layer("Rescaling", scale=1 / 127.5, offset=-1.0)),
    "rescale channels": (
        IMAGE,
        layer("Rescaling", scale=[1.0, 2.0, 3.0, 4.0], offset=[0.5, 0.25, 0.0, 1.0]),
    ),
    "normalize": (IMAGE, layer("Normalization")),
    "normalize inverted": (IMAGE, layer("Normalization", invert=True)),
    "normalize an axis": (IMAGE, layer("Normalization", axis=1)),
    "normalize axes": (IMAGE, layer("Normalization", axis=(-1, 2))),
    "normalize all": (IMAGE, layer("Normalization", axis=None)),
    "normalize by numbers": (VECTOR, layer("Normalization", mean=0.5, variance=4.0)),
    "normalize by options": (
        SERIES,
        layer("Normalization", mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 0.0, 3.0]),
    ),
    "bins": (SERIES, layer("Discretization", bin_boundaries=BINS)),
    "bins one hot": (VECTOR, layer("Discretization", bin_boundaries=BINS, output_mode="one_hot")),
    "bins multi hot": (
        VECTOR,
        layer("Discretization", bin_boundaries=BINS, output_mode="multi_hot"),
    ),
    "bins counted": (VECTOR, layer("Discretization", bin_boundaries=BINS, output_mode="count")),
    **{
        f"category {mode}": (
            VECTOR,
            whole("CategoryEncoding", num_tokens=8, output_mode=mode),
        )
        for mode in ("one_hot", "multi_hot", "count")
    },
    "category alone": (
        (1,),
        whole("CategoryEncoding", num_tokens=8, output_mode="one_hot"),
    ),
    "pipeline": (
        IMAGE,
        lambda nn: nn.Pipeline(
            [
                nn.RandomFlip(),
                nn.Normalization(),
                nn.Resizing(5, 5),
                nn.Normalization(axis=1),
            ]
        ),
    ),
    "contrast": (IMAGE, layer("AutoContrast", value_range=(-1, 1))),
}

SOUND, SOUND_FIRST = (40, 2), (2, 40)
SPECTRA: Mapping[str, Case] = {
    f"{mode} {name}": (
        shape,
        layer("STFTSpectrogram", mode=mode, frame_length=8, fft_length=16, **options),
    )
    for mode in ("log", "magnitude", "psd", "real", "imag", "stft")
    for name, shape, options in (
        ("flat", SOUND, {"padding": "same", "frame_step": 3}),
        ("expanded", SOUND, {"expand_dims": True}),
        ("first", SOUND_FIRST, {"data_format": FIRST}),
        ("expanded first", SOUND_FIRST, {"data_format": FIRST, "expand_dims": True}),
    )
}

CHANGING: Mapping[str, Options] = {
    "AugMix": {},
    "CutMix": {},
    "MaxNumBoundingBoxes": {"max_number": 3},
    "MixUp": {},
    "RandAugment": {},
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {"brightness_factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomCrop": {"height": 8, "width": 7},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomFlip": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2},
    "RandomInvert": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
    "Solarization": {},
}
"""Layers that change images while they are trained only."""

SPATIAL: Mapping[str, Case] = {
    **dict(_windows()),
    **RESIZING,
    **MASKS,
    **PREPROCESSING,
    **SPECTRA,
    **{kind: ((8, 7, 3), layer(kind, **options)) for kind, options in CHANGING.items()},
}


def shapes() -> Mapping[str, tuple[int, ...]]:
    """The file name of each shape of an input."""
    return {"x".join(map(str, shape)): shape for shape, _ in SPATIAL.values()}


def write_all(folder: Path) -> None:
    """Has real Keras write a model for each shape, with random weights, and its reference."""
    import numpy as np

    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    from cortex.importer.keras.witness import oracle

    rng = np.random.default_rng(0)
    for name, shape in shapes().items():
        x: Any = keras.Input(shape, name="x")
        built = [build(keras.layers)(x) for wanted, build in SPATIAL.values() if wanted == shape]
        model: Any = keras.Model(x, built)
        for weight in model.weights:
            if "seed" not in weight.path:
                low = 0.2 if "variance" in weight.path else -1.0
                weight.assign(rng.uniform(low, 1, weight.shape))
        path, given = folder / f"{name}.keras", folder / "inputs.npz"
        model.save(path)
        np.savez(given, rng.uniform(-1, 1, (3, *shape)).astype("float32"))
        oracle.main(str(path), str(given), str(path.with_suffix(".reference.h5")))


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
