"""Descriptions of neon in YAML: into specs, and with weights into networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.importer import load
from cortex.importer.cli import main
from cortex.importer.neon.spec import spec_of
from cortex.importer.sniff import sniff
from cortex.importer.source import ModelSource
from cortex.runtime import repository
from cortex.runtime.errors import CortexError, UnreadableFile
from cortex.runtime.network import Network
from cortex.runtime.spec.cli import main as train
from cortex.runtime.spec.document import Range

from . import neon_reference
from .neon_files import layer, model, transform, write

RNG = np.random.default_rng(5)

SECOND = """\
backend: gpu
epochs: 10
batchsize: 64
start: &start {type: Gaussian, config: {loc: 0.0, scale: 0.01}}
zero: &zero {type: Constant, config: {val: 0}}
layers:
- type: Conv
  config:
    name: conv
    fshape: [3, 3, 4]
    padding: 1
    init: *start
    bias: *zero
    activation: {type: Rectlin}
- {type: Pooling, config: {fshape: 2, op: max}}
- type: Affine
  config:
    nout: 10
    init: *start
    batch_norm: True
    activation: {type: Explin, config: {alpha: 0.5}}
- {type: Dropout, config: {keep: 0.8}}
- type: Linear
  config: {nout: 10, init: {type: GlorotUniform}}
- {type: Activation, config: {transform: {type: Softmax}}}
cost: CrossEntropyMulti
optimizer:
  type: GradientDescentMomentum
  config:
    learning_rate: 0.1
    momentum_coef: 0.9
    wdecay: 5e-4
    gradient_clip_value: 5
    schedule: {type: Schedule, config: {step_config: [2, 4], change: 0.5}}
dataset: {name: mnist}
"""
NETWORK = [
    {"type": "input", "name": "input", "shape": [28, 28, 1]},
    {
        "type": "convolutional",
        "name": "conv",
        "kernel": 3,
        "filters": 4,
        "pad": 1,
        "bias": True,
        "initial": {
            "kernel": {"type": "normal", "deviation": 0.01, "mean": 0.0},
            "bias": {"type": "constant", "value": 0},
        },
    },
    {"type": "relu", "name": "conv_Rectlin"},
    {"type": "max_pooling", "name": "Pooling_0", "size": 2, "stride": 2},
    {
        "type": "linear",
        "name": "Linear_0",
        "units": 10,
        "bias": False,
        "initial": {"kernel": {"type": "normal", "deviation": 0.01, "mean": 0.0}},
    },
    {
        "type": "batch_normalization",
        "name": "Linear_0_bnorm",
        "keep_factor": 0.9,
        "epsilon": 1e-3,
    },
    {"type": "elu", "name": "Linear_0_Explin", "alpha": 0.5},
    {"type": "scale", "name": "Dropout_0.first", "factor": 0.8},
    {"type": "dropout", "name": "Dropout_0", "keep": 0.8},
    {
        "type": "linear",
        "name": "Linear_1",
        "units": 10,
        "bias": False,
        "initial": {"kernel": "glorot_uniform"},
    },
    {"type": "softmax", "name": "Activation_2"},
]

FLAT = """\
layers:
- {type: Conv, conv_name: c1, bias_name: b1, act_name: r1, fshape: [2, 2, 3], strides: 2,
   init: &w {type: Uniform, low: -0.1, high: 0.1}, bias: &b {type: Constant, val: 1},
   activation: Rectlin}
- {type: LRN, depth: 5, ascale: 0.00125, bpower: 0.75}
- {type: Affine, linear_name: fc, act_name: prob, bias_name: fcb, nout: 10, init: *w, bias: *b,
   activation: Logistic}
rule: &rule {type: RMSProp, learning_rate: 0.01}
optimizer:
  type: MultiOptimizer
  default: {type: Adam}
  Bias: *rule
  fc: *rule
  LRN: *rule
  Elsewhere: *rule
cost: CrossEntropyBinary
dataset: cifar10
"""

OLD = """\
# A first generation's experiment.
!obj:experiments.FitPredictErrorExperiment {
  dataset: &ds !obj:datasets.MNIST { repo_path: '~/data', },
  metrics: { test: [ !obj:metrics.MisclassPercentage {}, ], },
  inits: &wide !obj:params.UniformValGen { low: -0.1, high: 0.1, },
  inits: &normal !obj:params.GaussianValGen { scale: .01, bias_init: 0.5, },
  lrule: &gdm {
    type: gradient_descent_momentum,
    lr_params: {
      learning_rate: !hyperopt rate FLOAT 0.01 0.1,
      momentum_params: { type: constant, coef: 0.9, },
      backend_type: np.float32,
    },
  },
  model: !obj:neon.models.MLP {
    num_epochs: 5,
    batch_size: &bs 100,
    backend_type: !import numpy.float32,
    layers: [
      &data !obj:layers.DataLayer { name: d0, is_local: True, nofm: 1, ofmshape: [28, 28], },
      !obj:layers.ConvLayer {
        name: conv, lrule_init: *gdm, weight_init: *normal, nofm: 6, fshape: [5, 5],
        batch_norm: True, activation: !obj:transforms.RectLin {},
      },
      !obj:layers.PoolingLayer { name: pool, op: 'max', fshape: [2, 2], stride: 2, },
      !obj:layers.CrossMapResponseNormLayer { name: norm, ksize: 5, alpha: 0.001, beta: 0.75, },
      !obj:layers.FCLayer {
        name: fc, nout: 50, lrule_init: *gdm, weight_init: *wide,
        activation: !obj:transforms.RectLeaky { slope: 0.1 },
      },
      !obj:layers.DropOutLayer { name: drop, keep: 0.8, },
      &last !obj:layers.FCLayer {
        name: out, nout: 10, lrule_init: *gdm,
        weight_init: !obj:params.SparseEigenValGen { sparseness: 15 },
        activation: !obj:transforms.Softmax {},
      },
      !obj:layers.CostLayer { ref_layer: *data, cost: !obj:transforms.CrossEntropy {}, },
    ],
  },
}
"""

WORDS = """\
layers:
- {type: LookupTable, config: {vocab_size: 20, embedding_dim: 6, init: {type: Xavier}, pad_idx: 0}}
- type: GRU
  config: {output_size: 8, init: {type: Kaiming}, activation: {type: Tanh},
           init_inner: {type: Orthonormal, config: {scale: 1.1}},
           gate_activation: {type: Logistic}}
- type: BiLSTM
  config: {output_size: 4, init: {type: Xavier}, activation: {type: Tanh},
           gate_activation: {type: Logistic}, reset_cells: True}
- {type: RecurrentLast, config: {}}
- type: Affine
  config: {nout: 2, init: {type: Array, config: {val: 3}}, bias: {type: Constant},
           activation: {type: Softmax}}
cost: CrossEntropyMulti
optimizer: {type: Adagrad, config: {schedule: {type: ExpSchedule, config: {decay: 0.1}}}}
"""

BRANCHES = """\
layers:
- type: MergeSum
  config:
    layers:
    - [{type: Conv, config: {fshape: [3, 3, 3], padding: 1, activation: Tanh}}]
    - {type: SkipNode, config: {}}
- type: MergeBroadcast
  config:
    merge: depth
    layers:
    - [{type: Conv, config: {fshape: [1, 1, 2]}}]
    - [{type: Conv, config: {fshape: {R: 1, S: 1, K: 4}, strides: {str_h: 1}}}]
- {type: Deconv, config: {fshape: [2, 2, 3], strides: 2}}
- {type: Pooling, config: {fshape: all, op: avg}}
- {type: Linear, config: {nout: 4}}
cost: {type: SumSquared}
optimizer: {type: Adadelta, config: {}}
"""


def described(tmp_path: Path, text: str, **more: Any) -> dict[str, Any]:
    path = tmp_path / "net.yaml"
    path.write_text(text)
    return spec_of(ModelSource(path, **more))


def test_the_second_generation(tmp_path: Path) -> None:
    spec = described(tmp_path, SECOND)
    assert spec["network"] == NETWORK
    rate = {"type": "listed", "rate": 0.1, "epochs": [2, 4], "rates": [0.05, 0.025]}
    assert spec["optimizer"] == {
        "type": "sgd",
        "rate": rate,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "clip_value": 5,
    }
    assert spec["losses"] == [{"loss": {"type": "cross_entropy"}, "on": "Activation_2"}]
    assert (spec["epochs"], spec["batch_size"]) == (10, 64)
    assert spec["data"] == {"type": "mnist", "part": "train", "digits": True}
    assert "define" not in spec


def test_options_beside_the_type(tmp_path: Path) -> None:
    spec = described(tmp_path, FLAT)
    assert [each["name"] for each in spec["network"]] == [
        "input",
        "c1",
        "r1",
        "LRN_0",
        "fc",
        "prob",
    ]
    rule = {"type": "rmsprop", "rate": 0.01, "decay": 0.95, "epsilon": 1e-6}
    assert spec["optimizers"] == {"bias": rule, "fc": rule}
    assert spec["optimizer"]["type"] == "adam"
    assert spec["losses"][0]["weight"] == 10  # neon adds up over the outputs
    assert spec["define"] == {"notes": ["say under 'data' where cifar10 is"]}


def test_the_first_generation(tmp_path: Path) -> None:
    spec = described(tmp_path, OLD)
    kinds = [each["type"] for each in spec["network"]]
    assert kinds == [
        *("input", "convolutional", "batch_normalization", "relu", "max_pooling"),
        *("local_response_normalization", "linear", "relu", "scale", "dropout"),
        *("linear", "softmax"),
    ]
    assert spec["network"][1]["initial"]["bias"] == {"type": "constant", "value": 0.5}
    assert spec["network"][5] == {
        "type": "local_response_normalization",
        "name": "norm",
        "size": 5,
        "k": 1.0,
        "alpha": 0.0002,
        "beta": 0.75,
    }
    assert spec["network"][7]["slope"] == 0.1
    assert spec["losses"] == [{"loss": {"type": "cross_entropy"}, "on": "out_Softmax"}]
    assert spec["optimizer"]["rate"] == Range("rate", "FLOAT", (0.01, 0.1))
    assert spec["define"]["notes"] == [
        "the kernel of 'out' begins as usual, not by SparseEigenValGen"
    ]


def test_a_description_takes_no_memory(tmp_path: Path) -> None:
    spec = described(tmp_path, SIMPLE.replace("nout: 3", "nout: 1000000000000"))
    assert spec["network"][1]["units"] == 10**12


def test_series(tmp_path: Path) -> None:
    spec = described(tmp_path, WORDS, input_shapes={"": (12,)})
    _, table, gru, lstm, *_ = spec["network"]
    assert (table["type"], table["pad"], table["initial"]) == (
        "embedding",
        0,
        {"table": "xavier_uniform"},
    )
    assert gru["initial"] == {"kernel": "he", "recurrent_kernel": "orthogonal"}
    assert gru["stateful"] is True
    assert lstm["bidirectional"] == "concatenate"
    assert "stateful" not in lstm
    assert spec["optimizer"]["rate"] == {"type": "power", "rate": 0.01, "decay": 0.1}
    assert spec["define"]["notes"] == [
        "the recurrent_kernel of 'GRU_0' begins without the scale given",
        "the kernel of 'Linear_0' begins as usual, not by Array",
    ]


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("text", "shape"),
    [(SECOND, ""), (FLAT, ""), (OLD, ""), (WORDS, "12"), (BRANCHES, "3,4,4")],
)
def test_cortex_train_takes_the_spec(text: str, shape: str, tmp_path: Path) -> None:
    source, spec = tmp_path / "net.yaml", tmp_path / "spec.yaml"
    source.write_text(text)
    result = run(source, "--training-spec", spec, *(["--input-shape", shape] if shape else []))
    assert (result.exit_code, result.output) == (0, "")
    document = yaml.load(spec.read_text().replace("!hyperopt 'rate FLOAT 0.01 0.1'", "0.1"), Loader)
    document.pop("data", None)
    document.pop("validation", None)
    spec.write_text(yaml.safe_dump({**document, "batch_size": 4}))
    told = CliRunner().invoke(train, [str(spec), "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "Parameter count" in told.output


Loader = yaml.SafeLoader


def old_params(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's share of what neon 1.0 stored, with a state of its optimizer."""
    return {"params": {**weights, "name": "x"}, "states": [weights["W"] * 0]}


PLAIN = """\
layers:
- {type: Conv, config: {name: conv, fshape: [2, 2, 3], bias: {type: Constant}, activation: Tanh}}
- {type: Affine, config: {name: fc, nout: 4, batch_norm: True, activation: Logistic}}
- {type: Linear, config: {name: out, nout: 2}}
"""


def drawn(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def test_weights_one_after_the_other(tmp_path: Path) -> None:
    """Those of neon 1.0, of which a BatchNorm had four in a list."""
    text, weights = tmp_path / "net.yaml", tmp_path / "net.pkl"
    text.write_text(PLAIN)
    conv, bias, fc, out = drawn(8, 3), drawn(3, 1), drawn(4, 27), drawn(2, 4)
    norm = [drawn(4, 1), drawn(4, 1), drawn(4, 1), drawn(4, 1) ** 2]
    states = [old_params({"W": each}) for each in (conv, bias, fc)]
    states += [{"params": norm, "states": [[], []]}, {"params": out}]
    write(weights, {"layer_params_states": states, "epoch_index": 2})
    network = load(text, weights, input_shapes={"": (2, 4, 4)}).network
    names = ("beta", "gamma", "gmean", "gvar")
    layers = [
        layer("Convolution", "conv", fshape=(2, 2, 3), params={"W": conv}),
        layer("Bias", "conv_bias", params={"W": bias}),
        layer("Activation", "conv_Tanh", transform=transform("Tanh")),
        layer("Linear", "fc", nout=4, params={"W": fc}),
        layer("BatchNorm", "fc_bnorm", params=dict(zip(names, norm, strict=True))),
        layer("Activation", "fc_Logistic", transform=transform("Logistic")),
        layer("Linear", "out", nout=2, params={"W": out}),
    ]
    x = drawn(2, 4, 4, 3)
    wanted = neon_reference.run(layers, x)["out"]
    found = network.run({"input": neon_reference.shown(x)})["out"]
    np.testing.assert_allclose(found, wanted.T, atol=1e-5)


def test_weights_by_name(tmp_path: Path) -> None:
    """Those of neon 0.9, whose variance is corrected by the size of its batches."""
    text, weights = tmp_path / "net.yaml", tmp_path / "net.prm"
    text.write_text(OLD)
    stored: dict[str, Any] = {
        "conv_1": {
            "weights": drawn(25, 6),
            "biases": drawn(6, 1),
            "_gamma": drawn(6, 1),
            "_beta": drawn(6, 1),
            "_gmean": drawn(6, 1),
            "_gvars": drawn(6, 1) ** 2,
            "velocity": [drawn(25, 6)],
        },
        "fc_4": {"weights": drawn(50, 864)},
        "out_6": {"weights": drawn(10, 50)},
        "epochs_complete": 5,
    }
    network = load(text, write(weights, stored)).network
    conv = stored["conv_1"]
    count = 100 * 24 * 24
    params = {
        "beta": conv["_beta"],
        "gamma": conv["_gamma"],
        "gmean": conv["_gmean"],
        "gvar": conv["_gvars"] * (count / (count - 1)),
    }
    layers = [
        layer("Convolution", "conv", fshape=(5, 5, 6), params={"W": conv["weights"]}),
        layer("Bias", "b", params={"W": conv["biases"]}),
        layer("BatchNorm", "n", eps=1e-6, params=params),
        layer("Activation", "a", transform=transform("Rectlin")),
        layer("Pooling", "p", fshape=2),
        layer("LRN", "l", depth=5, ascale=1e-3, bpower=0.75),
        layer("Linear", "fc", nout=50, params={"W": stored["fc_4"]["weights"]}),
        layer("Activation", "r", transform=transform("Rectlin", slope=0.1)),
        layer("Dropout", "d", keep=0.8),
        layer("Linear", "out", nout=10, params={"W": stored["out_6"]["weights"]}),
        layer("Activation", "s", transform=transform("Softmax")),
    ]
    x = drawn(1, 28, 28, 2)
    wanted = neon_reference.run(layers, x)["s"]
    found = network.run({"input": neon_reference.shown(x)})["out_Softmax"]
    np.testing.assert_allclose(found, wanted.T, atol=1e-5)


def test_weights_with_layers_of_their_own(tmp_path: Path) -> None:
    text = tmp_path / "net.yaml"
    text.write_text(PLAIN)
    fc = layer("Linear", "fc", nout=2, params={"W": drawn(2, 3)})
    imported = load(text, write(tmp_path / "net.prm", model([fc], 3)))
    assert [*imported.network.graph.layers] == ["fc"]
    assert imported.reading.notes == ("the layers are those of net.prm, not of the YAML",)


def test_the_whole_way(tmp_path: Path) -> None:
    """A pickle is installed, runs, and is trained further by its own rule."""
    source, models, spec = tmp_path / "Digits.prm", tmp_path / "models", tmp_path / "spec.yaml"
    fc = layer("Linear", "fc", nout=4, params={"W": drawn(4, 3)})
    bias = layer("Bias", "fc_bias", params={"W": drawn(4, 1)})
    prob = layer("Activation", "prob", transform=transform("Softmax"))
    adam = {"type": "neon.optimizers.optimizer.Adam", "config": {"learning_rate": 0.01}}
    mapping = {"default": adam, "Linear": adam, "Bias": adam, "fc": adam, "Activation": adam}
    rule = {
        "type": "neon.optimizers.optimizer.MultiOptimizer",
        "config": {"optimizer_mapping": mapping},
    }
    cost = {"type": "neon.transforms.cost.CrossEntropyMulti", "config": {}}
    write(source, model([fc, bias, prob], 3, cost=cost, optimizer=rule))
    result = run(source, "--repository", models, "--training-spec", spec)
    assert result.exit_code == 0, result.output
    assert "consistent" in result.stdout
    (version,) = repository.versions(models)
    assert version.name == "digits"
    network = Network.load(version.path / repository.WEIGHTS)
    assert network.run({"input": drawn(2, 3)})["prob"].shape == (2, 4)
    document = yaml.safe_load(spec.read_text())
    assert document["network"] == {"load": str(models / "digits")}
    assert document["optimizers"].keys() == {"Linear", "bias", "fc"}
    told = CliRunner().invoke(train, [str(spec), "--dry-run"])
    assert told.exit_code == 0, told.output


USAGE: Mapping[str, tuple[tuple[str, ...], int, str]] = {
    "no weights": ((), 3, "--training-spec FILE.yaml"),
    "no install": (("--training-spec", "x.yaml", "--no-install"), 2, "drop --no-install"),
    "a shape of another": (("--input-shape", "other=3", "--training-spec", "x.yaml"), 2, "'input'"),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, code, why = USAGE[name]
    source: Path = tmp_path / "net.yaml"
    source.write_text(SECOND)
    if name == "no install":
        source = write(tmp_path / "net.prm", model([layer("SkipNode", "a")], 3))
    result = run(source, *arguments)
    assert result.exit_code == code
    assert why in result.stderr


def old(layer: str = "", **more: str) -> str:
    """An experiment whose model has a layer of data and this one."""
    kind = more.get("model", "models.MLP")
    data = "!obj:layers.DataLayer { nout: 3 }"
    return (
        f"!obj:experiments.FitExperiment {{ model: !obj:{kind} {{ layers: [{data}, {layer}] }} }}"
    )


def bomb(levels: int) -> str:
    lists = [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    return "\n".join(["a0: &a0 [x]", *lists, f"layers: [*a{levels - 1}]"])


def merged(levels: int) -> str:
    maps = [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, levels)]
    return "\n".join(["a0: &a0 {x: 1}", *maps, "layers: [{}]"])


SIMPLE = "layers: [{type: Linear, config: {nout: 3}}]\ndataset: mnist\n"
REFUSED: Mapping[str, tuple[str | Callable[[], str], str]] = {
    "a class of Python": ("layers: [!!python/object/apply:os.system [id]]", "could not determine"),
    "an object of another package": (
        "x: !obj:os.system {}\nlayers: []",
        r"line 1: !obj:os\.system",
    ),
    "an object of a module": (old("!obj:subprocess.Popen { args: id }"), r"!obj:subprocess\.Popen"),
    "an import": (old("!import os.system"), r"!import os\.system is no dtype"),
    "an object of a list": ("layers: !obj:layers.FCLayer [1]", "no object of neon"),
    "a bomb of lists": (lambda: bomb(60), "more than"),
    "a bomb of merges": (lambda: merged(60), "merge keys"),
    "within itself": ("layers: &a [*a]", "deep"),
    "nested": (lambda: "layers: " + "[" * 3000 + "]" * 3000, "deep|recursion"),
    "large": (lambda: "layers: [" + "1, " * 50_000 + "]", "no description"),
    "not YAML": ("layers: [{", "line 1"),
    "a list": ("- 1\nlayers: 3\n", "line 2"),
    "no layers": ("layers:\n", "not a list of layers"),
    "a layer that is a number": ("layers: [3]", "not a name"),
    "another type": ("layers: [{type: torch.Linear, config: {}}]", "not of neon"),
    "unknown layers": (
        "layers: [{type: Sketch}, {type: Blur}]\ndataset: mnist",
        "no such layers: Blur, Sketch",
    ),
    "an option": (SIMPLE.replace("nout: 3", "nout: 3, twist: 4"), "sets twist=4"),
    "a bias and a normalization": (
        "layers: [{type: Affine, config: {nout: 3, bias: Constant, batch_norm: True}}]",
        "cannot be combined",
    ),
    "no input": ("layers: [{type: Linear, config: {nout: 3}}]", "--input-shape"),
    "a cost": (SIMPLE + "cost: GANCost", "cost 'GANCost'"),
    "an optimizer": (SIMPLE + "optimizer: {type: Newton, config: {}}", "optimizer 'Newton'"),
    "an optimizer's option": (
        SIMPLE + "optimizer: {type: Adam, config: {twist: 1}}",
        "Adam: it sets twist=1",
    ),
    "a schedule": (
        SIMPLE + "optimizer: {type: Adam, config: {schedule: {type: ShiftSchedule, config: {}}}}",
        "schedule",
    ),
    "clipped parameters": (
        SIMPLE + "optimizer: {type: Adam, config: {param_clip_value: 3}}",
        "param_clip_value",
    ),
    "an old model": (old(model="models.RBM"), "model RBM is not supported"),
    "old layers": (
        old("!obj:layers.SliceLayer {}, !obj:layers.BranchLayer {}"),
        "no converter for the layers BranchLayer, SliceLayer",
    ),
    "an old option": (old("!obj:layers.FCLayer { nout: 3, twist: 4 }"), "sets twist=4"),
    "an old activation": (
        old("!obj:layers.FCLayer { nout: 3, activation: !obj:transforms.Sign {} }"),
        "activation .* is not supported",
    ),
    "an image for a recurrent layer": (
        "layers: [{type: LSTM, config: {output_size: 3}}]\ndataset: mnist",
        "needs a series",
    ),
    "a window": (
        "layers: [{type: Conv, config: {fshape: [3, 3]}}]\ndataset: mnist",
        "fshape .* is not supported",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_spec_is_refused(name: str, tmp_path: Path) -> None:
    text, why = REFUSED[name]
    path = tmp_path / "net.yaml"
    path.write_text(text if isinstance(text, str) else text())
    start = time.monotonic()
    with pytest.raises(CortexError, match=rf"net\.yaml.*({why})") as caught:
        spec_of(ModelSource(path))
    assert time.monotonic() - start < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({"layer_params_states": []}, "no weights for layer 'conv'"),
        ({"layer_params_states": 3}, "no list"),
        ({"layer_params_states": [3]}, "no mapping"),
        ({"layer_params_states": [{"params": drawn(1)}] * 9}, "for 4 layers more"),
        ({"epochs_complete": 3}, "'W' is missing"),
    ],
)
def test_weights_of_another_network(stored: Any, why: str, tmp_path: Path) -> None:
    text = tmp_path / "net.yaml"
    text.write_text(PLAIN)
    weights = write(tmp_path / "net.prm", stored)
    with pytest.raises(UnreadableFile, match=why):
        load(text, weights, input_shapes={"": (2, 4, 4)})
    with pytest.raises(UnreadableFile):
        load(weights)


def test_weights_that_are_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(PLAIN)
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UnreadableFile, match=r"net\.h5: no weights of neon: it is HDF5"):
        load(tmp_path / "net.yaml", tmp_path / "net.h5")


def test_weights_alone_ask_for_their_layers(tmp_path: Path) -> None:
    path = write(tmp_path / "net.prm", {"layer_params_states": []})
    with pytest.raises(UnreadableFile, match="it has weights, but no layers; give the YAML"):
        load(path)


@pytest.mark.parametrize("text", [SECOND, FLAT, OLD, WORDS, BRANCHES, PLAIN])
def test_a_description_is_known_by_its_content(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.txt"
    path.write_text("# written by hand\n" + text)
    assert sniff(path) == "neon"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    which=st.sampled_from([SECOND, OLD, WORDS, BRANCHES]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.sampled_from("[]{}:,-*&!1x \n'"))),
)
def test_a_damaged_description_is_read_or_refused(
    which: str, changes: list[tuple[float, str]], tmp_path: Path
) -> None:
    text, path = which, tmp_path / "net.yaml"
    for place, letter in changes:
        at = int(place * (len(text) - 1))
        text = text[:at] + letter + text[at + 1 :]
    path.write_text(text)
    try:
        spec_of(ModelSource(path, input_shapes={"": (3, 4, 4)}))
    except CortexError as error:
        assert "\n" not in str(error)  # noqa: PT017  another error fails the test
