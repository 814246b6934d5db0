"""What a user says that layers compute, and the functions that are known by their names."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cortex.importer import load
from cortex.importer.cli import main
from cortex.importer.keras import plugins
from cortex.importer.keras.converters.substitute import KNOWN
from cortex.importer.keras.layer import CONVERTERS
from cortex.runtime import ops
from cortex.runtime.errors import CortexError, Unsupported, UsageError

from .keras_files import entry, functional, given, link, write

CODE = ["4wEAAAAAAAAAAAAAAAIAAAATAAAA8wwAAACX", None, None]
"""The beginning of what Keras writes of a function."""
X = np.random.default_rng(0).uniform(-1, 1, (3, 5, 4)).astype(np.float32)
W = np.random.default_rng(1).uniform(-1, 1, (4, 1)).astype(np.float32)
ATTENTION = "sum(x * softmax(x @ attention_W, axis=1), axis=1)"


def lambda_layer(name: str = "lambda_1", **options: Any) -> Any:
    """A Lambda of Keras 2."""
    config = {"function": CODE, "function_type": "lambda", "arguments": {}, **options}
    return entry("Lambda", name, link("x"), **config)


def named_lambda(function: Any, arguments: Any = None, name: str = "lambda_1") -> Any:
    """A Lambda of Keras 3."""
    config = {"module": "builtins", "class_name": "function", "config": function}
    return entry("Lambda", name, link("x"), function=config, arguments=arguments or {})


def custom(kind: str = "AttentionWeightedAverage", **options: Any) -> Any:
    return entry(kind, "attention", link("x"), trainable=True, **options)


def model(folder: Path, *layers: Any, arrays: Any = None, shape: Any = (5, 4)) -> Path:
    return write(folder / "model.h5", functional(given("x", *shape), *layers), arrays)


def mapping(folder: Path, text: str) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(text)
    return path


def computed(folder: Path, text: str, *layers: Any, **options: Any) -> Any:
    path = model(folder, *layers, **options)
    imported = load(path, substitute=mapping(folder, text))
    assert imported.report.first_difference is None
    return next(iter(imported.network.run({"x": X}).values()))


def softmax(x: Any) -> Any:
    e = np.exp(x)
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(
    "text",
    [
        "lambda_1: x * 2 - 1",
        "Lambda: x * 2 - 1",
        "{lambda_1: x * 2 - 1}",
        "lambda_1: x * 2 - 1\nLambda: x * 3",
        "lambda_1: {expression: x * 2 - 1, masks: true}",
        "lambda_1: {class: Rescaling, scale: 2, offset: -1}",
    ],
)
def test_an_entry_for_a_lambda(text: str, tmp_path: Path) -> None:
    found = computed(tmp_path, text, lambda_layer())
    np.testing.assert_allclose(found, X * 2 - 1, atol=1e-6)


def test_arguments_of_a_lambda_are_names(tmp_path: Path) -> None:
    found = computed(tmp_path, "lambda_1: x * n", lambda_layer(arguments={"n": 3}))
    np.testing.assert_allclose(found, X * 3, atol=1e-6)


@pytest.mark.parametrize("key", ["AttentionWeightedAverage", "attention"])
def test_stored_arrays_are_names(key: str, tmp_path: Path) -> None:
    arrays = {"attention": {"attention_W:0": W}}
    found = computed(tmp_path, f"{key}: {ATTENTION}", custom(), arrays=arrays)
    np.testing.assert_allclose(found, (X * softmax(X @ W)).sum(1), atol=1e-5)


def test_a_mask_is_a_name(tmp_path: Path) -> None:
    masking = entry("Masking", "masking", link("x"), mask_value=0.0)
    layer = {**custom(), "inbound_nodes": [link("masking")]}
    text = "attention: sum(where(expand_dims(mask, -1), x, 100), axis=1)"
    path = model(tmp_path, masking, layer)
    network = load(path, substitute=mapping(tmp_path, text)).network
    x = np.where(np.arange(5)[:, None] < 3, X, 0).astype(np.float32)
    found = network.run({"x": x})["attention"]
    np.testing.assert_allclose(found, x.sum(1) + 200, rtol=1e-6)


def test_a_class_takes_the_options_and_arrays(tmp_path: Path) -> None:
    arrays = {"dense": {"kernel:0": W, "bias:0": np.ones(1, np.float32)}}
    layer = entry("MyDense", "dense", link("x"), units=1, flavour="sour", use_bias=True)
    text = "MyDense: {class: Dense, activation: relu, ignore: [flavour]}"
    found = computed(tmp_path, text, layer, arrays=arrays)
    np.testing.assert_allclose(found, np.maximum(X @ W + 1, 0), atol=1e-5)


def test_an_activation_of_ones_own(tmp_path: Path) -> None:
    for given_as in ("my>swoosh", {"class_name": "function", "config": "my>swoosh"}):
        layer = entry("Activation", "act", link("x"), activation=given_as)
        found = computed(tmp_path, "swoosh: x * sigmoid(1.5 * x)", layer)
        np.testing.assert_allclose(found, X / (1 + np.exp(-1.5 * X)), atol=1e-6)


def test_a_layer_inside_a_wrapper(tmp_path: Path) -> None:
    inner = {"class_name": "Lambda", "config": {"name": "inner", "function": CODE}}
    layer = entry("TimeDistributed", "each", link("x"), layer=inner)
    found = computed(tmp_path, "inner: x[:, 0]", layer)
    np.testing.assert_array_equal(found, X[:, :, 0])


def test_several_inputs(tmp_path: Path) -> None:
    other = entry("ReLU", "relu", link("x"))
    layer = entry("Lambda", "both", link("x", "relu"), function=CODE, function_type="lambda")
    found = computed(tmp_path, "both: concatenate([x0, x1 * 2], axis=-1)", other, layer)
    np.testing.assert_allclose(found, np.concatenate([X, 2 * np.maximum(X, 0)], -1), atol=1e-6)


def test_functions_known_by_name(tmp_path: Path) -> None:
    for name in ("relu6", "swish", "mish", "hard_swish", "l2_norm", "my>h_swish"):
        imported = load(model(tmp_path, named_lambda(name)))
        assert imported.report.first_difference is None
    found = load(model(tmp_path, named_lambda("l2_normalize", {"axis": 1}))).network
    np.testing.assert_allclose(
        found.run({"x": X})["lambda_1"], X / np.sqrt((X**2).sum(1, keepdims=True)), atol=1e-5
    )


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_function_is_an_expression(name: str, tmp_path: Path) -> None:
    load(model(tmp_path, named_lambda(name)))


def test_functions_of_tensorflow_can_be_said_too(tmp_path: Path) -> None:
    layer = {
        "class_name": "TFOpLambda",
        "name": "tf.math.bessel",
        "config": {"name": "tf.math.bessel", "function": "math.bessel"},
        "inbound_nodes": [["x", 0, 0, {"name": None}]],
    }
    found = computed(tmp_path, "math.bessel: x + 1", layer)
    np.testing.assert_allclose(found, X + 1, atol=1e-6)


REFUSED: dict[str, tuple[str, str]] = {
    "unknown name": (
        "lambda_1: x * rte",
        r"mapping.yaml: 'lambda_1': Keras Lambda 'lambda_1': there is no 'rte' here; close: rate",
    ),
    "unknown function": (
        "lambda_1: rellu(x)",
        "'lambda_1': there is no function 'rellu'; close: relu",
    ),
    "no expression": ("lambda_1: x +", r"'lambda_1': 'x \+' is no expression"),
    "forbidden": ("lambda_1: x.__class__", "Attribute has no place in an expression"),
    "unknown key": (
        "lamda_1: x",
        "'lamda_1' is no layer, class or function of the model; close: lambda_1",
    ),
    "unknown class": ("lambda_1: {class: Rescalling}", "no class 'Rescalling'; close: Rescaling"),
    "class and expression": ("lambda_1: {class: ReLU, expression: x}", "neither an expression nor"),
    "options of an expression": ("lambda_1: {expression: x, units: 3}", "no options but 'masks'"),
    "list": ("lambda_1: [x]", "neither an expression nor an object"),
    "nothing": ("lambda_1:", "neither an expression nor an object"),
    "no mapping": ("- x", "a mapping has lines like"),
    "no YAML": ("lambda_1: {", "is no YAML"),
    "object": ("lambda_1: !!python/object/apply:os.system [ls]", "YAML"),
    "shapes": ("lambda_1: x @ x", "'lambda_1'"),
    "dtype": ("lambda_1: x & 3", "are of truths"),
    "bad option": ("lambda_1: {class: ReLU, max_value: many}", "'lambda_1'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mapping_is_refused(case: str, tmp_path: Path) -> None:
    text, message = REFUSED[case]
    path = model(tmp_path, lambda_layer(rate=0.5))
    with pytest.raises((UsageError, CortexError), match=message) as caught:
        load(path, substitute=mapping(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_no_such_mapping(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml: No such file"):
        load(model(tmp_path, lambda_layer()), substitute=tmp_path / "nowhere.yaml")


WITHOUT: dict[str, tuple[Any, str]] = {
    "code": (lambda_layer(), r"Lambda \('lambda_1'\).*with a line like 'lambda_1: x \* 2'"),
    "a name": (
        named_lambda("my>twice"),
        r"Lambda \('lambda_1', function 'my>twice'\).*with a line like 'my>twice: x \* 2'",
    ),
    "a class": (
        custom(),
        r"AttentionWeightedAverage \('attention'\).*'Attention.*: x",
    ),
    "a registered class": (custom("my>Dense"), r"my>Dense \('attention'\)"),
    "arguments": (
        named_lambda("relu6", {"alpha": 1}),
        r"arguments \{'alpha': 1\} is not supported",
    ),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_without_a_mapping_it_is_refused_at_once(case: str, tmp_path: Path) -> None:
    layer, message = WITHOUT[case]
    path, start = model(tmp_path, layer), time.monotonic()
    with pytest.raises(Unsupported, match=message):
        load(path)
    assert time.monotonic() - start < 2


def test_all_that_are_unknown_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"Lambda \('a'\), Lambda \('b'\), Odd \('c'\)"):
        load(model(tmp_path, lambda_layer("a"), lambda_layer("b"), entry("Odd", "c", link("x"))))


def test_a_class_that_is_none_of_keras_is_not_taken_for_one(tmp_path: Path) -> None:
    for registered, key in (("my>ReLU", "my>ReLU"), ("ReLU", "__main__>ReLU")):
        layer = {**entry("ReLU", "relu", link("x")), "module": None, "registered_name": registered}
        with pytest.raises(Unsupported, match=rf"{key} \('relu'\)"):
            load(model(tmp_path, layer))
        found = computed(tmp_path, f"{key}: x + 1", layer)
        np.testing.assert_allclose(found, X + 1, atol=1e-6)


def test_an_array_that_is_not_used_is_not_lost(tmp_path: Path) -> None:
    path = model(tmp_path, custom(), arrays={"attention": {"attention_W:0": W, "b:0": W}})
    for text, message in (
        ("attention: x * 2", "the arrays of 'attention' would be lost"),
        (f"attention: {ATTENTION}", "its array 'b' would be lost"),
    ):
        with pytest.raises(Unsupported, match=message):
            load(path, substitute=mapping(tmp_path, text))


def test_a_file_with_lambdas(corpus: Any, tmp_path: Path) -> None:
    path = corpus("k2_dl4j_sequential_lambda.h5")
    text = mapping(tmp_path, "lambda_1: x ** 2\nlambda_2: 3 * x\n")
    imported = load(path, substitute=text)
    assert imported.report.first_difference is None
    assert [node.op for node in imported.network.graph.nodes][2:4] == [ops.Square(), ops.Scale(3.0)]


def test_the_command_takes_a_mapping(tmp_path: Path) -> None:
    path = model(tmp_path, lambda_layer())
    options = [str(path), "--no-install", "--json", "--substitute"]
    done = CliRunner().invoke(main, [*options, str(mapping(tmp_path, "lambda_1: x * 2"))])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["first_difference"] is None
    done = CliRunner().invoke(main, [*options, str(mapping(tmp_path, "lambda_1: x *"))])
    assert done.exit_code == 2


PLUGIN = '''
from cortex.importer.keras.layer import Layer, keras
from cortex.importer.keras.builder import Value
from cortex.runtime import ops


@keras("pack>Twice")
def twice(layer: Layer, x: Value) -> Value:
    """Times a number."""
    return layer.add(ops.Scale(2.0 * layer["times"]), x)
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packages that bring converters, or say so."""
    (tmp_path / "twice_for_cortex.py").write_text(PLUGIN)
    (tmp_path / "broken_for_cortex.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "twice_for_cortex", raising=False)
    entries = [EntryPoint(n, f"{n}_for_cortex", plugins.GROUP) for n in ("twice", "broken")]

    def found(group: str) -> list[EntryPoint]:
        assert group == plugins.GROUP
        return entries

    monkeypatch.setattr(plugins, "entry_points", found)
    yield
    CONVERTERS.pop("pack>Twice", None)


def test_a_package_brings_converters(installed: None, tmp_path: Path) -> None:
    path = model(tmp_path, entry("pack>Twice", "twice", link("x"), times=3))
    with pytest.raises(Unsupported, match=r"pack>Twice \('twice'\)"):
        load(path)
    network = load(path, plugins=["twice"]).network
    assert network.graph.nodes[0].op == ops.Scale(6.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("thrice", "plugin 'thrice' is not installed; installed are: broken, twice"),
        ("broken", r"plugin 'broken' \(broken_for_cortex\) does not load: ZeroDivisionError"),
    ],
)
def test_a_package_is_refused(installed: None, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load(model(tmp_path, custom()), plugins=[name])
