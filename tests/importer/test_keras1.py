"""Keras 0 and 1 in the words of Keras 2: every layer, every layout of arrays, every real file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
import pytest

from cortex.importer.deferred import Deferred, join
from cortex.importer.keras.arrays import Arrays
from cortex.importer.keras.keras1 import (
    arrays,
    keeps_deviation,
    translate,
    translate_model,
    written_on,
)
from cortex.importer.keras.keras1.keras0 import arrays_by_name
from cortex.importer.keras.keras1.theano import Writer
from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported

CONVOLUTION = {
    "nb_filter": 4, "nb_row": 3, "nb_col": 2, "subsample": [2, 1], "border_mode": "valid",
    "dim_ordering": "th", "bias": False, "activation": "relu", "init": "uniform",
    "W_regularizer": {"name": "WeightRegularizer", "l2": 0.1}, "b_constraint": None,
}  # fmt: skip
CONVOLVED = {
    "filters": 4, "kernel_size": [3, 2], "strides": [2, 1], "padding": "valid",
    "data_format": "channels_first", "use_bias": False, "activation": "relu",
}  # fmt: skip
SEQUENCE = {"nb_filter": 4, "filter_length": 3, "subsample_length": 2, "border_mode": "valid"}
SLID = {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "valid"}
RECURRENT = {
    "output_dim": 5, "inner_activation": "hard_sigmoid", "activation": "tanh", "dropout_W": 0.1,
    "dropout_U": 0.2, "inner_init": "orthogonal", "forget_bias_init": "one", "consume_less": "gpu",
    "return_sequences": True, "go_backwards": False, "stateful": False, "unroll": True,
    "input_dim": None, "input_length": None,
}  # fmt: skip
REPEATED = {
    "units": 5, "recurrent_activation": "hard_sigmoid", "activation": "tanh", "dropout": 0.1,
    "recurrent_dropout": 0.2, "return_sequences": True, "go_backwards": False, "stateful": False,
    "unroll": True,
}  # fmt: skip
LAST = {"data_format": "channels_last"}

LAYERS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "dense": (
        "Dense",
        {"output_dim": 3, "bias": True, "input_dim": 7, "init": "uniform"},
        "Dense",
        {"units": 3, "use_bias": True, "batch_input_shape": [None, 7]},
    ),
    "input": (
        "InputLayer",
        {"batch_input_shape": [None, 3], "input_dtype": "int32", "sparse": False},
        "InputLayer",
        {"batch_input_shape": [None, 3], "dtype": "int32", "sparse": False},
    ),
    "images": ("Convolution2D", CONVOLUTION, "Conv2D", CONVOLVED),
    "images with holes": (
        "AtrousConvolution2D",
        CONVOLUTION | {"atrous_rate": [2, 3]},
        "Conv2D",
        CONVOLVED | {"dilation_rate": [2, 3]},
    ),
    "separated": (
        "SeparableConvolution2D",
        CONVOLUTION | {"depth_multiplier": 2, "depthwise_regularizer": None},
        "SeparableConv2D",
        CONVOLVED | {"depth_multiplier": 2},
    ),
    "not shared": ("LocallyConnected2D", CONVOLUTION, "LocallyConnected2D", CONVOLVED),
    "transposed": (
        "Deconvolution2D",
        CONVOLUTION | {"output_shape": [None, 4, 14, 15]},
        "Conv2DTranspose",
        CONVOLVED | {"output_shape": [14, 15]},
    ),
    "transposed, channels last": (
        "Deconvolution2D",
        CONVOLUTION | {"output_shape": [None, 14, 15, 4], "dim_ordering": "tf"},
        "Conv2DTranspose",
        CONVOLVED | {"output_shape": [14, 15]} | LAST,
    ),
    "full": (
        "Convolution2D",
        CONVOLUTION | {"border_mode": "full"},
        "Conv2D",
        CONVOLVED | {"padding": [[2, 2], [1, 1]]},
    ),
    "half, with holes": (
        "AtrousConvolution2D",
        CONVOLUTION | {"border_mode": "half", "atrous_rate": [2, 2]},
        "Conv2D",
        CONVOLVED | {"padding": [[2, 2], [1, 1]], "dilation_rate": [2, 2]},
    ),
    "volumes": (
        "Convolution3D",
        {"nb_filter": 4, "kernel_dim1": 1, "kernel_dim2": 2, "kernel_dim3": 3,
         "subsample": [1, 1, 1], "border_mode": "same", "dim_ordering": "tf"},
        "Conv3D",
        {"filters": 4, "kernel_size": [1, 2, 3], "strides": [1, 1, 1], "padding": "same"} | LAST,
    ),
    "sequences": (
        "Convolution1D",
        SEQUENCE | {"input_dim": 6, "input_length": 9},
        "Conv1D",
        SLID | {"batch_input_shape": [None, 9, 6]},
    ),
    "sequences with holes": (
        "AtrousConvolution1D", SEQUENCE | {"atrous_rate": 2}, "Conv1D", SLID | {"dilation_rate": 2}
    ),
    "sequences, not shared": ("LocallyConnected1D", SEQUENCE, "LocallyConnected1D", SLID),
    "pooled sequences": (
        "MaxPooling1D",
        {"pool_length": 2, "stride": 3, "border_mode": "same"},
        "MaxPooling1D",
        {"pool_size": 2, "strides": 3, "padding": "same"},
    ),
    "pooled images": (
        "AveragePooling2D",
        {"pool_size": [2, 2], "strides": [1, 1], "border_mode": "valid", "dim_ordering": "default"},
        "AveragePooling2D",
        {"pool_size": [2, 2], "strides": [1, 1], "padding": "valid"} | LAST,
    ),
    "pooled whole": ("GlobalMaxPooling2D", {"dim_ordering": "tf"}, "GlobalMaxPooling2D", LAST),
    "repeated steps": ("UpSampling1D", {"length": 2}, "UpSampling1D", {"size": 2}),
    "repeated pixels": ("UpSampling2D", {"size": [2, 2]}, "UpSampling2D", {"size": [2, 2]} | LAST),
    "padded": ("ZeroPadding2D", {"padding": [1, 2]}, "ZeroPadding2D", {"padding": [1, 2]} | LAST),
    "padded on four sides": (
        "ZeroPadding2D", {"padding": [1, 2, 3, 4]},
        "ZeroPadding2D", {"padding": [[1, 2], [3, 4]]} | LAST,
    ),
    "padded on named sides": (
        "ZeroPadding2D", {"padding": {"top_pad": 1, "right_pad": 2}},
        "ZeroPadding2D", {"padding": [[1, 0], [0, 2]]} | LAST,
    ),
    "padded sequences": (
        "ZeroPadding1D", {"padding": {"right_pad": 2}}, "ZeroPadding1D", {"padding": [0, 2]}
    ),
    "cropped": (
        "Cropping2D", {"cropping": [[1, 2], [3, 4]]},
        "Cropping2D", {"cropping": [[1, 2], [3, 4]]} | LAST,
    ),
    "dropout": ("Dropout", {"p": 0.3}, "Dropout", {"rate": 0.3}),
    "dropped maps": ("SpatialDropout2D", {"p": 0.3}, "SpatialDropout2D", {"rate": 0.3} | LAST),
    "multiplied noise": ("GaussianDropout", {"p": 0.3}, "GaussianDropout", {"rate": 0.3}),
    "added noise": ("GaussianNoise", {"sigma": 0.3}, "GaussianNoise", {"stddev": 0.3}),
    "lstm": ("LSTM", RECURRENT, "LSTM", REPEATED),
    "gru": (
        "GRU", RECURRENT | {"input_dim": 2, "input_length": 8},
        "GRU", REPEATED | {"reset_after": False, "batch_input_shape": [None, 8, 2]},
    ),
    "recurrent convolution": (
        "ConvLSTM2D",
        {**CONVOLUTION, "inner_activation": "sigmoid", "U_regularizer": None},
        "ConvLSTM2D",
        CONVOLVED | {"recurrent_activation": "sigmoid"},
    ),
    "embedding": (
        "Embedding",
        {"input_dim": 9, "output_dim": 2, "input_length": 5, "mask_zero": True, "dropout": 0.1,
         "input_dtype": "int32", "init": "uniform"},
        "Embedding",
        {"input_dim": 9, "output_dim": 2, "mask_zero": True, "batch_input_shape": [None, 5]},
    ),
    "dense over time": (
        "TimeDistributedDense",
        {"output_dim": 3, "activation": "relu", "input_dim": 4, "input_length": 6},
        "TimeDistributed",
        {"batch_input_shape": [None, 6, 4],
         "layer": {"class_name": "Dense",
                   "config": {"name": "x", "units": 3, "activation": "relu"}}},
    ),
    "wrapped": (
        "Bidirectional",
        {"merge_mode": "ave", "layer": {"class_name": "SimpleRNN", "config": {"output_dim": 3}}},
        "Bidirectional",
        {"merge_mode": "ave", "layer": {"class_name": "SimpleRNN", "config": {"units": 3}}},
    ),
    "normalized": (
        "BatchNormalization",
        {"mode": 0, "axis": 1, "epsilon": 1e-3, "momentum": 0.9, "gamma_regularizer": None,
         "beta_init": "zero"},
        "BatchNormalization",
        {"axis": 1, "epsilon": 1e-3, "momentum": 0.9},
    ),
    "normalized by row": (
        "BatchNormalization", {"mode": 1, "axis": -1}, "BatchNormalization", {"mode": 1, "axis": -1}
    ),
    "highway": (
        "Highway", {"bias": False, "transform_bias": -2},
        "Highway", {"use_bias": False},
    ),
    "maxout": (
        "MaxoutDense", {"output_dim": 3, "nb_feature": 4},
        "MaxoutDense", {"units": 3, "nb_feature": 4},
    ),
    "leaky": ("LeakyReLU", {"alpha": 0.1}, "LeakyReLU", {"alpha": 0.1}),
    "softplus": ("ParametricSoftplus", {"alpha_init": 0.2, "beta_init": 5.0},
                 "ParametricSoftplus", {}),
    "s": ("SReLU", {"t_left_init": "zero", "a_left_init": "glorot_uniform"}, "SReLU", {}),
    "reshape": ("Reshape", {"dims": [2, 3]}, "Reshape", {"target_shape": [2, 3]}),
    "permute": ("Permute", {"dims": [2, 1]}, "Permute", {"dims": [2, 1]}),
    "mean over time": ("TimeDistributedMerge", {"mode": "ave"}, "GlobalAveragePooling1D", {}),
    "code": ("Lambda", {"function": ["code"]}, "Lambda", {"function": ["code"]}),
    "somebody's own": ("Mine", {"p": 1, "nb_row": 2, "dim_ordering": "th"},
                       "Mine", {"p": 1, "nb_row": 2, "dim_ordering": "th"}),
    "sum": ("Merge", {"mode": "sum", "mode_type": "raw", "concat_axis": -1, "dot_axes": -1,
                      "output_shape": None, "arguments": {}}, "Add", {}),
    "mul": ("Merge", {"mode": "mul"}, "Multiply", {}),
    "ave": ("Merge", {"mode": "ave"}, "Average", {}),
    "max": ("Merge", {"mode": "max"}, "Maximum", {}),
    "concat": ("Merge", {"mode": "concat", "concat_axis": 1}, "Concatenate", {"axis": 1}),
    "dot": ("Merge", {"mode": "dot", "dot_axes": [1, 2]},
            "Dot", {"axes": [1, 2], "normalize": False}),
    "dot of Keras 0": ("Merge", {"mode": "dot", "dot_axes": [[2], [1]]},
                       "Dot", {"axes": [2, 1], "normalize": False}),
    "cos": ("Merge", {"mode": "cos", "dot_axes": -1},
            "Dot", {"axes": -1, "normalize": True, "expand_dims": 1}),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYERS)
def test_layer(case: str) -> None:
    kind, config, new_kind, new_config = LAYERS[case]
    found = translate({"class_name": kind, "config": {"name": "x", "trainable": True} | config})
    trainable = found["config"].pop("trainable")
    found["config"].get("layer", {}).get("config", {}).pop("trainable", None)
    assert trainable
    assert found == {"class_name": new_kind, "config": {"name": "x"} | new_config}


REFUSED: dict[str, tuple[str, dict[str, Any], type[CortexError], str]] = {
    "statistics of the batch": (
        "BatchNormalization", {"mode": 2}, Unsupported, "BatchNormalization 'x': mode=2"
    ),
    "code that merges": (
        "Merge", {"mode": ["code"], "mode_type": "lambda"}, Unsupported,
        "Merge 'x': its mode is a lambda of Python",
    ),
    "a dictionary": ("Merge", {"mode": "join"}, Unsupported, "its mode is 'join'"),
    "several axes": (
        "Merge", {"mode": "dot", "dot_axes": [[1, 2], [1, 2]]}, Unsupported, "dot_axes=.* is not"
    ),
    "no size": ("Deconvolution2D", CONVOLUTION, UnreadableFile, "'x': its output_shape is None"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_layer_is_refused(case: str) -> None:
    kind, config, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        translate({"class_name": kind, "config": {"name": "x"} | config})


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def test_dim_ordering_of_a_layer_that_says_none_is_that_of_the_others() -> None:
    inner = {"class_name": "Sequential", "config": [layer("ZeroPadding2D", "c", padding=[1, 1])]}
    layers = [
        layer("UpSampling2D", "a", size=[2, 2], dim_ordering="default"),
        inner,
        layer("TimeDistributed", "d", layer=layer("MaxPooling2D", "e", dim_ordering="th")),
    ]
    found = translate_model({"class_name": "Sequential", "config": layers})["config"]
    assert found[0]["config"]["data_format"] == "channels_first"
    assert found[1]["config"][0]["config"]["data_format"] == "channels_first"
    assert found[2]["config"]["layer"]["config"]["data_format"] == "channels_first"


def test_functional_model() -> None:
    inner = {"name": "m", "layers": [], "input_layers": [], "output_layers": []}
    layers = [
        {**layer("InputLayer", "x", batch_input_shape=[None, 3]), "name": "x", "inbound_nodes": []},
        {**layer("Dense", "a", output_dim=3), "name": "a", "inbound_nodes": [[["x", 0, 0]]]},
        {"class_name": "Container", "name": "m", "config": inner, "inbound_nodes": []},
    ]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["a", 0, 0]]}
    config: dict[str, Any] = {"layers": layers, **ends}
    model = {"class_name": "Model", "config": config, "keras_version": "1.2.2"}
    found = translate_model(model)
    assert found["keras_version"] == "1.2.2"
    assert found["config"]["input_layers"] == [["x", 0, 0]]
    assert found["config"]["layers"][1] == {
        "class_name": "Dense", "name": "a", "config": {"name": "a", "units": 3},
        "inbound_nodes": [[["x", 0, 0]]],
    }  # fmt: skip
    assert found["config"]["layers"][2]["class_name"] == "Model"
    assert config["layers"][1]["config"] == {"name": "a", "output_dim": 3}  # nothing is changed


def branch(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": list(layers)}


def merge(*branches: dict[str, Any], name: str = "merged") -> dict[str, Any]:
    return layer("Merge", name, mode="concat", concat_axis=1, layers=list(branches))


def wired(model: dict[str, Any]) -> dict[str, Any]:
    """What each layer of a functional model is called on."""
    return {entry["name"]: entry["inbound_nodes"] for entry in model["config"]["layers"]}


def first(name: str) -> dict[str, Any]:
    return layer("Dense", name, output_dim=4, batch_input_shape=[None, 3], input_dtype="float32")


def test_a_sequential_that_merges_is_functional() -> None:
    shared = layer("Dense", "shared", output_dim=4)
    inner = branch(merge(branch(first("c")), branch(first("d")), name="inner"), shared)
    found = translate_model(
        branch(merge(branch(first("a"), shared), inner), layer("Dense", "end", output_dim=1))
    )
    assert found["class_name"] == "Model"
    assert wired(found) == {
        "a_input": [], "a": [[["a_input", 0, 0]]],
        "shared": [[["a", 0, 0]], [["inner", 0, 0]]],
        "c_input": [], "c": [[["c_input", 0, 0]]],
        "d_input": [], "d": [[["d_input", 0, 0]]],
        "inner": [[["c", 0, 0], ["d", 0, 0]]],
        "merged": [[["shared", 0, 0], ["shared", 1, 0]]],
        "end": [[["merged", 0, 0]]],
    }  # fmt: skip
    config = found["config"]
    assert config["input_layers"] == [["a_input", 0, 0], ["c_input", 0, 0], ["d_input", 0, 0]]
    assert config["output_layers"] == [["end", 0, 0]]
    by_name = {entry["name"]: entry for entry in config["layers"]}
    assert by_name["merged"]["class_name"] == "Concatenate"
    assert by_name["merged"]["config"] == {"name": "merged", "axis": 1}
    assert by_name["a_input"]["config"] == {
        "name": "a_input", "batch_input_shape": [None, 3], "dtype": "float32"
    }  # fmt: skip


def test_a_chain_in_two_branches_is_one_layer() -> None:
    base = branch(first("a"))
    ends = [layer("Dense", name, output_dim=1) for name in "bc"]
    found = translate_model(branch(merge(*(branch(base, end) for end in ends))))
    assert wired(found) == {
        "sequential_0_input": [], "sequential_0": [[["sequential_0_input", 0, 0]]],
        "b": [[["sequential_0", 0, 0]]],
        "c": [[["sequential_0", 0, 0]]],
        "merged": [[["b", 0, 0], ["c", 0, 0]]],
    }  # fmt: skip


def test_branches_of_every_kind() -> None:
    given = {**layer("InputLayer", "x", batch_input_shape=[None, 3]), "inbound_nodes": []}
    dense = {**layer("Dense", "a", output_dim=4), "inbound_nodes": [[["x", 0, 0]]]}
    config = {
        "name": "m",
        "layers": [{**given, "name": "x"}, {**dense, "name": "a"}],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["a", 0, 0]],
    }
    functional = {"class_name": "Model", "config": config}
    begins = branch(first("b"))
    found = translate_model(
        branch(merge(functional, first("c"), branch(begins), branch(layer("InputLayer", "y"))))
    )
    assert wired(found) == {
        "x": [], "a": [[["x", 0, 0]]],
        "c_input": [], "c": [[["c_input", 0, 0]]],
        "sequential_4_input": [], "sequential_4": [[["sequential_4_input", 0, 0]]],
        "y": [], "merged": [[["a", 0, 0], ["c", 0, 0], ["sequential_4", 0, 0], ["y", 0, 0]]],
    }  # fmt: skip
    same = translate_model(branch(merge(branch(first("a")), branch(first("a")))))
    assert wired(same)["merged"] == [[["a", 0, 0], ["a", 0, 0]]]
    assert same["config"]["input_layers"] == [["a_input", 0, 0]]


def test_keras_0() -> None:
    def old(kind: str, **options: Any) -> dict[str, Any]:
        return {"name": kind, "custom_name": kind.lower(), "cache_enabled": True, **options}

    layers = [
        old("Dense", output_dim=4, input_shape=[3], trainable=True),
        old("Dense", output_dim=2, input_dim=None),
        old("TimeDistributed", layer=old("Dense", output_dim=5)),
    ]
    found = translate_model({"name": "Sequential", "layers": layers, "optimizer": {"name": "SGD"}})
    assert found == branch(
        layer("Dense", "dense", units=4, trainable=True, batch_input_shape=[None, 3]),
        layer("Dense", "dense_2", units=2),
        layer("TimeDistributed", "timedistributed", layer=layer("Dense", "dense_3", units=5)),
    )


def old(kind: str, **options: Any) -> dict[str, Any]:
    return {"name": kind, "cache_enabled": True, **options}


def old_chain(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"name": "Sequential", "layers": list(layers)}


def test_a_chain_of_keras_0_inside_a_chain_is_a_part_of_it() -> None:
    inner = old_chain(old("Dense", output_dim=4), old("Activation", activation="relu"))
    found = translate_model(old_chain(inner, old("Dense", output_dim=2)))
    assert [entry["config"]["name"] for entry in found["config"]] == [
        "dense", "activation", "dense_2"
    ]  # fmt: skip


def numbered(*counts: int) -> Arrays:
    """Arrays as Keras 0 numbers them: so many in each layer."""
    places = [(f"layer_{i}", f"param_{n}") for i, count in enumerate(counts) for n in range(count)]
    return Arrays([(place, held(float(i))) for i, place in enumerate(places)])


def test_arrays_of_keras_0_by_the_names_of_layers() -> None:
    branches = [old_chain(old("LSTM", output_dim=2)), old_chain(old("Dense", output_dim=2))]
    model = old_chain(
        old("Merge", mode="concat", layers=branches),
        old("Dropout", p=0.5),
        old("TimeDistributed", layer=old_chain(old("Dense"), old("Dense"))),
        old("Embedding", dropout=0.25),
    )
    stored = numbered(14, 0, 4, 1)
    found = arrays_by_name(model, stored)
    expected = [("lstm", 12), ("dense", 2), ("timedistributed", 4), ("embedding", 1)]
    assert [place for place, _ in found.stored] == [
        (layer, f"param_{number}") for layer, count in expected for number in range(count)
    ]
    numbers = [float(np.asarray(array)) for _, array in found.stored]
    assert numbers == [*range(18), 0.75 * 18]  # the share of words that 0.3.3 keeps
    with pytest.raises(UnreadableFile, match="it has 18 arrays, its layers ask for 19"):
        arrays_by_name(model, numbered(14, 0, 4))
    unknown = old_chain(old("Mine"))
    assert arrays_by_name(unknown, stored) is stored


def test_dropout_of_which_nobody_knows_what_it_did() -> None:
    layers = [{"name": "Dense", "output_dim": 3}, {"name": "Dropout", "p": 0.25}]
    with pytest.raises(Unsupported, match=r"Keras 0\.2 multiplied by 0\.75"):
        translate_model(old_chain(*layers))
    translate_model(old_chain(*layers, {"name": "Flatten", "cache_enabled": True}))


BROKEN: dict[str, tuple[Any, type[CortexError], str]] = {
    "a graph": ({"name": "Graph"}, Unsupported, "class 'Graph'"),
    "no class": ({"config": []}, UnreadableFile, "cannot be understood: KeyError 'name'"),
    "no layers": ({"class_name": "Model", "config": {}}, UnreadableFile, "KeyError 'layers'"),
    "no dictionary": (branch(layer("Dense", "a"), 3), UnreadableFile, "TypeError"),  # pyright: ignore
    "sizes that are none": (
        branch(layer("Convolution2D", "a", nb_filter=4, nb_row="3", nb_col=3, border_mode="full")),
        UnreadableFile,
        "TypeError",
    ),
    "no shape": (
        branch(merge(branch(layer("Dense", "a", output_dim=1)), branch(first("b")))),
        UnreadableFile,
        "layer 'a': no shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_model_is_refused(case: str) -> None:
    model, error, message = BROKEN[case]
    with pytest.raises(error, match=message):
        translate_model(model)


def test_a_model_too_deep() -> None:
    model = branch()
    for _ in range(5000):
        model = branch(model)
    with pytest.raises(UnreadableFile, match="RecursionError"):
        translate_model(model)


# Theano


def along(n: int, k: int, stride: int, before: int, after: int) -> list[int]:
    """Where the windows of a padded axis begin."""
    return list(range(-before, n + after - k + 1, stride))


@pytest.mark.parametrize("kind", ["convolution", "pooling"])
def test_same_of_theano(kind: str) -> None:
    """Keras pads both sides, lets Theano slide, and cuts off what is more than ceil(n / stride)."""
    for n, k, stride in np.ndindex(12, 7, 3):
        n, k, stride = n + 1, k + 1, stride + 1
        if kind == "convolution":
            old = {"nb_filter": 1, "filter_length": k, "subsample_length": stride}
            found = translate(
                layer("Convolution1D", "x", **old, border_mode="same"), Writer(theano=True)
            )
            pad = k // 2
        else:
            old = {"pool_length": k, "stride": stride}
            found = translate(
                layer("MaxPooling1D", "x", **old, border_mode="same"), Writer(theano=True)
            )
            pad = k - 2 if k > 2 and k % 2 else k - 1
        wanted = along(n, k, stride, pad, pad)[: (n + stride - 1) // stride]
        padding: Any = found["config"]["padding"]
        if padding == "same":  # what TensorFlow does
            total = max((len(wanted) - 1) * stride + k - n, 0)
            padding = [[total // 2, total - total // 2]]
        assert along(n, k, stride, *padding[0]) == wanted


@pytest.mark.parametrize(
    ("version", "expected"), [("", "first"), ("1.0.8", "first"), ("1.1.0", "last")]
)
def test_dim_ordering_that_no_layer_says(version: str, expected: str) -> None:
    found = translate_model(branch(layer("UpSampling2D", "x", size=[2, 2])), version=version)
    assert found["config"][0]["config"]["data_format"] == f"channels_{expected}"


def test_same_of_theano_in_older_versions() -> None:
    volume = layer(
        "Convolution3D", "x", nb_filter=1, kernel_dim1=2, kernel_dim2=3, kernel_dim3=4,
        border_mode="same",
    )  # fmt: skip
    found = [translate(volume, Writer(True, version))["config"] for version in ("1.1.0", "1.1.1")]
    assert found[0]["padding"] == "same"
    assert found[1]["padding"] == [[1, 0], [1, 1], [2, 1]]
    pooling = layer("MaxPooling2D", "x", pool_size=[1, 2], border_mode="same")
    assert translate(pooling, Writer(True, "1.2.0"))["config"]["padding"] == [[0, 0], [1, 0]]
    with pytest.raises(Unsupported, match="pads a window of one by -1"):
        translate(pooling, Writer(True, "1.1.2"))
    translate(pooling, Writer(False, "1.1.2"))


def test_theano_elsewhere() -> None:
    def padding(kind: str, **config: Any) -> Any:
        options = CONVOLUTION | config | {"border_mode": "same"}
        return translate(layer(kind, "x", **options), Writer(theano=True))["config"]

    size = {"output_shape": [None, 4, 14, 14], "nb_col": 3}
    assert padding("Deconvolution2D", **size)["padding"] == [[1, 1], [1, 1]]
    with pytest.raises(Unsupported, match="even kernel"):
        padding("Deconvolution2D", **size | {"nb_row": 4})
    odd = {"nb_col": 3, "subsample": [1, 1]}
    assert padding("ConvLSTM2D", **odd)["padding"] == "same"
    assert "recurrent_padding" not in padding("ConvLSTM2D", **odd)
    assert padding("ConvLSTM2D")["recurrent_padding"] == [[1, 1], [1, 0]]


BACKENDS = {
    "tensorflow": ["dense_1/dense_1_W:0", "dense_1/dense_1_b:0"],
    "theano": ["dense_1/dense_1_W", "dense_1/param_1"],
    None: ["layer_0/param_0"],
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_backend_shows_in_the_names_of_variables(backend: str | None) -> None:
    assert written_on(BACKENDS[backend]) == backend


@pytest.mark.parametrize(
    ("version", "expected"),
    [("", True), ("0", True), ("1", True), ("1.0.5", True), ("1.0.6", False), ("1.2.2", False)],
)
def test_when_a_deviation_became_a_variance(version: str, expected: bool) -> None:
    assert keeps_deviation(version) is expected


# Arrays


def held(array: Any, name: str = "x") -> Deferred:
    array = np.asarray(array, np.float32)
    return Deferred(name, array.shape, array.dtype, lambda: array)


def counted(*shapes: tuple[int, ...]) -> list[Deferred]:
    """Arrays of different numbers."""
    rng = np.random.default_rng(0)
    return [held(rng.normal(size=shape), f"x_{i}") for i, shape in enumerate(shapes)]


def gates(count: int, kernel: tuple[int, ...], recurrent: tuple[int, ...]) -> list[Deferred]:
    """For each gate a kernel of 0, 1, …, a recurrent kernel of 10, 11, … and a bias of 20, …."""
    return [
        held(np.full(shape, 10 * part + gate))
        for gate in range(count)
        for part, shape in enumerate((kernel, recurrent, kernel[-1:]))
    ]


def read(found: Any) -> dict[str, Any]:
    return {name: np.asarray(array) for name, array in found.items()}


CONV = {"filters": 5, "kernel_size": [2, 3]}


def axes(*order: int) -> Callable[[Any], Any]:
    return lambda array: array.transpose(order)


TURNED: dict[str, tuple[str, dict[str, Any], tuple[int, ...], Any]] = {
    "images": ("Conv2D", CONV, (2, 3, 4, 5), axes(0, 1, 2, 3)),
    "images, channels first": (
        "Conv2D", CONV | {"data_format": "channels_first"}, (5, 4, 2, 3),
        axes(2, 3, 1, 0),
    ),
    "sequences": (
        "Conv1D", {"filters": 5, "kernel_size": 3}, (3, 1, 4, 5), np.squeeze
    ),
    "sequences up to 1.1": (
        "Conv1D", {"filters": 5, "kernel_size": [3]}, (5, 4, 3, 1), np.transpose
    ),
    "volumes, channels first": (
        "Conv3D", {"filters": 5, "kernel_size": [2, 3, 4], "data_format": "channels_first"},
        (5, 6, 2, 3, 4), axes(2, 3, 4, 1, 0),
    ),
    "transposed": ("Conv2DTranspose", CONV, (2, 3, 4, 5), axes(0, 1, 3, 2)),
    "transposed, channels first": (
        "Conv2DTranspose", CONV | {"data_format": "channels_first"}, (5, 4, 2, 3),
        axes(2, 3, 0, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("case", TURNED)
def test_kernels(case: str, flip: bool) -> None:
    kind, config, shape, change = TURNED[case]
    stored = counted(shape, (5,))
    found = read(arrays(kind, config, stored, flip=flip))
    kernel = change(np.asarray(stored[0])).reshape(found["kernel"].shape)
    count = 1 if isinstance(config["kernel_size"], int) else len(config["kernel_size"])
    spatial = tuple(range(count))
    np.testing.assert_array_equal(found["kernel"], np.flip(kernel, spatial) if flip else kernel)
    np.testing.assert_array_equal(found["bias"], np.asarray(stored[1]))
    bare = arrays(kind, config | {"use_bias": False}, stored[:1], flip=flip)
    assert list(bare) == ["kernel"]


def test_separable_kernels_are_never_turned() -> None:
    config = CONV | {"depth_multiplier": 2, "data_format": "channels_first"}
    stored = counted((2, 4, 2, 3), (5, 8, 1, 1), (5,))
    found = read(arrays("SeparableConv2D", config, stored, flip=True))
    depthwise, pointwise, _ = map(np.asarray, stored)
    np.testing.assert_array_equal(found["depthwise_kernel"], depthwise.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(found["pointwise_kernel"], pointwise.transpose(2, 3, 1, 0))


def test_gates() -> None:
    found = read(arrays("LSTM", {"units": 2}, gates(4, (3, 2), (2, 2))))  # stored i, c, f, o
    assert found["kernel"].shape == (3, 8)
    assert found["kernel"][0].tolist() == [0, 0, 2, 2, 1, 1, 3, 3]
    assert found["recurrent_kernel"][1].tolist() == [10, 10, 12, 12, 11, 11, 13, 13]
    assert found["bias"].tolist() == [20, 20, 22, 22, 21, 21, 23, 23]
    found = read(arrays("GRU", {"units": 2}, gates(3, (3, 2), (2, 2))))
    assert found["kernel"][0].tolist() == [0, 0, 1, 1, 2, 2]
    joined = counted((3, 8), (2, 8), (8,))
    assert list(arrays("LSTM", {"units": 2}, joined).values()) == joined
    plain = counted((3, 2), (2, 2), (2,))
    assert list(arrays("SimpleRNN", {"units": 2}, plain)) == ["kernel", "recurrent_kernel", "bias"]


@pytest.mark.parametrize("first", [False, True])
def test_recurrent_convolution(first: bool) -> None:
    config: dict[str, Any] = {"filters": 2, "kernel_size": [2, 3]}
    shapes = [(2, 3, 4, 2), (2, 3, 2, 2), (2,)] * 4
    if first:
        config["data_format"] = "channels_first"
        shapes = [(2, 4, 2, 3), (2, 2, 2, 3), (2,)] * 4
    stored = counted(*shapes)
    found = read(arrays("ConvLSTM2D", config, stored, flip=True))
    forget = np.asarray(stored[7])  # the recurrent kernel of the third gate
    forget = forget.transpose(2, 3, 1, 0) if first else forget
    np.testing.assert_array_equal(found["recurrent_kernel"][..., 2:4], forget[::-1, ::-1])
    assert found["kernel"].shape == (2, 3, 4, 8)


def test_wrappers() -> None:
    inner = layer("LSTM", "y", units=2)
    stored = gates(4, (3, 2), (2, 2)) + gates(4, (5, 2), (2, 2))
    found = arrays("Bidirectional", {"name": "x", "layer": inner}, stored)
    assert list(found) == ["forward_layer", "backward_layer"]
    assert found["forward_layer"]["kernel"].shape == (3, 8)
    assert found["backward_layer"]["kernel"].shape == (5, 8)
    dense = {"layer": layer("Dense", "y", units=2)}
    assert list(arrays("TimeDistributed", dense, counted((3, 2), (2,)))) == ["kernel", "bias"]
    model = [held([1], "m/dense_1_W:0"), held([1], "m/dense_1_b:0")]
    assert list(arrays("Sequential", {}, model)) == ["dense_1_W", "dense_1_b"]
    assert arrays("Flatten", {}, []) == {}


NAMES: dict[str, tuple[str, dict[str, Any], list[tuple[int, ...]], list[str]]] = {
    "dense": ("Dense", {"units": 2}, [(3, 2), (2,)], ["kernel", "bias"]),
    "no bias": ("Dense", {"units": 2, "use_bias": False}, [(3, 2)], ["kernel"]),
    "maxout": ("MaxoutDense", {"units": 2, "nb_feature": 4}, [(4, 3, 2), (4, 2)],
               ["kernel", "bias"]),
    "highway": ("Highway", {}, [(3, 3), (3, 3), (3,), (3,)],
                ["kernel", "kernel_carry", "bias", "bias_carry"]),
    "embedding": ("Embedding", {"input_dim": 7, "output_dim": 2}, [(7, 2)], ["embeddings"]),
    "prelu": ("PReLU", {}, [(4, 5)], ["alpha"]),
    "softplus": ("ParametricSoftplus", {}, [(4,), (4,)], ["alpha", "beta"]),
    "s": ("SReLU", {}, [(4,)] * 4, ["t_left", "a_left", "t_right", "a_right"]),
    "normalized": ("BatchNormalization", {}, [(4,)] * 4,
                   ["gamma", "beta", "moving_mean", "moving_variance"]),
    "normalized by row": ("BatchNormalization", {"mode": 1}, [(4,)] * 4, ["gamma", "beta"]),
    "not shared": ("LocallyConnected2D", CONV, [(6, 24, 5), (2, 3, 5)], ["kernel", "bias"]),
    "sequences, not shared": ("LocallyConnected1D", {"filters": 5, "kernel_size": 3},
                              [(6, 12, 5), (6, 5)], ["kernel", "bias"]),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str) -> None:
    kind, config, shapes, names = NAMES[case]
    stored = counted(*shapes)
    assert arrays(kind, config, stored) == dict(zip(names, stored, strict=False))


def test_highway_up_to_1_1_stored_each_bias_after_its_kernel() -> None:
    kernel, bias, carry, carry_bias = counted((3, 3), (3,), (3, 3), (3,))
    found = arrays("Highway", {}, [kernel, bias, carry, carry_bias])
    assert list(found.values()) == [kernel, carry, bias, carry_bias]


def test_a_deviation_gives_the_same_quotient_as_a_variance() -> None:
    stored = [held([1.0, 2.0]), held([0.0, 1.0]), held([0.5, 1.0]), held([1.0, 0.03])]
    found = read(arrays("BatchNormalization", {"epsilon": 1e-3}, stored, deviation=True))
    quotient = np.sqrt(found["moving_variance"] + 1e-3)
    np.testing.assert_allclose(quotient, [1.001, 0.031], rtol=1e-5)


MISFITS: dict[str, tuple[str, dict[str, Any], Sequence[tuple[int, ...]], str]] = {
    "too few": ("Dense", {"units": 2}, [(3, 2)], "Dense 'x': it has 1 arrays, .* ask for 2"),
    "none": ("Conv2D", CONV, [], "it has 0 arrays, its options ask for 2"),
    "units": ("Dense", {"units": 4}, [(3, 2), (2,)],
              r"its kernel has the shape \(3, 2\), its options ask for \(any, 4\)"),
    "axes": ("Conv2D", CONV, [(3, 2), (5,)], r"'x_0' has the shape \(3, 2\), not 4 axes"),
    "kernel": ("Conv2D", CONV, [(3, 3, 4, 5), (5,)], r"its kernel has the shape \(3, 3, 4, 5\)"),
    "gates": ("LSTM", {"units": 2}, [(3, 2)] * 9, "it has 9 arrays, its options ask for 3 or 12"),
    "gates apart": ("GRU", {"units": 2}, [(3, 2), (2, 2), (2,), (4, 2), (2, 2), (2,), (3, 2),
                                          (2, 2), (2,)], "its gates: arrays of the shapes"),
    "a half": ("Bidirectional", {"layer": layer("GRU", "x", units=2)}, [(3, 2)] * 9,
               "GRU 'x': it has 4 arrays"),
    "a number": ("PReLU", {}, [(), ()], "it has 2 arrays, its options ask for 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_arrays_that_do_not_fit(case: str) -> None:
    kind, config, shapes, message = MISFITS[case]
    with pytest.raises(UnreadableFile, match=message):
        arrays(kind, {"name": "x"} | config, counted(*shapes))


def test_join() -> None:
    first, second = counted((2, 3), (1, 3))
    joined = join([first, second], 0)
    assert (joined.shape, joined.name) == ((3, 3), "x_0")
    np.testing.assert_array_equal(np.asarray(joined)[2], np.asarray(second)[0])
    with pytest.raises(ValueError, match="cannot be joined"):
        join(counted((), ()))


# Real files

REAL = {
    "k1_dl4j_batchnorm_conv2d_tensorflow.h5": "tensorflow",
    "k1_dl4j_bidirectional_lstm_theano.h5": "theano",
    "k1_dl4j_conv2d_reshape_theano.h5": "theano",
    "k1_dl4j_embedding_conv1d_flatten_tensorflow.h5": "tensorflow",
    "k1_dl4j_imdb_fasttext_tf.h5": "tensorflow",
    "k1_dl4j_lstm_timedistributeddense_1.1.0.h5": "tensorflow",
    "k1_dl4j_mnist_cnn_tf.h5": "tensorflow",
    "k1_dl4j_mnist_mlp_tf.h5": "tensorflow",
    "k1_dl4j_simple_lstm_tf.h5": "tensorflow",
    "k1_dl4j_simple_rnn_theano.h5": "theano",
    "k1_keras2cpp_mnist_cnn_th_a.h5": "theano",
    "k1_rocalphago_value_1.2.0.hdf5": "tensorflow",
}
KNOWN = {
    "Activation", "BatchNormalization", "Bidirectional", "Conv1D", "Conv2D", "Dense", "Dropout",
    "Embedding", "Flatten", "GlobalAveragePooling1D", "LSTM", "MaxPooling2D", "Reshape",
    "SimpleRNN", "TimeDistributed", "ZeroPadding2D",
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_file(name: str, corpus: Any) -> None:
    path = corpus(name)
    with h5py.File(path) as file:
        root: Any = file
        config = root.attrs.get("model_config")
        text = config or corpus(f"{path.stem}.config.json").read_text()
        model = translate_model(json.loads(text))
        weights = root.get("model_weights", root)
        names: list[str] = []
        for entry in model["config"]:
            assert entry["class_name"] in KNOWN
            group = weights[entry["config"]["name"]]
            local = [n.decode() for n in group.attrs["weight_names"]]
            names += local
            stored = [held(group[n], n) for n in local]
            found = arrays(entry["class_name"], entry["config"], stored)
            assert bool(found) == bool(stored)  # each shape was checked against the options
        assert written_on(names) == REAL[name]


@pytest.mark.parametrize("name", ["cfg_k1_cortex_vgg16.json", "cfg_k1_lstm_tddense.json"])
def test_real_architecture(name: str, corpus: Any) -> None:
    model = translate_model(json.loads(corpus(name).read_text()))
    assert {entry["class_name"] for entry in model["config"]} <= KNOWN
    unread = [option for entry in model["config"] for option in entry["config"] if "_dim" in option]
    assert unread == []
