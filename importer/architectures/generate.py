"""Writes the architectures of ``keras.applications`` as data, from the programs that define them.

Run by hand, in an environment of its own, when tf_keras changes:

    pip install tensorflow-cpu==2.21 tf_keras==2.21 keras-applications==1.0.8
    python -m cortex.importer.architectures.generate importer/architectures/data

tf_keras is the Keras 2 that the published files of weights were written for and are loaded by;
keras-applications has the ResNet50 that tf_keras replaced in 2019. Nothing is downloaded: the
models are built as for the published weights (EfficientNet then divides once more by the deviation
of the colours), and these are never asked for. It takes about ten minutes and 4 GB of memory.

Each family is one file of lines of JSON, compressed: ``name``, ``model`` (the JSON of
``Model.to_json``), ``arrays`` (the shapes of each layer's arrays, as a file of weights lists them).
``index.json`` holds, for each name, its family and its fingerprints.
"""

from __future__ import annotations

import json
import lzma
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .fingerprint import by_name, by_order

Build = Callable[..., Any]
"""A constructor of ``keras.applications``: its options to a model."""

ALPHAS: Mapping[str, tuple[float, ...]] = {
    "mobilenet": (0.25, 0.5, 0.75, 1.0),
    "mobilenet_v2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
}
REGNETS = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
FAMILIES: Mapping[str, Mapping[str, str]] = {
    "vgg": {"vgg16": "VGG16", "vgg19": "VGG19"},
    "inception": {
        "inception_v3": "InceptionV3",
        "inception_resnet_v2": "InceptionResNetV2",
        "xception": "Xception",
    },
    "resnet": {
        f"resnet{depth}{v}": f"ResNet{depth}{v.upper()}"
        for v in ("", "v2")
        for depth in (50, 101, 152)
    },
    "resnet-rs": {f"resnet-rs-{n}": f"ResNetRS{n}" for n in (50, 101, 152, 200, 270, 350, 420)},
    "densenet": {f"densenet{n}": f"DenseNet{n}" for n in (121, 169, 201)},
    "nasnet": {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"},
    "efficientnet": {f"efficientnetb{n}": f"EfficientNetB{n}" for n in range(8)},
    "efficientnetv2": {
        f"efficientnetv2-{size.lower()}": f"EfficientNetV2{size}"
        for size in ("B0", "B1", "B2", "B3", "S", "M", "L")
    },
    "convnext": {
        f"convnext_{size.lower()}": f"ConvNeXt{size}"
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    "regnet": {
        f"regnet{kind.lower()}{size}": f"RegNet{kind}{size}" for kind in "XY" for size in REGNETS
    },
}
THEANO = ("vgg16", "vgg19", "resnet50_old")
"""What was also published for Theano: channels first, and so are the axes of its kernels."""

TRAINING_ENDINGS = ("_constraint", "_initializer", "_regularizer")
NEVER_READ = ("module", "registered_name", "build_config")


def main(folder: Path) -> None:
    """Writes all architectures into ``folder``."""
    keras = import_module("tf_keras")
    _without_downloads(keras)
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Mapping[str, str]] = {}
    for family, builds in _families(keras).items():
        lines: list[str] = []
        for name, build in builds.items():
            for entry in _entries(keras, name, build):
                lines.append(json.dumps(entry, separators=(",", ":")))
                index[entry["name"]] = {
                    "family": family,
                    "by_name": by_name(entry["arrays"]),
                    "by_order": by_order(entry["arrays"]),
                }
                print(entry["name"], len(entry["arrays"]), flush=True)
        (folder / f"{family}.jsonl.xz").write_bytes(
            lzma.compress("\n".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)
        )
    (folder / "index.json").write_text(json.dumps(index, indent=0) + "\n")


def _without_downloads(keras: Any) -> None:
    """Weights of ImageNet are asked for, which some models are built by, but not loaded."""
    downloads: Any = import_module("tf_keras.src.utils.data_utils")
    downloads.get_file = _nothing
    keras.Model.load_weights = _nothing

    def rescaled(x: Any, scale: list[float]) -> Any:
        return keras.layers.Rescaling(scale)(x)

    # It multiplies by a constant tensor, which to_json refuses. Keras 3 has a Rescaling there.
    efficientnet: Any = import_module("tf_keras.src.applications.efficientnet")
    efficientnet.tf = SimpleNamespace(
        io=efficientnet.tf.io, reshape=_first, math=SimpleNamespace(multiply=rescaled)
    )


def _nothing(*_: Any, **__: Any) -> str:
    return ""


def _first(value: Any, _: Any) -> Any:
    return value


def _families(keras: Any) -> dict[str, dict[str, Build]]:
    """The constructors of each family, by the names of their architectures."""
    published: dict[str, dict[str, Build]] = {
        family: {
            name: partial(getattr(keras.applications, constructor), weights="imagenet")
            for name, constructor in members.items()
        }
        for family, members in FAMILIES.items()
    }
    published["resnet"]["resnet50_old"] = _resnet50_old(keras)
    published["mobilenet"] = dict(_mobilenets(keras.applications))
    return published


def _mobilenets(applications: Any) -> Iterator[tuple[str, Build]]:
    """In every width that weights were published for."""
    for name, constructor in (("mobilenet", "MobileNet"), ("mobilenet_v2", "MobileNetV2")):
        for alpha in ALPHAS[name]:
            build = partial(getattr(applications, constructor), alpha=alpha, weights="imagenet")
            yield f"{name}_{alpha}", build
    for size in ("Small", "Large"):
        build = partial(getattr(applications, f"MobileNetV3{size}"), weights="imagenet")
        name = f"mobilenet_v3_{size.lower()}"
        for alpha in (0.75, 1.0):
            yield f"{name}_{alpha}", partial(build, alpha=alpha)
        yield f"{name}_minimalistic_1.0", partial(build, minimalistic=True)


def _resnet50_old(keras: Any) -> Build:
    """The ResNet50 whose layers are called res2a_branch2a, of Keras 1.1 to 2.2.4."""
    program = import_module("keras_applications.resnet50")
    parts = {"backend": "backend", "layers": "layers", "models": "models", "utils": "utils"}
    modules = {part: getattr(keras, module) for part, module in parts.items()}
    return partial(program.ResNet50, weights=None, **modules)


def _entries(keras: Any, name: str, build: Build) -> Iterator[dict[str, Any]]:
    """With and without its top; both again for Theano, if that was published."""
    for suffix, entry in zip(("", "_notop"), _pair(keras, build), strict=True):
        yield {"name": name + suffix, **entry}
    if name in THEANO:
        keras.backend.set_image_data_format("channels_first")
        for suffix, entry in zip(("_th", "_th_notop"), _pair(keras, build), strict=True):
            yield {"name": name + suffix, **_as_theano(entry)}
        keras.backend.set_image_data_format("channels_last")


def _pair(keras: Any, build: Build) -> Iterator[dict[str, Any]]:
    """With its top and without; for images of any size where that changes nothing else."""
    whole = _built(keras, build, True)
    top, one_size, usual = _entry(whole), _flattens(whole), whole.input_shape[1:]
    notop = _entry(_built(keras, build, False))
    fixed = _entry(_built(keras, build, False, input_shape=usual))
    if fixed["arrays"] != notop["arrays"]:  # NASNet has layers that only a known size asks for
        notop = fixed
    elif not one_size and _opened(fixed["model"]) == _opened(notop["model"]):
        # In others odd images are padded otherwise than even ones, or than those of open sizes.
        top["model"] = _opened(top["model"])
    yield top
    yield notop


def _built(keras: Any, build: Build, include_top: bool, **options: Any) -> Any:
    keras.backend.clear_session()  # automatic names count from the start again
    return build(include_top=include_top, **options)


def _entry(model: Any) -> dict[str, Any]:
    return {"model": _stripped(json.loads(model.to_json())), "arrays": _arrays(model)}


def _flattens(model: Any) -> bool:
    """Whether it flattens an image, so that its top fits one size only."""
    return any(
        type(layer).__name__ == "Flatten" and math.prod(layer.input_shape[1:-1]) > 1
        for layer in model.layers
    )


def _opened(value: Any) -> Any:
    """The same for images of any size, in the models inside it, too."""
    if isinstance(value, list):
        return [_opened(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _open_shape(one) if key == "batch_input_shape" else _opened(one)
        for key, one in value.items()
    }


def _open_shape(shape: list[int | None]) -> list[int | None]:
    channels = shape.index(3) if 3 in shape else 3
    return [n if axis == channels else None for axis, n in enumerate(shape)]


def _stripped(value: Any) -> Any:
    """Without what only matters when the weights are made."""
    if isinstance(value, list):
        return [_stripped(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _stripped(one)
        for key, one in value.items()
        if key not in NEVER_READ and not key.endswith(TRAINING_ENDINGS)
    }


def _arrays(model: Any) -> dict[str, list[list[int]]]:
    """The shapes of each layer's arrays, in the order that files of weights have."""
    found = {
        layer.name: [list(w.shape) for w in layer.trainable_weights + layer.non_trainable_weights]
        for layer in model.layers
    }
    return {name: shapes for name, shapes in found.items() if shapes}


def _as_theano(entry: dict[str, Any]) -> dict[str, Any]:
    """As Keras 1 had it on Theano: kernels (out, in, h, w), flattened as they lie in memory."""
    for layer in entry["model"]["config"]["layers"]:
        if layer["class_name"] == "Flatten":
            layer["config"]["data_format"] = "channels_last"  # which permutes nothing
    entry["model"]["backend"] = "theano"
    for shapes in entry["arrays"].values():
        shapes[:] = [[s[3], s[2], s[0], s[1]] if len(s) == 4 else s for s in shapes]
    return entry


if __name__ == "__main__":
    main(Path(sys.argv[1]))
