"""The built-in architectures are found by name, and by the arrays of a file of weights."""

from __future__ import annotations

import json
import lzma
import time
from functools import cache
from typing import Any

import pytest

from cortex.importer import architectures
from cortex.importer.architectures.catalogue import DATA
from cortex.importer.architectures.fingerprint import Arrays
from cortex.importer.keras.wiring import read_wiring
from cortex.runtime.errors import UsageError

PUBLISHED = [
    "vgg16", "vgg16_notop", "vgg19", "resnet50", "resnet50_notop", "resnet50_old", "resnet50v2",
    "resnet152v2_notop", "inception_v3", "inception_resnet_v2", "xception_notop", "mobilenet_1.0",
    "mobilenet_0.75_notop", "mobilenet_v2_1.4", "mobilenet_v3_large_1.0",
    "mobilenet_v3_small_minimalistic_1.0", "densenet121", "nasnet_mobile", "nasnet_large_notop",
    "efficientnetb0", "efficientnetb7_notop", "efficientnetv2-b0", "convnext_tiny", "regnetx002",
    "regnety320", "resnet-rs-50", "vgg16_th", "vgg19_th_notop", "resnet50_old_th",
]  # fmt: skip
OPEN, IMAGE = [None, None, None, 3], [None, 224, 224, 3]


@cache
def entries() -> dict[str, dict[str, Any]]:
    """Every architecture, each family read once."""
    lines = [
        line
        for file in sorted(DATA.glob("*.xz"))
        for line in lzma.decompress(file.read_bytes()).splitlines()
    ]
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def numbered(arrays: Arrays) -> Arrays:
    """The same arrays, of layers called otherwise."""
    return {f"layer_{number}": shapes for number, shapes in enumerate(arrays.values())}


def test_the_names_are_those_of_the_published_files() -> None:
    assert set(architectures.names()) == set(entries())
    assert set(architectures.names()) >= set(PUBLISHED)


def test_every_architecture_is_recognised_by_its_arrays_alone() -> None:
    for name, entry in entries().items():
        assert architectures.recognise(entry["arrays"]) == name
        assert architectures.recognise(numbered(entry["arrays"])) == name


def test_layers_in_another_order_are_recognised_by_their_names() -> None:
    arrays = entries()["inception_v3"]["arrays"]
    turned = dict(reversed(arrays.items()))
    assert architectures.recognise(turned) == "inception_v3"
    assert architectures.recognise(numbered(turned)) is None


def test_the_old_resnet50_differs_by_the_order_of_its_shortcuts() -> None:
    old, new = (numbered(architectures.arrays(name)) for name in ("resnet50_old", "resnet50"))
    assert sorted(map(str, old.values())) == sorted(map(str, new.values()))
    assert architectures.recognise(old) == "resnet50_old"


def test_a_count_of_what_a_layer_has_seen_may_be_missing() -> None:
    arrays = dict(architectures.arrays("efficientnetb0"))
    assert arrays["normalization"] == [[3], [3], []]
    arrays["normalization"] = [(3,), (3,)]
    assert architectures.recognise(arrays) == "efficientnetb0"


@pytest.mark.parametrize(
    "layers",
    [
        {},
        {"input_1": []},
        {"dense": [(784, 10), (10,)]},
        {"dense": [(-1, 10), ()], "": [()], "\udc80": [(2**70,)]},
        {f"dense_{n}": [(3, 3), (3,)] for n in range(100_000)},
    ],
    ids=["nothing", "no arrays", "another model", "hostile", "very many"],
)
def test_other_arrays_are_not_recognised(layers: Arrays) -> None:
    begin = time.perf_counter()
    assert architectures.recognise(layers) is None
    assert time.perf_counter() - begin < 1


def test_one_array_more_or_less_is_another_model() -> None:
    arrays = dict(architectures.arrays("vgg16"))
    del arrays["fc1"]
    assert architectures.recognise(arrays) is None
    assert architectures.recognise({**arrays, "fc1": [(25088, 4095), (4095,)]}) is None


def test_an_architecture_has_the_layers_that_its_arrays_are_of() -> None:
    for entry in entries().values():
        wiring = read_wiring(entry["model"])
        names = [layer.name for layer in wiring.layers]
        weighted = [name for name in names if name in entry["arrays"]]
        assert weighted == list(entry["arrays"])


def test_nothing_that_only_training_needs_is_stored() -> None:
    text = json.dumps([entry["model"] for entry in entries().values()])
    assert "_initializer" not in text
    assert "_regularizer" not in text


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("vgg16", IMAGE),
        ("vgg16_notop", OPEN),
        ("vgg16_th", [None, 3, 224, 224]),
        ("vgg16_th_notop", [None, 3, None, None]),
        ("resnet50", OPEN),
        ("mobilenet_0.25", OPEN),
        ("mobilenet_v3_large_1.0", OPEN),
        ("efficientnetb0", OPEN),
        ("efficientnetb1", [None, 240, 240, 3]),
        ("efficientnetb1_notop", OPEN),
        ("nasnet_mobile_notop", IMAGE),
        ("convnext_tiny", OPEN),
    ],
)
def test_images_may_have_any_size_unless_a_layer_depends_on_it(
    name: str, shape: list[int | None]
) -> None:
    first = architectures.architecture(name)["config"]["layers"][0]
    assert first["config"]["batch_input_shape"] == shape


def test_the_old_models_of_theano_flatten_as_their_images_lie() -> None:
    model = entries()["vgg16_th"]["model"]
    layers = {layer["class_name"]: layer["config"] for layer in model["config"]["layers"]}
    assert model["backend"] == "theano"
    assert layers["Conv2D"]["data_format"] == "channels_first"
    assert layers["Flatten"]["data_format"] == "channels_last"
    assert entries()["vgg16_th"]["arrays"]["block1_conv1"] == [[64, 3, 3, 3], [64]]


def test_the_published_efficientnet_divides_once_more() -> None:
    layers = entries()["efficientnetb0"]["model"]["config"]["layers"]
    assert [layer["class_name"] for layer in layers[1:4]] == [
        "Rescaling",
        "Normalization",
        "Rescaling",
    ]


def test_variants_go_on_from_the_name() -> None:
    assert architectures.variants("vgg16") == ["vgg16", "vgg16_notop", "vgg16_th", "vgg16_th_notop"]
    assert architectures.variants("resnet50v2") == ["resnet50v2", "resnet50v2_notop"]
    assert architectures.variants("vgg") == []


def test_the_arrays_choose_the_variant() -> None:
    notop = architectures.arrays("mobilenet_0.75_notop")
    found = architectures.architecture("mobilenet", notop)
    assert found == architectures.architecture("mobilenet_0.75_notop")
    unknown = {"dense": [(2, 2)]}
    assert architectures.architecture("vgg16", unknown) == entries()["vgg16"]["model"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg61", "--architecture vgg61: there is none of this name; close to it are vgg19, vgg16"),
        ("?", "--architecture ?: there is none of this name"),
        ("mobilenet_0.5_", "--architecture mobilenet_0.5_: there is none of this name; close"),
        ("mobilenet_0.5_notop_", "--architecture mobilenet_0.5_notop_: there is none"),
        ("mobilenet", "--architecture mobilenet: it may be mobilenet_0.25, mobilenet_0.25_notop"),
        ("", "--architecture : there is none of this name"),
    ],
)
def test_a_wrong_name_is_refused_with_those_close_to_it(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        architectures.architecture(name)
    assert str(caught.value).startswith(message)


def test_an_architecture_may_be_changed_by_whoever_asked_for_it() -> None:
    architectures.architecture("vgg16")["config"]["layers"].clear()
    assert architectures.architecture("vgg16")["config"]["layers"]
