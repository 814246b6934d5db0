"""Networks of Caffe, read from its own files, and held against NumPy layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from cortex.importer import load
from cortex.importer.cli import main
from cortex.runtime.errors import UnreadableFile, Unsupported, UsageError
from cortex.runtime.preprocessing import Preprocessing

from .caffe_files import Array, Net, wire
from .caffe_nets import NETS, OF_OLD, alexnet, lenet, resnet

TOLERANCE = 2e-6


def check(path: Path, weights: Path | None, net: Net) -> None:
    """Every layer is what NumPy makes of it, in both engines."""
    imported = load(path, weights, tolerance=TOLERANCE)
    report = imported.report
    assert report.first_difference is None, report.first_difference
    assert (report.verified, report.evidence) == (True, "recorded"), report.warnings
    assert {layer.name for layer in report.layers} >= net.outputs.keys()
    assert not report.warnings
    (name, found), *_ = imported.network.run(dict(net.inputs)).items()
    np.testing.assert_allclose(found, net.blobs[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_architecture_and_weights(make: Callable[[], Net], tmp_path: Path) -> None:
    net = make()
    check(*net.write(tmp_path), net)


@pytest.mark.parametrize("legacy", [False, True], ids=["shapes", "four sizes"])
@pytest.mark.parametrize("make", OF_OLD, ids=lambda make: make.__name__)
def test_first_form(make: Callable[[], Net], legacy: bool, tmp_path: Path) -> None:
    net = make()
    check(*net.write(tmp_path, v1=True, legacy=legacy), net)


def trained(crop: int = 12) -> tuple[Net, bytes]:
    """A network as its training left it: (what it computes, its data layer in binary)."""
    net = lenet()
    net.name = "trained"
    net.layers.pop()
    net.outputs.pop("prob")
    net.blobs["label"] = np.zeros(2)
    copies = net.add("ip2_ip2_0_split", "Split", "ip2", "ip2_a ip2_b")
    net.add("loss", "SoftmaxWithLoss", f"{copies} label")
    net.layers.append(
        {"name": "accuracy", "type": "Accuracy", "bottom": ["ip2_b", "label"], "top": ["accuracy"],
         "options": {}, "arrays": ()}
    )  # fmt: skip
    data = wire(1, "mnist") + wire(2, "Data") + wire(4, "data") + wire(4, "label") + wire(10, 0)
    data += wire(8, wire(1, 0)) + wire(107, wire(1, "train_lmdb") + wire(4, 64) + wire(8, 1))
    data += wire(100, wire(1, 0.00390625) + wire(3, crop)) if crop else b""
    return net, wire(100, data)


def test_caffemodel_alone(tmp_path: Path) -> None:
    """It lists its layers; the image's size is that of the crop, its channels the kernel's."""
    net, data = trained()
    model = tmp_path / "trained.caffemodel"
    model.write_bytes(net.caffemodel(before=data))
    net.reference(tmp_path / "trained.reference.h5")
    check(model, None, net)
    reading = load(model).reading
    assert reading.training == {
        "losses": [{"loss": "cross_entropy", "on": "loss", "target": "label"}]
    }
    assert "left out, for training alone: accuracy (Accuracy)" in reading.notes
    assert reading.network.graph.inputs["data"].shape == ("N", 1, 12, 12)


def test_shape_that_is_not_said(tmp_path: Path) -> None:
    net, data = trained(crop=0)
    model = tmp_path / "trained.caffemodel"
    model.write_bytes(net.caffemodel(before=data))
    with pytest.raises(Unsupported, match="shape of the input 'data', which the layer 'conv1'"):
        load(model)
    for name in ("", "data"):
        network = load(model, input_shapes={name: (1, 12, 12)}).network
        found = network.run(dict(net.inputs))["loss"]
        np.testing.assert_allclose(found, net.blobs["loss"], atol=1e-5)
    with pytest.raises(UsageError, match="has no input 'picture'"):
        load(model, input_shapes={"picture": (1, 12, 12)})
    with pytest.raises(UnreadableFile, match="its weights are for 20 inputs"):
        load(model, input_shapes={"data": (1, 15, 12)})


PHASES = """
name: "phases"
layer {
  name: "mnist" type: "Data" top: "data" top: "label"
  include { phase: TRAIN } transform_param { crop_size: 9 mirror: true }
  data_param { source: "train" batch_size: 64 backend: LMDB }
}
layer {
  name: "mnist" type: "Data" top: "data" top: "label"
  include: { phase: TEST stage: "val" } include { phase: TEST }
  transform_param < crop_size: 12 mean_value: 104 scale: 0.5 >
}
layer { name: "broken" type: "Python" bottom: "data" top: "data" exclude { phase: TEST } }
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param {
    num_output: 4, kernel_size: 3; weight_filler { type: "xavier" } bias_filler { value: 1e-1f }
  }
}
layer { name: "drop" type: "Dropout" bottom: "conv1" top: "conv1" include { min_level: 1 } }
layer { name: "ip" type: "InnerProduct" bottom: "conv1" top: "ip"
  inner_product_param { num_output: 7 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "label" top: "loss"
  loss_weight: 0.5 }
layer { name: "quiet" type: "Silence" bottom: "conv1" }
"""


def test_phases(tmp_path: Path) -> None:
    """Only what takes part in a test is there; where the sizes differ, the weights' count."""
    net = Net({"data": np.random.default_rng(2).normal(size=(2, 1, 12, 12)).astype("f4")})
    net.conv("conv1", "data", 4, 3)
    net.dense("ip", "conv1", 5)
    text, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(PHASES)
    weights.write_bytes(net.caffemodel())
    reading = load(text, weights).reading
    assert reading.preprocessing == Preprocessing(channels="gray", scale=0.5, mean=52.0)
    found = reading.network.run(dict(net.inputs))
    assert list(found) == ["loss"]
    np.testing.assert_allclose(found["loss"], 1 / (1 + np.exp(-net.blobs["ip"])), atol=1e-5)
    assert list(reading.network.graph.layers) == ["conv1", "ip", "loss"]
    assert (
        "Caffe InnerProduct 'ip': num_output is 7, the weights are for 5: the weights count"
        in reading.notes
    )
    (loss,) = reading.training["losses"]
    assert loss == {
        "loss": "binary_cross_entropy", "on": "loss", "target": "label", "weight": 2.5
    }  # fmt: skip


def test_repeated_names(tmp_path: Path) -> None:
    """Layers may have one name, and blobs that of another layer."""
    net = Net({"data": np.ones((1, 3), np.float32)})
    net.add("a", "ReLU", "data", "b")
    net.add("a", "TanH", "b", "b")
    text, weights = net.write(tmp_path)
    network = load(text, weights).network
    assert list(network.graph.layers) == ["a", "a:2"]
    assert list(network.graph.outputs) == ["b"]


def test_open_batch(tmp_path: Path) -> None:
    net = lenet()
    network = load(*net.write(tmp_path)).network
    three = np.concatenate([net.inputs["data"], net.inputs["data"][:1]])
    found = network.run({"data": three})["prob"]
    np.testing.assert_allclose(found[2], net.blobs["prob"][0], atol=1e-6)


def side_file(path: Path, net: Net, expand: str = "") -> Path:
    """As export-caffe-model.py of thinktopic/cortex writes it, from an input of ones.

    ``expand`` names a convolution in groups whose kernel is filled up with zeros.
    """
    with h5py.File(path, "w") as file:
        for name, value in net.blobs.items():
            file[f"layer_outputs/{name}"] = value.astype(np.float32)
        file["layer_outputs/conv1_conv1_0_split_0"] = net.blobs["conv1"].astype(np.float32)
        file["model_prototxt"] = net.prototxt()
        weights = file.create_group("model_weights")
        for layer in net.layers:
            name = layer["name"]
            for array, ending in zip(layer["arrays"], "Wb", strict=False):
                is_filled = (name, ending) == (expand, "W")
                stored = _dense(array, layer["options"]["group"]) if is_filled else array
                weights[f"{name}/{name}_{ending}"] = stored
    return path


def _dense(kernel: Array, groups: int) -> Array:
    outputs, inputs = len(kernel) // groups, kernel.shape[1]
    whole = np.zeros((len(kernel), inputs * groups, *kernel.shape[2:]), np.float32)
    for g in range(groups):
        part = slice(g * outputs, (g + 1) * outputs)
        whole[part, g * inputs : (g + 1) * inputs] = kernel[part]
    return whole


@pytest.mark.parametrize("expand", ["", "conv2"])
def test_side_file_of_cortex(expand: str, tmp_path: Path) -> None:
    """It is recognised by its content, and brings what Caffe computed of it."""
    net = alexnet({"data": np.ones((1, 3, 21, 21), np.float32)})
    path = side_file(tmp_path / "outputs.h5", net, expand)
    imported = load(path, tolerance=TOLERANCE)
    assert imported.report.first_difference is None
    assert imported.report.verified, imported.report.warnings
    assert imported.report.evidence == "recorded"
    assert imported.reading.format == "Caffe in HDF5 of thinktopic/cortex"
    with h5py.File(path, "a") as file:
        file["layer_outputs/fc6"][0, 0] = 9  # pyright: ignore[reportIndexIssue]
    difference = load(path).report.first_difference
    assert difference is not None
    assert difference.layer == "drop6"  # the last that writes the blob


def test_command(tmp_path: Path) -> None:
    """Installed, proved, and a training that goes on from it."""
    net, data = trained()
    model = tmp_path / "trained.caffemodel"
    model.write_bytes(net.caffemodel(before=data))
    net.reference(tmp_path / "trained.reference.h5")
    spec = tmp_path / "spec.yaml"
    arguments = [
        *("--repository", tmp_path / "models", "--input-shape", "1,12,12"),
        *("--require-evidence", "recorded", "--training-spec", spec),
    ]
    result = CliRunner().invoke(main, [str(model), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "verified" in result.stdout
    assert (tmp_path / "models/trained/1/model.onnx").exists()
    assert "preprocessing: as the file says it" in result.stdout
    assert yaml.safe_load(spec.read_text())["losses"][0]["loss"] == "cross_entropy"
    wrong = CliRunner().invoke(main, [str(model), "--input-shape", "1,x"])
    assert (wrong.exit_code, "use whole numbers" in wrong.stderr) == (2, True)


def test_fine_tuning(tmp_path: Path) -> None:
    """What was read learns: every array of a layer but the moving statistics."""
    net = resnet()
    network = load(*net.write(tmp_path)).network
    learning = {name for name, one in network.graph.parameters.items() if one.trainable}
    assert {"conv1/kernel", "scale_1/value", "scale_1/value.2", "fc/bias"} <= learning
    assert not any(name.startswith("bn_") for name in learning)


@pytest.mark.parametrize(
    ("kind", "expected", "note"),
    [
        (
            "EuclideanLoss",
            {"loss": "mse", "on": "ip", "target": "label", "weight": 2.5},
            "left out",
        ),
        ("MultinomialLogisticLoss", {"loss": "cross_entropy", "on": "ip", "target": "label"}, ""),
        ("HingeLoss", None, "a training here has no such loss"),
    ],
)
def test_losses(kind: str, expected: object, note: str, tmp_path: Path) -> None:
    net = Net({"data": np.ones((1, 3), np.float32)})
    net.dense("ip", "data", 5)
    text, weights = net.write(tmp_path)
    loss = f'layer {{ name: "l" type: "{kind}" bottom: "ip" bottom: "label" top: "l" }}'
    text.write_text(f"{net.prototxt()}\n{loss}")
    reading = load(text, weights).reading
    assert reading.training.get("losses") == ([expected] if expected else None)
    assert list(reading.network.graph.outputs) == ["ip"]
    assert note in " ".join(reading.notes)


def test_shape_is_asked_for_only_where_it_is_open() -> None:
    digits = Path(__file__).parents[2] / "examples" / "digits.h5"
    result = CliRunner().invoke(main, [str(digits), "--input-shape", "3,4"])
    assert result.exit_code == 2
    assert "says itself what shape its inputs have" in result.stderr
