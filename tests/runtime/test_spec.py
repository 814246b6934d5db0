"""Specs: what they say, what is wrong with them and where, and what is built of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from cortex.runtime import nn, optim
from cortex.runtime.errors import CortexError, GraphError, UnreadableFile, UsageError
from cortex.runtime.losses import L1, L2, CrossEntropy, Huber, MeanSquaredError
from cortex.runtime.optim import Treatment
from cortex.runtime.spec import document, families
from cortex.runtime.spec.experiment import build
from cortex.runtime.spec.gradient_check import check
from cortex.runtime.spec.listeners import listeners
from cortex.runtime.spec.network import model_of
from cortex.runtime.spec.schema import checked, json_schema

EXAMPLES = Path(__file__).parents[2] / "examples"
NETWORK: list[Any] = [
    {"type": "input", "size": 4},
    {"type": "linear", "units": 6},
    "relu",
    {"type": "linear", "units": 3},
    "softmax",
]


SCHEMA = Draft202012Validator(json_schema())


def spec(**said: Any) -> Any:
    return checked({"network": NETWORK, **said}, "f.yaml")


def digits(folder: Path, rows: int = 40) -> Path:
    """A file of examples whose class is the place of the largest of three numbers."""
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    np.savez(folder / "d.npz", input=x, target=np.eye(3, dtype=np.float32)[x[:, :3].argmax(1)])
    return folder


# Reading.

TEXTS: list[tuple[str, Any]] = [
    ("a: 1e-4", {"a": 1e-4}),
    ("a: -1E+3", {"a": -1000.0}),
    ("a: e5", {"a": "e5"}),
    ("on: answer\na: [yes, No, true]", {"on": "answer", "a": ["yes", "No", True]}),
    ("on: yes\na: true", {"on": "yes", "a": True}),
    ("define: &b {x: 1}\na: {<<: *b, y: 2}", {"define": {"x": 1}, "a": {"x": 1, "y": 2}}),
    ("!hyperopt r FLOAT 1e-4 1e-1 LOG", document.Range("r", "FLOAT", (1e-4, 1e-1), True)),
    ("!hyperopt n INT 4 64", document.Range("n", "INT", (4, 64))),
    ("!hyperopt c CHOICE relu tanh 3", document.Range("c", "CHOICE", ("relu", "tanh", 3))),
]


@pytest.mark.parametrize(("text", "value"), TEXTS)
def test_a_text_is_read(text: str, value: Any) -> None:
    assert document.parse(text, "f.yaml") == value


TEXTS_REFUSED = [
    ("a: 1\nb: 2\na: 3", "f.yaml: line 3 'a' stands twice in one mapping"),
    ("a: [", "f.yaml: line 1 "),
    ("a: !python/object/apply:os.system [x]", "could not determine a constructor"),
    ("a: !hyperopt x FLOAT 1", "write '!hyperopt NAME FLOAT LOW HIGH"),
    ("a: !hyperopt x FLOAT 2 1", "write '!hyperopt"),
    ("a: !hyperopt x FLOAT 0 1 LOG", "write '!hyperopt"),
    ("a: !hyperopt x REAL 0 1", "write '!hyperopt"),
    ("a: !hyperopt x CHOICE", "write '!hyperopt"),
    ("a: !hyperopt {x: 1}", "write '!hyperopt"),
    ("a: \x00", "f.yaml: not YAML: "),
    ("[" * 5000, "f.yaml: not YAML: "),
    ("&a [*a]", "f.yaml: not YAML: "),
]


@pytest.mark.parametrize(("text", "message"), TEXTS_REFUSED)
def test_a_text_that_is_no_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        document.parse(text, "f.yaml")
    assert message in str(caught.value)


def test_a_file_must_be_there_and_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        document.read(tmp_path / "none.yaml")
    with pytest.raises(UnreadableFile, match="not a regular file"):
        document.read(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UnreadableFile, match="a spec is a mapping"):
        document.read(tmp_path / "list.yaml")


SETTINGS: list[tuple[Any, str, Any]] = [
    ({"a": 1}, "a=2", {"a": 2}),
    ({}, "a.b=1e-3", {"a": {"b": 1e-3}}),
    ({"a": "adam"}, "a.rate=1", {"a": {"type": "adam", "rate": 1}}),
    ({"a": [1, {"b": 2}]}, "a.1.b=[3]", {"a": [1, {"b": [3]}]}),
    ({"a": 1}, "a=null", {"a": None}),
]


@pytest.mark.parametrize(("before", "setting", "after"), SETTINGS)
def test_a_setting_is_put_where_it_says(before: Any, setting: str, after: Any) -> None:
    kept = json.dumps(before)
    assert document.overridden(before, [setting]) == after
    assert json.dumps(before) == kept


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("a", "--set a: write it as PATH=VALUE"),
        ("a.x.y=1", "before 'y' stands 3"),
        ("b.7=1", "--set b.7: there is no '7' among 1 items"),
        ("c=[", "--set c: line 1"),
    ],
)
def test_a_setting_that_has_no_place_is_refused(setting: str, message: str) -> None:
    with pytest.raises(CortexError) as caught:
        document.overridden({"a": {"x": 3}, "b": [1]}, [setting])
    assert message in str(caught.value)


# What is wrong, and where.


def residual(*layers: Any) -> dict[str, Any]:
    return {"type": "residual", "layers": list(layers)}


def branch(*branches: Any) -> dict[str, Any]:
    return {"type": "branch", "branches": list(branches)}


def nested(depth: int) -> list[Any]:
    layers: list[Any] = ["tanh"]
    for _ in range(depth):
        layers = [residual(*layers)]
    return layers


BEFORE: list[Any] = [{"type": "input", "size": 4}, "relu", "tanh"]

WRONG: list[tuple[Mapping[str, Any], str]] = [
    ({"epoch": 3}, "epoch: no such option: 'epoch'; did you mean 'epochs'?"),
    ({"epochs": 0}, "epochs: input should be greater than or equal to 1, not 0"),
    ({"network": ["relux"]}, "network.0: no such type: 'relux'; did you mean 'relu'?"),
    ({"network": [{"type": "conv", "kernel": 3}]}, "network.0.filters: is missing"),
    (
        {"network": [{"type": "conv", "kernel": "x", "filters": 3}]},
        "network.0.kernel: input should be a valid integer, "
        "unable to parse string as an integer, not 'x'",
    ),
    (
        {"network": [{"type": "linear", "unit": 3}]},
        "network.0.unit: no such option: 'unit'; did you mean 'units'?",
    ),
    ({"network": [{"units": 3}]}, "network.0: say what it is: type is missing"),
    (
        {"network": [{"type": "linear", "units": 3, "initial": {"kernel": "hee"}}]},
        "network.0.initial.kernel: input should be 'auto'",
    ),
    ({"optimizer": {"type": "adamm"}}, "optimizer.type: no such type: 'adamm'; did you mean 'adam"),
    ({"optimizer": {"type": "adam", "rate": "fast"}}, "optimizer.rate: input should be a valid nu"),
    (
        {"optimizer": {"type": "sgd", "rate": {"type": "step", "rate": 1}}},
        "optimizer.rate.every: is missing",
    ),
    (
        {"optimizer": {"rate": {"type": "listed", "rate": 1, "epochs": [2, 1], "rates": [1, 1]},
                       "type": "sgd"}},
        "optimizer.rate: epochs must rise",
    ),
    (
        {"epochs": None, "optimizer": {"type": "sgd", "rate": {"type": "cosine", "rate": 1}}},
        "optimizer: this schedule needs the number of epochs",
    ),
    ({"data": {"type": "csv"}}, "data.path: is missing"),
    ({"augmentation": [{"type": "spin"}]}, "augmentation.0.type: no such type: 'spin'; there are"),
    ({"measures": ["acuracy"]}, "measures.0: no such type: 'acuracy'; did you mean 'accuracy'?"),
    ({"losses": [{"loss": "mse"}]}, "losses.0.on: is missing"),
    ({"losses": [{"loss": {"type": "cross_entropy", "smoothing": 2}, "on": "a"}]},
     "losses.0.loss: a smoothing of 2.0 is none"),
    (
        {"network": {"load": "m", "resize_input": [0, 3]}},
        "network.resize_input.0: input should be greater than or equal to 1, not 0",
    ),
    ({"network": {"load": "m", "drop": "a"}}, "network.drop: no such option: 'drop'; did you mean"),
    ({"parameters": {"bias": {"l3": 1}}}, "parameters.bias.l3: no such option: 'l3'; there are"),
    ({"parameters": {"bias": {"l2": -1}}}, "parameters.bias.l2: input should be greater than or"),
    ({"optimizers": {"bias": {"type": "sgdd"}}}, "optimizers.bias.type: no such type: 'sgdd'; did"),
    ({"epochs": None, "optimizers": {"bias": {"type": "sgd", "rate": {"type": "cosine",
      "rate": 1}}}}, "optimizers.bias: this schedule needs the number of epochs"),
    ({"listeners": ["csvv"]}, "listeners.0: no such type: 'csvv'; did you mean 'csv'?"),
    ({"listeners": [{"type": "early_stop"}]}, "listeners.0.patience: is missing"),
    ({"checkpoint": "a.h5"}, "checkpoint: a.h5: a network is kept as .safetensors"),
    ({"save": "a"}, "save: a: a network is kept as .safetensors"),
    ({"listeners": [{"type": "best", "path": "a.h5"}]},
     "listeners: a.h5: a network is kept as .safetensors"),
    ({"log": "a.txt"}, "log: a.txt: a log ends in .csv, .json, .jsonl, .h5"),
    ({"validation": "much"}, "validation: no such type: 'much'"),
    ({"network": 3}, "network: input should be a valid list, not 3"),
    ({"network": [*BEFORE, branch([], [{"type": "linear", "units": "x"}])]},
     "network.3.branches.1.0.units: input should be a valid integer"),
    ({"network": [*BEFORE, branch([], [{"type": "linear", "unit": 3}])]},
     "network.3.branches.1.0.unit: no such option: 'unit'; did you mean 'units'?"),
    ({"network": [*BEFORE, branch(["relux"])]},
     "network.3.branches.0.0: no such type: 'relux'; did you mean 'relu'?"),
    ({"network": [*BEFORE, branch("relu")]}, "network.3.branches.0: input should be a valid list"),
    ({"network": [residual(branch([], [residual({"type": "linear"})]))]},
     "network.0.layers.0.branches.1.0.layers.0.units: is missing"),
    ({"network": [*BEFORE, ["relu", ["tanh", {"units": 3}]]]},
     "network.3.1.1: say what it is: type is missing"),
    ({"network": [{"type": "residual"}]}, "network.0.layers: is missing"),
    ({"network": {"load": "m", "layers": [residual("relux")]}},
     "network.layers.0.layers.0: no such type: 'relux'"),
    ({"network": nested(40)}, "network: more than 64 lists and mappings lie within"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_one_line_with_its_path(said: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        spec(**said)
    assert str(caught.value).startswith(f"f.yaml: {message}")
    assert "\n" not in str(caught.value)
    assert " more)" not in str(caught.value)


NO_FIT: list[tuple[Mapping[str, Any], str]] = [
    (
        {"network": [{"type": "input", "size": 4}, {"type": "conv", "kernel": 3, "filters": 2}]},
        "network.1: layer 'convolutional-1' (convolutional): ",
    ),
    ({"network": ["relu"]}, "network.0: layer 'relu-1': nothing comes before it"),
    ({"network": [*NETWORK, {"type": "join", "inputs": ["a", "b"]}]}, "network.5: "),
    (
        {"losses": [{"loss": "mse", "on": "lost"}]},
        "losses.0.on: no layer or parameter that learns is called 'lost'",
    ),
    ({"optimizers": {"linearr": "sgd"}}, "optimizers: no parameter, layer or kind is called"),
    ({"losses": [{"loss": {"type": "xcov", "split": 9}, "on": "relu-1"}]}, "losses.0.loss: ('N'"),
    ({"parameters": {"lin-*": {"l2": 1}}}, "parameters: no parameter, layer or kind is called"),
    (
        {"losses": [{"loss": "mse", "on": "linear-1/bias"}]},
        "losses.0.on: the loss on the parameter",
    ),
    (
        {"losses": [{"loss": "l2", "on": "linear-1/bias", "target": "x"}]},
        "losses.0.on: 'linear-1/bi",
    ),
    ({"network": {"load": "/none"}}, "network.load: /none: no such file"),
]


@pytest.mark.parametrize(("said", "message"), NO_FIT, ids=[message for _, message in NO_FIT])
def test_what_does_not_fit_is_named_with_its_path(said: Mapping[str, Any], message: str) -> None:
    with pytest.raises((GraphError, UsageError)) as caught:
        model_of(spec(**said))
    assert str(caught.value).startswith(message)


# What is built.


def test_every_declared_thing_can_be_said() -> None:
    told = json.dumps(json_schema())
    tables = (nn.LAYERS, families.OPTIMIZERS, families.SCHEDULES, families.LISTENERS)
    for name in [*(name for table in tables for name in table), "warm_up", "center", "csv"]:
        assert f'"{name}"' in told


def test_values_are_those_of_code() -> None:
    found = spec(
        optimizer={"type": "sgd", "learning_rate": {"type": "warm_up", "then": {
            "type": "cosine", "rate": 0.1}, "epochs": 2}, "momentum": 0.9},
        optimizers={"bias": "adam"},
    )  # fmt: skip
    assert found.optimizer == optim.sgd(optim.warm_up(optim.cosine(0.1), 2), momentum=0.9)
    assert found.optimizers == {"bias": optim.Adam()}
    model = model_of(found)
    assert model.treatments["linear-1/bias"].optimizer == optim.Adam()
    assert "linear-1/kernel" not in model.treatments


INITIAL: list[tuple[Any, float]] = [
    ("orthogonal", 2**0.5),
    ({"type": "orthogonal", "scale": 0.5}, 0.5),
    ({"type": "constant", "value": 0.25}, 0.5),
]


@pytest.mark.parametrize(("said", "length"), INITIAL)
def test_parameters_begin_as_said(said: Any, length: float) -> None:
    layers = [NETWORK[0], {"type": "linear", "units": 3, "initial": {"kernel": said}}]
    kernel = model_of(spec(network=layers)).network.parameters["linear-1/kernel"]
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), length, rtol=1e-6)


def linear(units: int = 4) -> dict[str, Any]:
    return {"type": "linear", "units": units}


NESTED: list[tuple[list[Any], list[Any]]] = [
    ([[linear(), "relu"], [[linear(), "relu"], "tanh"]],
     [nn.linear(4), nn.relu(), nn.linear(4), nn.relu(), nn.tanh()]),
    ([residual(linear(), "relu"), "tanh"], [nn.residual([nn.linear(4), nn.relu()]), nn.tanh()]),
    ([branch([linear(3)], [])], [nn.branch([[nn.linear(3)], []])]),
    ([{**branch(["tanh"], ["relu"]), "operation": "*", "name": "b"}],
     [nn.branch([[nn.tanh()], [nn.relu()]], "*", name="b")]),
    ([residual(branch([residual(linear(), linear())], [[["tanh"]]]), linear())],
     [nn.residual([nn.branch([[nn.residual([nn.linear(4), nn.linear(4)])], [nn.tanh()]]),
                   nn.linear(4)])]),
    (nested(20), [reduce(lambda inner, _: nn.residual([inner]), range(20), nn.tanh())]),
]  # fmt: skip


@pytest.mark.parametrize(("said", "layers"), NESTED)
def test_layers_may_stand_within_layers(said: list[Any], layers: list[Any]) -> None:
    document = {"network": [NETWORK[0], *said]}
    SCHEMA.validate(document)
    found, made = model_of(checked(document, "f.yaml")), nn.sequential([nn.input(4), *layers])
    assert found.network.graph == made.network.graph


def test_the_schema_refuses_what_is_wrong_within_layers() -> None:
    SCHEMA.check_schema(SCHEMA.schema)
    for wrong in (residual("relux"), residual({"type": "linear"}), branch(["tanh"], "tanh")):
        assert not SCHEMA.is_valid({"network": [wrong]})


def test_losses_join_the_usual_ones_but_replace_those_of_their_output() -> None:
    extra = {"loss": "huber", "on": "linear-1", "target": "t", "weight": 0.5}
    terms = model_of(spec(losses=[extra])).terms
    assert [type(term.loss) for term in terms] == [CrossEntropy, Huber]
    assert (terms[1].on, terms[1].target, terms[1].weight) == ("linear-1", "t", 0.5)
    terms = model_of(spec(losses=[{"loss": "mse", "on": "softmax-1"}])).terms
    assert [(term.on, term.target) for term in terms] == [("softmax-1", "softmax-1:target")]


TREATMENTS: list[tuple[Mapping[str, Any], Mapping[str, Treatment]]] = [
    ({"parameters": {"bias": {"rate_factor": 2}}},
     {"linear-1/bias": Treatment(factor=2), "linear-2/bias": Treatment(factor=2)}),
    ({"parameters": {"*/kernel": {"l2": 0.1}, "linear-2": {"l1": 0.2, "max_norm": 3}}},
     {"linear-1/kernel": Treatment(l2=0.1), "linear-2/kernel": Treatment(l1=0.2, max_norm=3),
      "linear-2/bias": Treatment(l1=0.2, max_norm=3)}),
    ({"parameters": {"linear-1": {"rate_factor": 0}}, "optimizers": {"*-1/bias": "adam"}},
     {"linear-1/kernel": Treatment(factor=0), "linear-1/bias": Treatment(optim.Adam(), factor=0)}),
    ({"losses": [{"loss": "l2", "on": "linear-1/kernel", "weight": 0.1},
                 {"loss": "l1", "on": "linear-1/kernel", "weight": 0.2}],
      "parameters": {"linear-1/bias": {"l1": 0.3}}},
     {"linear-1/kernel": Treatment(l1=0.2, l2=0.1), "linear-1/bias": Treatment(l1=0.3)}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "ways"), TREATMENTS)
def test_parameters_learn_in_their_own_ways(
    said: Mapping[str, Any], ways: Mapping[str, Treatment]
) -> None:
    assert model_of(spec(**said)).treatments == ways


def test_a_penalty_on_an_output_leaves_it_its_loss() -> None:
    said = [{"loss": loss, "on": on} for loss, on in (("l1", "softmax-1"), ("l2", "relu-1"))]
    terms = model_of(spec(losses=said)).terms
    assert [type(term.loss) for term in terms] == [CrossEntropy, L1, L2]


SURGERY: list[tuple[Mapping[str, Any], Mapping[str, tuple[int, ...]], set[str]]] = [
    ({"freeze": "conv"}, {"fc/kernel": (2, 3)}, {"conv"}),
    ({"drop_from": "fc", "freeze": True, "layers": [{"type": "linear", "units": 5}]},
     {"linear-1/kernel": (2, 5)}, {"conv", "pooled"}),
    ({"resize_input": [9, 7, 1]}, {"conv/kernel": (3, 3, 1, 2)}, set()),
    ({"resize_input": {"image": ["H", "W", 1]}}, {"conv/kernel": (3, 3, 1, 2)}, set()),
    ({"after": "conv", "layers": [{"type": "conv", "kernel": 3, "filters": 4, "name": "beside"}]},
     {"beside/kernel": (3, 3, 2, 4), "fc/kernel": (2, 3)}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("said", "shapes", "frozen"), SURGERY)
def test_a_stored_network_is_changed_as_the_spec_says(
    tmp_path: Path, said: Mapping[str, Any], shapes: Mapping[str, Any], frozen: set[str]
) -> None:
    layers = [
        nn.input(height=6, width=6, channels=1, name="image"), nn.conv(3, filters=2, name="conv"),
        nn.global_average_pooling(name="pooled"), nn.linear(3, name="fc"),
    ]  # fmt: skip
    nn.sequential(layers).network.save(tmp_path / "m.safetensors")
    model = model_of(spec(network={"load": str(tmp_path / "m.safetensors"), **said}))
    found = {name: array.shape for name, array in model.network.parameters.items()}
    assert found.items() >= shapes.items()
    assert model.frozen == frozen
    if "resize_input" in said:
        x = np.zeros((1, 9, 7, 1), np.float32)
        assert model.network.run({"image": x})["fc"].shape == (1, 3)


def test_a_network_goes_on_from_a_stored_one(tmp_path: Path) -> None:
    file = tmp_path / "model" / "3" / "weights.safetensors"
    file.parent.mkdir(parents=True)
    stored = model_of(spec())
    stored.network.save(file)
    base = {"load": str(tmp_path / "model"), "drop_from": "linear-2", "freeze": "relu-1",
            "layers": [{"type": "linear", "units": 2, "name": "head"}, "softmax"]}  # fmt: skip
    model = model_of(spec(network=base))
    assert model.network.parameters["head/kernel"].shape == (6, 2)
    kernel = "linear-1/kernel"
    assert np.array_equal(model.network.parameters[kernel], stored.network.parameters[kernel])
    assert "linear-1" in model.frozen
    assert "head" not in model.frozen


@pytest.mark.parametrize("validation", [10, 0.25, {"type": "npz", "path": "d.npz"}])
def test_a_training_is_built_with_its_data(tmp_path: Path, validation: Any) -> None:
    run = build(
        spec(
            data={"type": "npz", "path": "d.npz"},
            folder=str(digits(tmp_path)),
            validation=validation,
            balanced=True,
            epoch_size=12,
            batch_size=6,
            measures=["accuracy", {"type": "f1", "class": 2}],
            goal="f1 2",
            epochs=1,
        )
    )
    assert run.validation
    assert len(run.validation) == (40 if isinstance(validation, dict) else 10)
    (epoch,) = run.train()
    assert epoch.metrics.keys() == {"loss", "accuracy", "f1 2"}


ALL = {"log": "a.h5", "tensorboard": "tb", "publish": "m", "patience": 2, "minutes": 1, "live": 0}
LISTENERS: list[tuple[Mapping[str, Any], str]] = [
    ({}, "Console Interruptible Best Checkpoints"),
    ({"save": None, "checkpoint": None, "log": "a.csv"}, "Console Interruptible CsvLog"),
    ({"save": None, "checkpoint": None, "listeners": [
        {"type": "json", "path": "a.json"},
        {"type": "checkpoints", "path": "a.safetensors", "every": 5},
        {"type": "early_stop", "patience": 2}, {"type": "live_page", "port": 0}]},
     "Console Interruptible JsonLog Checkpoints EarlyStop LivePage"),
    (ALL, "Console Interruptible Best Checkpoints Hdf5History TensorBoard Publisher EarlyStop "
          "TimeLimit LivePage"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "names"), LISTENERS)
def test_what_is_asked_for_listens(said: Mapping[str, Any], names: str) -> None:
    assert " ".join(type(each).__name__ for each in listeners(spec(**said))) == names


def test_the_name_is_that_of_its_files() -> None:
    found = spec(name="digits", save="out/{name}.safetensors")
    assert found.save == Path("out/digits.safetensors")
    assert found.checkpoint == Path("digits-last.safetensors")


def test_data_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^data: is missing"):
        build(spec())
    with pytest.raises(CortexError, match=r"none\.npz"):
        build(spec(data={"type": "npz", "path": "none.npz"}, folder=str(tmp_path)))
    asked = spec(data={"type": "npz", "path": "d.npz"}, folder=str(digits(tmp_path)), validation=40)
    with pytest.raises(UsageError, match=r"^validation: 40 examples do not split"):
        build(asked)


def test_a_loss_of_probabilities_wants_some() -> None:
    said = [{"loss": "cross_entropy", "on": "linear-2"}]
    with pytest.raises(GraphError, match=r"^losses\.0\.loss: it is of probabilities, and dense"):
        model_of(spec(losses=said))


def test_labels_are_as_many_as_classes(tmp_path: Path) -> None:
    known = {"data": {"type": "npz", "path": "d.npz"}, "folder": str(digits(tmp_path))}
    build(spec(**known, labels=["a", "b", "c"]))
    with pytest.raises(UsageError, match=r"^labels: 2 for the 3 classes of 'softmax-1'$"):
        build(spec(**known, labels=["a", "b"]))


def always(*_: object) -> bool:
    return True


DARK = [
    {"type": "input", "size": 4},
    {"type": "linear", "units": 5, "activation": "relu"},
    {"type": "linear", "units": 3},
    "softmax",
]


def test_the_gradient_check_finds_a_gradient_that_is_wrong(monkeypatch: Any) -> None:
    model = model_of(spec())
    rng = np.random.default_rng(0)
    batch = {"input-1": rng.normal(size=(4, 4)), "softmax-1:target": np.eye(3)[[0, 1, 2, 0]]}
    found = check(model, batch)
    assert {each.name for each in found} == model.network.parameters.keys()
    assert max(each.error for each in found) < 1e-6

    # Where all that comes in is zero, and every bias, a rectifier would be just at its kink.
    found = check(model_of(spec(network=DARK)), {**batch, "input-1": np.zeros((4, 4))})
    assert all(each.samples for each in found)

    monkeypatch.setattr(MeanSquaredError, "fuses", always)
    wrong = model_of(spec(losses=[{"loss": "mse", "on": "softmax-1"}]))
    assert max(each.error for each in check(wrong, batch)) > 1e-2


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_is_a_spec(file: Path) -> None:
    whole = document.replaced(document.read(file), lambda at: at.values[0])
    checked({"name": file.stem, **whole}, file.name)


def test_the_seeds_network_has_its_number_of_parameters() -> None:
    model = model_of(checked(document.read(EXAMPLES / "mnist.yaml"), "mnist.yaml"))
    assert str(nn.table(model)).endswith("Parameter count: 849,780")
