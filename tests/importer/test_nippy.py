"""Networks of thinktopic/cortex: every layer against NumPy, real files against what is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from cortex.importer import load
from cortex.importer.cli import main
from cortex.importer.nippy.catalogue import layers
from cortex.runtime.errors import CortexError, UnreadableFile, Unsupported, UsageError
from cortex.runtime.network import Network
from cortex.runtime.spec.schema import checked

from .nippy_files import Graph, Seq, freeze, keyed, keyword, packed, small

Array = NDArray[Any]
Expected = Callable[[Array], Array]
Case = tuple[str, tuple[int, ...], Mapping[str, Any], Expected]

ROWS = 2
RNG = np.random.default_rng(3)
IMAGE, VECTOR = (3, 6, 5), (7,)


def numbers(*shape: int) -> Array:
    return RNG.normal(size=shape)


def windows(x: Array, size: Any, stride: Any, pad: Any, count: Any) -> Any:
    """For each window: its place, and its elements that are inside the image."""
    for i in range(count[0]):
        for j in range(count[1]):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            rows = slice(max(top, 0), max(top + size[0], 0))
            yield i, j, x[:, :, rows, max(left, 0) : max(left + size[1], 0)]


def count(x: Array, size: Any, stride: Any, pad: Any, rounding: Callable[[Any], Any]) -> list[int]:
    return [
        int(rounding((n + 2 * p - k) / s)) + 1
        for n, k, s, p in zip(x.shape[2:], size, stride, pad, strict=True)
    ]


def pooled(x: Array, size: Any, stride: Any, pad: Any, op: str, rounding: Any) -> Array:
    places = count(x, size, stride, pad, rounding)
    y = np.zeros((*x.shape[:2], *places))
    for i, j, part in windows(x, size, stride, pad, places):
        total = part.sum((2, 3))
        y[:, :, i, j] = {
            "max": lambda part=part: part.max((2, 3)),
            "avg": lambda total=total: total / (size[0] * size[1]),
            "avg-exc-pad": lambda total=total, part=part: total / part[0, 0].size,
        }[op]()
    return y


def convolved(x: Array, weights: Array, bias: Array, size: Any, stride: Any, pad: Any) -> Array:
    kernel = weights.reshape(len(bias), x.shape[1], *size)
    padded = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    places = count(x, size, stride, pad, np.floor)
    y = np.zeros((len(x), len(bias), *places))
    for i, j, part in windows(padded, size, stride, (0, 0), places):
        y[:, :, i, j] = np.einsum("nchw,ochw->no", part, kernel) + bias
    return y


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def normalized(x: Array, scale: Array, bias: Array, means: Array, variances: Array) -> Array:
    return (x - means) / np.sqrt(variances + 1e-3) * scale + bias


def response(x: Array, k: float, n: int, alpha: float, beta: float) -> Array:
    total = np.zeros_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(c - n // 2, 0) : c + n // 2 + 1]
        total[:, c] = (near**2).sum(1)
    return x / (k + alpha / n * total) ** beta


def flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


def selu(x: Array) -> Array:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


def window_options(size: Any, stride: Any, pad: Any, **more: Any) -> dict[str, Any]:
    names = ("kernel_height", "kernel_width", "stride_y", "stride_x", "pad_y", "pad_x")
    return dict(zip(names, (*size, *stride, *pad), strict=True)) | more


def pool_case(size: Any, stride: Any, pad: Any, op: str, rounding: str) -> Case:
    options = window_options(
        size, stride, pad, pool_op=keyword(op), dimension_op=keyword(rounding), num_kernels=0
    )
    function = {"floor": np.floor, "ceil": np.ceil}[rounding]
    return "max-pooling", IMAGE, options, lambda x: pooled(x, size, stride, pad, op, function)


def conv_case(shape: Any, filters: int, size: Any, stride: Any, pad: Any) -> Case:
    channels = shape[0] if len(shape) == 3 else 1
    weights, bias = numbers(filters, channels * size[0] * size[1]), numbers(filters)
    options = window_options(size, stride, pad, num_kernels=filters, dimension_op=keyword("floor"))

    def expected(x: Array) -> Array:
        images = x if x.ndim == 4 else x[:, None, None]
        return convolved(images, weights, bias, size, stride, pad)

    return "convolutional", shape, options | {"weights": weights, "bias": bias}, expected


def linear_case(shape: Any, units: int) -> Case:
    weights, bias = numbers(units, int(np.prod(shape))), numbers(units)
    options = {"output_size": units, "weights": weights, "bias": bias}
    return "linear", shape, options, lambda x: flat(x) @ weights.T + bias


def norm_case(shape: Any, mode: str | None, size: Any) -> Case:
    """``size`` is the shape that the arrays have beside an example."""
    length = int(np.prod(size))
    arrays = [numbers(length), numbers(length), numbers(length), numbers(length) ** 2]
    names = ("scale", "bias", "means", "variances")
    options: dict[str, Any] = dict(zip(names, arrays, strict=True))
    options |= {"epsilon": 1e-3, "average_factor": 0.9}
    if mode:
        options["mode"] = keyword(mode)
    shaped = [array.reshape(size) for array in arrays]
    return "batch-normalization", shape, options, lambda x: normalized(x, *shaped)


def prelu_case(shape: Any, size: Any) -> Case:
    slopes = numbers(int(np.prod(size)))
    shaped = slopes.reshape(size)
    return "prelu", shape, {"neg_scale": slopes}, lambda x: np.where(x > 0, x, x * shaped)


CASES: dict[str, Case] = {
    "linear": linear_case(VECTOR, 4),
    "linear of one unit": linear_case(VECTOR, 1),
    "linear of an image": linear_case(IMAGE, 4),
    "relu": ("relu", VECTOR, {}, lambda x: np.maximum(x, 0)),
    "logistic": ("logistic", IMAGE, {}, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": ("tanh", VECTOR, {}, np.tanh),
    "swish": ("swish", VECTOR, {}, lambda x: x / (1 + np.exp(-x))),
    "selu": ("selu", VECTOR, {}, selu),
    "convolution": conv_case(IMAGE, 4, (3, 3), (1, 1), (1, 1)),
    "convolution, all sizes apart": conv_case(IMAGE, 2, (2, 3), (2, 1), (0, 2)),
    "convolution of a vector": conv_case(VECTOR, 2, (1, 3), (1, 2), (0, 1)),
    "max pooling": pool_case((2, 2), (2, 2), (0, 0), "max", "floor"),
    "max pooling, rounded up": pool_case((2, 2), (2, 2), (0, 0), "max", "ceil"),
    "max pooling, all sizes apart": pool_case((3, 2), (2, 3), (1, 0), "max", "ceil"),
    "mean pooling": pool_case((2, 2), (1, 1), (1, 1), "avg", "floor"),
    "mean pooling, rounded up": pool_case((3, 3), (2, 2), (1, 1), "avg", "ceil"),
    "mean pooling without padding": pool_case((2, 2), (1, 1), (1, 1), "avg-exc-pad", "floor"),
    "mean pooling without padding, up": pool_case((3, 2), (2, 2), (1, 0), "avg-exc-pad", "ceil"),
    "normalization of a vector": norm_case(VECTOR, "elementwise", VECTOR),
    "normalization of elements": norm_case(IMAGE, "elementwise", IMAGE),
    "normalization that does not say how": norm_case(IMAGE, None, IMAGE),
    "normalization of channels": norm_case(IMAGE, "spatial", (3, 1, 1)),
    "normalization of the one channel": norm_case(VECTOR, "spatial", (1,)),
    "response normalization": (
        "local-response-normalization",
        IMAGE,
        {"k": 2, "n": 3, "alpha": 0.5, "beta": 0.75},
        lambda x: response(x, 2, 3, 0.5, 0.75),
    ),
    "response normalization of a vector": (
        "local-response-normalization",
        VECTOR,
        {"k": 2, "n": 5, "alpha": 1e-1, "beta": 0.75},
        lambda x: x / (2 + 0.02 * x**2) ** 0.75,
    ),
    "slopes of channels": prelu_case(IMAGE, (3, 1, 1)),
    "slopes of elements": prelu_case((1, 4, 3), (1, 4, 3)),
    "slopes of a vector": prelu_case(VECTOR, VECTOR),
    "softmax": ("softmax", VECTOR, {"output_channels": 1}, softmax),
    "softmax of pixels": ("softmax", IMAGE, {}, lambda x: softmax(x, 1)),
    "softmax of one channel": (
        "softmax",
        (1, 4, 3),
        {},
        lambda x: softmax(flat(x)).reshape(x.shape),
    ),
    "softmax of so many at a time": (
        "softmax",
        (6,),
        {"output_channels": 3},
        lambda x: softmax(x.reshape(-1, 2, 3)).reshape(-1, 6),
    ),
    "dropout": ("dropout", IMAGE, {"distribution": keyword("bernoulli"), "probability": 0.7},
                lambda x: x),
    "gaussian dropout": (
        "dropout",
        VECTOR,
        {"distribution": keyword("gaussian"), "variance": 0.3},
        lambda x: x,
    ),
    "split": ("split", IMAGE, {}, lambda x: x),
}  # fmt: skip


def sizes(shape: tuple[int, ...]) -> dict[str, int]:
    filled = (1,) * (3 - len(shape)) + shape
    return dict(zip(("channels", "height", "width"), filled, strict=True))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("case", CASES)
def test_each_layer_computes_what_cortex_does(case: str, layout: Any, tmp_path: Path) -> None:
    kind, shape, options, compute = CASES[case]
    x = np.random.default_rng(5).normal(size=(ROWS, *shape))
    expected = compute(x)
    graph = Graph()
    graph.input("data", *shape)
    stated = [sizes(expected.shape[1:])]
    graph.add(kind, "layer", "data", **options, **{"output-dimensions": stated})
    imported = load(graph.write(tmp_path / "a.nippy", method=8), input_layout=layout)
    given = x.transpose(0, 2, 3, 1) if layout == "channels_last" and x.ndim == 4 else x
    found = imported.network.run({"data": given}, ["layer"], np.float64)["layer"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert imported.report.agrees


def test_the_cases_are_all_layers() -> None:
    assert {kind for kind, *_ in CASES.values()} | {"concatenate", "join"} == layers().keys()


def longer(x: Array, more: int) -> Array:
    return np.pad(x, ((0, 0), (0, more)))


JOINS: dict[str, tuple[str, list[Any], str, Callable[[list[Array]], Array]]] = {
    "vectors": ("concatenate", [(3,), (2,)], "", lambda x: np.concatenate(x, 1)),
    "images": (
        "concatenate",
        [(2, 3, 4), (1, 3, 4), (5,)],
        "",
        lambda x: np.concatenate([flat(one) for one in x], 1),
    ),
    "sum": ("join", [(4,), (4,), (4,)], "+", lambda x: x[0] + x[1] + x[2]),
    "sum of images": ("join", [(2, 3, 4), (2, 3, 4)], "+", lambda x: x[0] + x[1]),
    "product of images": ("join", [(2, 3, 4), (2, 3, 4)], "*", lambda x: x[0] * x[1]),
    "sum of different lengths": (
        "join",
        [(3,), (5,), (4,)],
        "+",
        lambda x: longer(x[0], 2) + x[1] + longer(x[2], 1),
    ),
    "product of different lengths": (
        "join",
        [(3,), (5,), (4,)],
        "*",
        lambda x: longer(x[0] * x[1][:, :3] * x[2][:, :3], 2),
    ),
    "sum of images as different": (
        "join",
        [(2, 1, 2), (1, 2, 3)],
        "+",
        lambda x: longer(flat(x[0]), 2) + flat(x[1]),
    ),
}


@pytest.mark.parametrize("case", JOINS)
def test_inputs_are_joined_in_the_order_they_are_said_to_have(case: str, tmp_path: Path) -> None:
    kind, shapes, operation, compute = JOINS[case]
    graph, options = Graph(), {"operation": keyword(operation)} if operation else {}
    names = [graph.input(f"in-{i}", *shape) for i, shape in enumerate(shapes)]
    stated = [
        {**sizes(shape), "id": keyword(name)} for name, shape in zip(names, shapes, strict=True)
    ]
    graph.add(kind, "all", *reversed(names), **options, **{"input-dimensions": stated})
    x = {name: numbers(ROWS, *shape) for name, shape in zip(names, shapes, strict=True)}
    imported = load(graph.write(tmp_path / "a.nippy"))
    expected = compute(list(x.values()))
    np.testing.assert_allclose(imported.network.run(x)["all"], expected, rtol=1e-5, atol=1e-6)
    assert imported.report.agrees


# What the tests of cortex itself expect (cortex.verify.nn.layers and cortex.verify.tensor).
KNOWN: dict[str, Any] = {
    "lrn": (
        "local-response-normalization",
        np.arange(12.0).reshape(1, 3, 2, 2),
        {"k": 1, "n": 3, "alpha": 1, "beta": 1},
        [0.0, 0.10344827586206898, 0.13953488372093023, 0.14754098360655737, 0.14457831325301207,
         0.13636363636363638, 0.1258741258741259, 0.11538461538461539, 0.28915662650602414,
         0.24770642201834867, 0.21582733812949642, 0.19075144508670522],
    ),
    "avg": (
        "max-pooling",
        np.ones((1, 1, 2, 2)),
        window_options((2, 2), (1, 1), (1, 1), pool_op=keyword("avg")),
        [0.25, 0.5, 0.25, 0.5, 1.0, 0.5, 0.25, 0.5, 0.25],
    ),
    "avg-exc-pad": (
        "max-pooling",
        np.ones((1, 1, 2, 2)),
        window_options((2, 2), (1, 1), (1, 1), pool_op=keyword("avg-exc-pad")),
        [1.0] * 9,
    ),
    "softmax of an image": (
        "softmax",
        np.arange(1.0, 5).reshape(1, 4, 1, 1) * np.ones((1, 4, 5, 5)),
        {},
        np.repeat([0.03205860328, 0.08714431874, 0.23688281808, 0.64391425988], 25).tolist(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KNOWN)
def test_the_numbers_of_cortex_own_tests_come_out(case: str, tmp_path: Path) -> None:
    kind, x, options, expected = KNOWN[case]
    graph = Graph()
    graph.add(kind, "layer", graph.input("data", *x.shape[1:]), **options)
    network = load(graph.write(tmp_path / "a.nippy")).network
    found = network.run({"data": x}, dtype=np.float64)["layer"]
    np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-6)


def network_of_images(tmp_path: Path, centers: Array | None = None) -> Path:
    """Convolution, pooling that rounds up, normalization, a branch, and two losses and a half."""
    graph = Graph()
    graph.input("data", 2, 9, 9)
    weights, bias = numbers(4, 2 * 9), numbers(4)
    options = window_options((3, 3), (1, 1), (0, 0), num_kernels=4, weights=weights, bias=bias)
    graph.add("convolutional", "conv", "data", **options, **{"learning-attenuation": 0.5})
    pool = window_options((2, 2), (2, 2), (0, 0), dimension_op=keyword("ceil"))
    graph.add("max-pooling", "pool", "conv", **pool)
    graph.add("relu", "features", "pool")
    graph.add("dropout", "drop", "features", probability=0.5)
    graph.add("linear", "fc", "drop", output_size=3, weights=numbers(3, 64), bias=numbers(3))
    graph.add("softmax", "classes", "fc")
    graph.loss("softmax-loss", "softmax-loss-1", "classes")
    graph.loss(
        "center-loss", "center-loss-1", "features", alpha=0.9,
        centers=numbers(3, 64) if centers is None else centers,
        **{"lambda": 1e-4},
    )  # fmt: skip
    graph.loss("yolo2", "yolo2-1", "features")
    graph.add(
        "l2-regularization", "l2-1", "fc",
        output={"type": keyword("node-parameter"), "node-id": keyword("fc"),
                "parameter": keyword("weights")},
    )  # fmt: skip
    optimizer = {"type": keyword("adam"), "alpha": 0.01, "m": numbers(5)}
    loss = Seq([{"type": keyword("softmax-loss"), "value": 0.25}, {"value": 0.5}])
    return graph.write(
        tmp_path / "images.nippy", 8, optimizer=keyed(optimizer), **{"cv-loss": loss, "extra": 1}
    )


def test_losses_end_the_graph_and_are_terms_of_a_spec(tmp_path: Path) -> None:
    imported = load(network_of_images(tmp_path))
    graph = imported.network.graph
    assert list(graph.outputs) == ["classes"]
    assert set(graph.layers) == {"conv", "pool", "features", "drop", "fc", "classes"}
    assert graph.layers["conv"].kind == "convolutional"
    assert imported.reading.training == {
        "losses": [
            {"loss": "cross_entropy", "on": "classes", "target": "label", "weight": 1.0},
            {
                "loss": {"type": "center", "classes": 3, "keep_factor": 0.9},
                "on": "features",
                "weight": 1e-4,
                "target": "label",
            },
            {"loss": "l2", "on": "fc/kernel", "weight": 1e-3},
        ],
        "parameters": {"conv": {"rate_factor": 0.5}},
        "optimizer": {
            "type": "adam", "rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
        },
    }  # fmt: skip
    checked({"network": {"load": "x"}, **imported.reading.training}, "spec")
    notes = "\n".join(imported.report.notes)
    assert "cross-validation loss of 0.75 after 7 epochs" in notes
    assert "not used of the file: :extra" in notes
    assert "optimizer's state is not carried over: m" in notes
    assert "'yolo2-1'" in notes
    assert imported.report.agrees


def test_centres_are_laid_out_as_the_features_are(tmp_path: Path) -> None:
    imported = load(network_of_images(tmp_path))
    (centers,) = (at for at in imported.network.graph.nodes if at.op.kind == "centers")
    kept = imported.network.parameters[centers.params["centers"]]
    stored = imported.reading.network.graph.types[centers.name].shape[1:]
    assert stored == (4, 4, 4)
    assert kept.shape == (3, 64)
    first = load(network_of_images(tmp_path, centers=np.arange(192.0).reshape(3, 64)))
    kept = first.network.parameters[centers.params["centers"]]
    np.testing.assert_array_equal(
        kept[0].reshape(4, 4, 4), np.arange(64.0).reshape(4, 4, 4).transpose(1, 2, 0)
    )


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_whole_flow_with_a_reference_beside_the_file(tmp_path: Path) -> None:
    path = network_of_images(tmp_path)
    network = load(path).network
    x = numbers(ROWS, 2, 9, 9).astype(np.float32)
    with h5py.File(tmp_path / "images.reference.h5", "w") as file:
        file["inputs/data"] = x
        values = network.run({"data": x}, list(network.graph.layers), np.float64)
        for name, value in values.items():
            file[f"layer_outputs/{name}"] = value
        file["outputs/0"] = values["classes"]
    models, spec = tmp_path / "models", tmp_path / "spec.yaml"
    result = run(path, "--repository", models, "--training-spec", spec, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["verified"]
    assert report["evidence"] == "recorded"
    assert report["source"]["format"] == "thinktopic/cortex (.nippy)"
    stored = Network.load(models / "images" / "1" / "weights.safetensors")
    y = stored.run({"data": x}, ["pool", "classes"])
    assert y["pool"].shape == (ROWS, 4, 4, 4)
    np.testing.assert_allclose(y["classes"], values["classes"], atol=1e-6)
    written = yaml.safe_load(spec.read_text())
    assert written["network"] == {"load": str(models / "images")}
    checked(written, str(spec))


def test_a_network_that_disagrees_is_not_installed(tmp_path: Path) -> None:
    path = small(tmp_path / "small.nippy")
    with h5py.File(tmp_path / "small.reference.h5", "w") as file:
        file["inputs/data"] = np.ones((1, 2), np.float32)
        file["outputs/0"] = np.full((1, 1), 5, np.float32)
    result = run(path, "--repository", tmp_path / "models")
    assert result.exit_code == 1
    assert "layer 'label' is the first that differs" in result.stderr
    assert not (tmp_path / "models" / "small").exists()


def test_shared_buffers_are_one_parameter(tmp_path: Path) -> None:
    graph = Graph()
    graph.input("data", 3)
    graph.add("linear", "a", "data", output_size=3, weights=numbers(3, 3), bias=numbers(3))
    buffers = {key: {"buffer-id": keyword(f"a-{key}-1")} for key in ("weights", "bias")}
    graph.add("linear", "b", "a", output_size=3, **buffers)
    network = load(graph.write(tmp_path / "a.nippy")).network
    assert set(network.graph.parameters) == {"a/kernel", "a/bias"}


def changed(change: Callable[[Graph], Any], **facts: Any) -> Callable[[Path], Path]:
    """The small network, changed."""

    def write(path: Path) -> Path:
        graph = Graph()
        graph.input("data", 2)
        graph.add("linear", "fc", "data", output_size=3, weights=numbers(3, 2), bias=numbers(3))
        change(graph)
        return graph.write(path, **facts)

    return write


def without(place: str, key: str) -> Callable[[Graph], Any]:
    return lambda graph: getattr(graph, place).pop(keyword(key))


def node(kind: str, *parents: str, **options: Any) -> Callable[[Graph], Any]:
    return lambda graph: graph.add(kind, "new", *(parents or ("fc",)), **options)


def wrong_output(graph: Graph) -> None:
    graph.nodes["fc"]["output-dimensions"] = [sizes((4,))]


def circle(graph: Graph) -> None:
    graph.add("relu", "a", "fc", "b")
    graph.add("relu", "b", "a")


def no_graph(path: Path) -> Path:
    return small_map(path, {"weights": 1})


def older(path: Path) -> Path:
    return small_map(path, {"network-description": 1})


def small_map(path: Path, content: Any) -> Path:
    path.write_bytes(packed(freeze(keyed(content))))
    return path


def unknown(graph: Graph) -> None:
    graph.add("lstm", "memory", "fc")
    graph.add("gru", "gate", "memory")
    graph.add("lstm", "more", "gate")


def other_stream(graph: Graph) -> None:
    graph.streams["data"] = sizes((3,))


def loss_inside(graph: Graph) -> None:
    graph.loss("mse-loss", "loss", "fc")
    graph.add("relu", "after", "loss")


POOL = window_options((2, 2), (2, 2), (0, 0))

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unknown layers": (
        changed(unknown),
        r"these types of nodes are not supported: lstm \(memory, more\); gru \(gate\)",
    ),
    "no graph": (no_graph, "no :compute-graph"),
    "an older cortex": (older, "older cortex; upgrade it with cortex's model-upgrader"),
    "no buffer": (changed(without("buffers", "fc-bias-1")), r"'fc' \(linear\): .*no numbers.*bias"),
    "a buffer too small": (
        changed(lambda g: g.buffers[keyword("fc-bias-1")].update(buffer=numbers(2))),
        r"'fc' \(linear\): its bias have the shape \(2,\), expected \(3,\)",
    ),
    "rows of different length": (
        changed(
            lambda g: g.buffers[keyword("fc-weights-1")].update(
                buffer=Seq([numbers(2), numbers(3)])
            )
        ),
        "rows differ",
    ),
    "a buffer of text": (
        changed(lambda g: g.buffers[keyword("fc-bias-1")].update(buffer="abc")),
        "no array of numbers",
    ),
    "another output": (changed(wrong_output), "would be 1×1×3, the file says 1×1×4"),
    "another stream": (changed(other_stream), "says 2 shapes of itself"),
    "a circle": (changed(circle), "go in a circle"),
    "an edge to nothing": (
        changed(lambda g: g.edges.append([keyword("fc"), keyword("x")])),
        "names the node 'x', which is not there",
    ),
    "two inputs": (
        changed(lambda g: g.add("relu", "r", "fc", "data")),
        "has 2 inputs, expected one",
    ),
    "no input": (changed(lambda g: g.add("relu", "r")), "has 0 inputs, expected one"),
    "a layer after a loss": (changed(loss_inside), "follows the loss 'loss'"),
    "only inputs": (
        changed(lambda g: (g.nodes.pop("fc"), g.edges.clear())),
        "no layer but its inputs",
    ),
    "another pooling": (
        changed(node("max-pooling", pool_op=keyword("l2"), **POOL)),
        "pool-op 'l2' is not supported",
    ),
    "another rounding": (
        changed(node("max-pooling", dimension_op=keyword("round"), **POOL)),
        "dimension-op 'round' is not supported",
    ),
    "a window outside of the image": (
        changed(
            node(
                "max-pooling",
                dimension_op=keyword("ceil"),
                **window_options((1, 2), (1, 2), (0, 1)),
            )
        ),
        "would fill windows",
    ),
    "a window that does not fit": (changed(node("max-pooling", **POOL)), "does not fit"),
    "no stride": (
        changed(node("max-pooling", **{**POOL, "stride_x": 0})),
        "stride-x is 0, expected a whole number from 1 on",
    ),
    "no size": (changed(node("linear")), "its option 'output-size' is missing"),
    "another mode": (
        changed(node("batch-normalization", mode=keyword("layer"))),
        "mode 'layer' is not supported",
    ),
    "all dropped": (changed(node("dropout", probability=0)), "probability 0 is not supported"),
    "an even window": (
        changed(node("local-response-normalization", n=4)),
        "4 channels have none in the middle",
    ),
    "another operation": (
        changed(node("join", "fc", "data", operation=keyword("-"))),
        "operation '-' is not supported",
    ),
    "dimensions of nothing": (
        changed(node("relu", **{"output-dimensions": [{"channels": 0}]})),
        "its dimensions make no sense",
    ),
    "an input as large as nothing": (
        changed(lambda g: g.input("huge", 1 << 40, 1 << 40, 3)),
        "it would take",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_by_name(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    path = write(tmp_path / "a.nippy")
    with pytest.raises((UnreadableFile, Unsupported), match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_output_is_not_called_as_an_input(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("relu", "label", graph.input("data", 2))
    graph.nodes["data"]["input"] = {"stream": keyword("label")}
    graph.streams = {"label": graph.streams["data"]}
    network = load(graph.write(tmp_path / "a.nippy")).network
    assert list(network.run({"label": [[-1, 2]]})) == ["label.1"]


def test_what_training_cannot_make_sense_of_is_noted(tmp_path: Path) -> None:
    graph = Graph()
    graph.input("data", 2)
    graph.add("relu", "r", "data", **{"learning-attenuation": "much"})
    graph.add("mse-loss", "loss", "r")
    optimizer = keyed({"type": keyword("sgd"), "momentum": None})
    imported = load(graph.write(tmp_path / "a.nippy", optimizer=optimizer))
    assert imported.reading.training == {}
    assert [note.split(";")[0] for note in imported.reading.notes] == [
        "node 'loss' (mse-loss): its option 'labels' is missing",
        "node 'r': learning-attenuation is 'much', expected a number",
        "its optimizer: momentum is None, expected a number",
    ]


def test_what_cortex_knows_nothing_of_is_told(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("relu", "r", graph.input("data", 2), **{"colour": "red", "non-trainable?": True})
    report = load(graph.write(tmp_path / "a.nippy")).report
    assert "node 'r' (relu): cortex makes nothing of :colour" in report.notes


def test_options_of_other_formats_are_refused(tmp_path: Path) -> None:
    path = small(tmp_path / "a.nippy")
    with pytest.raises(UsageError, match="name no others"):
        load(path, path)
    (keras := tmp_path / "a.json").write_text('{"class_name": "Sequential"}')
    with pytest.raises(UsageError, match="--input-layout"):
        load(keras, input_layout="channels_last")
    assert run(path, "--input-layout", "channels_last", "--no-install").exit_code == 0


REAL = ("cortex_basic_nn_a", "cortex_replicon_small", "cortex_replicon_large_a")


@pytest.mark.parametrize("name", REAL)
def test_every_real_network_matches_its_reference(name: str, corpus: Any, tmp_path: Path) -> None:
    for suffix in (".nippy", ".reference.h5"):
        shutil.copy(corpus(f"{name}{suffix}"), tmp_path)
    result = run(tmp_path / f"{name}.nippy", "--repository", tmp_path / "models", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["verified"]
    assert report["evidence"] == "recorded"
    assert all(layer["outside"] for layer in report["layers"])
    assert all(at["max_abs"] < 1e-5 * at["scale"] for at in report["layers"] + report["outputs"])


def test_the_xor_network_has_the_loss_that_its_file_states(corpus: Any) -> None:
    imported = load(corpus("cortex_basic_nn_a.nippy"))
    x, labels = [[0, 1], [1, 0], [1, 1], [0, 0]], np.array([[1.0], [1.0], [0.0], [0.0]])
    y = imported.network.run({"data": x}, dtype=np.float64)["label"]
    assert f"{np.mean((y - labels) ** 2):.3e}" == f"{7.967757121640773e-05:.3e}"
    (note,) = imported.report.notes
    assert note == "the file states a cross-validation loss of 7.96776e-05 after 300 epochs"


def test_no_real_file_is_left_out(corpus: Any) -> None:
    entries: list[dict[str, Any]] = json.loads(corpus("MANIFEST.json").read_text())
    files = {entry["file"] for entry in entries if entry["kind"] == "cortex-nippy"}
    assert files == {f"{name}.nippy" for name in REAL}


@pytest.mark.slow
def test_cortex_vgg16_imports(corpus: Any, tmp_path: Path) -> None:
    """The architecture that cortex brings, with weights of its shapes."""
    architecture = corpus("cfg_k1_cortex_vgg16.json")
    rng, channels = np.random.default_rng(0), 3
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        entries = json.loads(architecture.read_text())["config"]
        names = [entry["config"]["name"] for entry in entries]
        file.attrs["layer_names"] = np.array(names, "S")
        for entry, name in zip(entries, names, strict=True):
            group = file.create_group(name)
            arrays: dict[str, Array] = {}
            if filters := entry["config"].get("nb_filter"):
                scale = (2 / (9 * channels)) ** 0.5
                kernel = rng.standard_normal((3, 3, channels, filters), np.float32) * scale
                arrays = {f"{name}_W": kernel, f"{name}_b": np.zeros(filters, np.float32)}
                channels = filters
            group.attrs["weight_names"] = np.array(list(arrays), "S")
            for key, array in arrays.items():
                group[key] = array
    arguments = ["--weights", tmp_path / "weights.h5", "--repository", tmp_path / "m", "--json"]
    result = run(architecture, *arguments)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert sum(layer["parameters"] for layer in report["layers"]) == 14_714_688
    assert report["outputs"][0]["output_shape"] == ["N", 7, 7, 512]
    assert report["first_difference"] is None


def test_errors_are_errors_of_cortex(tmp_path: Path) -> None:
    path = small(tmp_path / "a.nippy")
    data = path.read_bytes()
    for end in range(4, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(CortexError, match="cut short"):
            load(path)
