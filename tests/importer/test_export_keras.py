"""Networks as models of Keras: our own reader finds in them what was written."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cortex.runtime.ops as ops
from cortex.importer import load
from cortex.importer.export.exported import export_to
from cortex.importer.export.keras import containers
from cortex.importer.export.keras.containers import write_archive, write_hdf5
from cortex.importer.export.keras.model import Arguments, KerasLayer, Output
from cortex.importer.export.keras.node import form
from cortex.importer.export.keras.order import in_order
from cortex.importer.export.keras.writer import has_form, keras_model
from cortex.importer.export.model import Source
from cortex.importer.imported import Imported
from cortex.importer.keras.containers.hdf5 import Group
from cortex.importer.sample import sample_inputs
from cortex.runtime.errors import Unsupported
from cortex.runtime.ir import Graph, Layer, Node
from cortex.runtime.network import Network
from cortex.runtime.tensor import Tensor

from ..runtime.random_graphs import random_case
from .exported_cases import KINDS, inputs_of, of_examples, refused, sizes_of, written
from .real_keras import keep, real_keras
from .test_corpus import FULL, WEIGHTS_AND_JSON, loaded

WRITERS = {".h5": write_hdf5, ".keras": write_archive}
X = Tensor(("N", 4))

NO_FORM = {
    "constant", "count_words", "gather", "gaussian_blur", "gibbs_sampling", "leading", "literal",
    "locally_connected", "lookup", "lookup_text", "lower", "remove_characters", "roi_pooling",
    "split_batch", "split_text", "text_of", "token_counts",
}  # fmt: skip
"""Kinds that are refused, that stand for constants, or whose examples have no batch."""


def same(ours: Network, theirs: Network, inputs: dict[str, Any], bar: float = 1e-6) -> None:
    """Both compute the same; names may differ, the order may not."""
    wanted = ours.run(inputs, dtype=np.float64).values()
    given = dict(zip(theirs.graph.inputs, inputs.values(), strict=True))
    found = theirs.run(given, dtype=np.float64).values()
    for expected, value in zip(wanted, found, strict=True):
        assert expected.shape == value.shape
        scale = max(np.abs(expected.astype(np.float64)).max(), 1e-6)
        assert np.abs(expected.astype(np.float64) - value).max() <= bar * scale


def read_again(network: Network, path: Path) -> Network:
    """What our own reader finds in the network as it is written."""
    WRITERS[path.suffix](path, keras_model(network, "net").model)
    return load(path).network


def test_what_has_no_form_is_known() -> None:
    """An operation that is new has a form, or is named here."""
    assert set(refused()) == NO_FORM


@pytest.mark.parametrize("kind", sorted({*KINDS} - NO_FORM))
def test_every_operation_is_read_again_as_it_was(kind: str, tmp_path: Path) -> None:
    network = written(kind)
    assert network
    again = read_again(network, tmp_path / ("m.h5" if len(kind) % 2 else "m.keras"))
    same(network, again, inputs_of(network))


def chain(*nodes: Node, inputs: dict[str, Tensor] | None = None, **more: Any) -> Network:
    """A network whose output is its last node's, with weights."""
    outputs = more.pop("outputs", {"y": nodes[-1].name})
    graph = Graph(inputs or {"x": X}, nodes, outputs, **more)
    rng = np.random.default_rng(2)
    drawn = {name: rng.normal(size=sizes_of(spec)) for name, spec in graph.parameters.items()}
    return Network(graph, {name: array.astype(np.float32) for name, array in drawn.items()})


def dense(name: str, given: str, owner: str = "", layer: str = "") -> Node:
    params = {local: f"{owner or name}/{local}" for local in ("kernel", "bias")}
    return Node(name, ops.Dense(4), (given,), params, layer)


@pytest.mark.parametrize("ending", WRITERS)
def test_a_shared_layer_is_one_layer(ending: str, tmp_path: Path) -> None:
    network = chain(
        dense("one", "x", "shared"), Node("sum", ops.Add(), ("one", "x")),
        dense("two", "sum", "shared"), dense("own", "two"),
        Node("end", ops.Concatenate(), ("own", "two", "one")),
    )  # fmt: skip
    again = read_again(network, tmp_path / f"m{ending}")
    same(network, again, inputs_of(network))
    assert len(again.graph.parameters) == 4


def test_many_layers_are_listed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MOST_NAMES", 2)
    network = chain(*(dense(f"d{i}", f"d{i - 1}" if i else "x") for i in range(5)))
    same(network, read_again(network, tmp_path / "m.h5"), inputs_of(network))
    with h5py.File(tmp_path / "m.h5") as file:
        pieces = [f"layer_names{i}" for i in range(3)]
        assert set(pieces) <= set(file["model_weights"].attrs)


def test_arrays_that_other_operations_share_are_told(tmp_path: Path) -> None:
    shared = {"kernel": "a/kernel", "bias": "a/bias"}
    network = chain(
        dense("a", "x"), Node("b", ops.EinsumDense("ab,bc->ac", (4, 4), (4,)), ("a",), shared)
    )
    assert any("shared" in note and "a/kernel" in note for note in keras_model(network, "m").notes)
    same(network, read_again(network, tmp_path / "m.h5"), inputs_of(network))


def test_layers_keep_their_names(tmp_path: Path) -> None:
    network = chain(
        dense("n1", "x", layer="block/a"), Node("n2", ops.Relu(), ("n1",), {}, "block/a"),
        dense("n3", "n2", layer="last one"),
        layers={"block/a": Layer("n2", "Dense"), "last one": Layer("n3", "Dense")},
    )  # fmt: skip
    again = read_again(network, tmp_path / "m.keras")
    assert {"block_a", "last_one"} <= set(again.graph.layers)
    assert list(again.graph.outputs) == ["last_one"]


def test_what_leads_nowhere_is_left_out_but_inputs_stay(tmp_path: Path) -> None:
    inputs = {"unused": Tensor(("N", 3)), "x": X}
    network = chain(dense("lost", "x"), dense("kept", "x"), inputs=inputs)
    again = read_again(network, tmp_path / "m.h5")
    assert list(again.graph.inputs) == ["unused", "x"]
    same(network, again, inputs_of(network))


def test_what_depends_on_no_input_is_a_constant(tmp_path: Path) -> None:
    network = chain(
        Node("ids", ops.Literal((0, 2), (2,)), ()),
        Node("table", ops.Embedding(3, 4), ("ids",), {"table": "table"}, "positions"),
        Node("plain", ops.Constant((4,)), (), {"value": "shift"}),
        Node("sum", ops.Add(), ("x", "table", "plain")),
        inputs={"x": Tensor(("N", 2, 4))},
    )
    found = keras_model(network, "m")
    assert found.notes == ("weights that are constants now: positions, plain",)
    same(network, read_again(network, tmp_path / "m.h5"), inputs_of(network))


def test_states_become_inputs_and_outputs(tmp_path: Path) -> None:
    params = {name: f"rnn/{name}" for name in ("kernel", "recurrent_kernel", "bias")}
    network = chain(
        Node("rnn", ops.GRU(2), ("x", "", "h"), params),
        inputs={"x": Tensor(("N", "T", 3)), "h": Tensor(("N", 2))},
        outputs={"y": "rnn", "next": "rnn:1"},
        states={"h": "next"},
    )
    notes = keras_model(network, "m").notes
    assert notes == ("states that whoever runs the model hands on: from next to h",)
    same(network, read_again(network, tmp_path / "m.keras"), inputs_of(network))


REFUSED = {
    "no form": (chain(Node("blur", ops.GaussianBlur(), ("x",), {}, "soft"),
                      Node("roi", ops.Relu(), ("blur",)),
                      inputs={"x": Tensor(("N", 9, 9, 2))}), "gaussian_blur .layer 'soft'"),
    "two at once": (chain(Node("a", ops.GaussianBlur(), ("x",), {}, "one"),
                          Node("b", ops.GaussianBlur(), ("a",), {}, "two"),
                          inputs={"x": Tensor(("N", 9, 9, 2))}), "'one'.*'two'"),
    "an option": (chain(Node("a", ops.MaxPooling((2,), dilation=(2,)), ("x",), {}, "one"),
                        Node("b", ops.Resample((9,), method="area"), ("a",), {}, "two"),
                        inputs={"x": Tensor(("N", 9, 2))}), "'one'.*holes.*'two'.*'area'"),
    "an output that is constant": (chain(Node("c", ops.Constant((4,)), (), {"value": "v"})),
                                   "output 'y'"),
    "a large constant": (chain(Node("c", ops.Constant((300, 300)), (), {"value": "v"}, "big"),
                               Node("e", ops.Add(), ("x", "c")),
                               inputs={"x": Tensor(("N", 300, 300))}), "'big'.*90,000"),
    "strings": (chain(Node("same", ops.Reshape((2, 1)), ("x",)),
                      inputs={"x": Tensor(("N", 2), "string")}), "input 'x'.*strings"),
}  # fmt: skip


@pytest.mark.parametrize(("network", "words"), REFUSED.values(), ids=REFUSED)
def test_what_keras_has_not_is_refused_by_name(network: Network, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        keras_model(network, "m")


def test_an_option_that_no_form_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is added to an operation later."""

    def forgetful(node: Any, op: Any, x: Output) -> Output:
        return node.layer("ELU", x)

    monkeypatch.setitem(form, ops.Elu, forgetful)
    keras_model(chain(Node("e", ops.Elu(), ("x",))), "m")
    with pytest.raises(Unsupported, match=r"node 'e' .*: Keras has nothing like its alpha 0\.5"):
        keras_model(chain(Node("e", ops.Elu(0.5), ("x",))), "m")


def test_an_archive_is_what_keras_saves(tmp_path: Path) -> None:
    network = of_examples([(ops.Dropout(0.5), [X]), (ops.LSTM(2), [Tensor(("N", 3, 2))])])
    path = tmp_path / "m.keras"
    write_archive(path, keras_model(network, "net").model)
    assert path.read_bytes() == _archived(network, tmp_path / "again.keras")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        config = json.loads(archive.read("config.json"))["config"]
        archive.extract("model.weights.h5", tmp_path)
    assert [layer["class_name"] for layer in config["layers"]].count("InputLayer") == 2
    with h5py.File(tmp_path / "model.weights.h5") as file:
        names = list(Group(path, file).datasets())
    lstm = [f"layers/lstm/cell/vars/{i}" for i in range(3)]
    assert sorted(names) == ["layers/dropout/seed_generator/vars/0", *lstm]


def _archived(network: Network, path: Path) -> bytes:
    write_archive(path, keras_model(network, "net").model)
    return path.read_bytes()


def test_layers_are_counted_as_keras_counts_them() -> None:
    """By depth, not as they were written: the one that is nearer to the output comes later."""

    def layer(name: str, *given: Output) -> Output:
        found = KerasLayer("Dense", "keras.layers", name, {})
        if given:
            found.calls.append(Arguments(list(given), {}))
        return Output(found)

    x, z = layer("x"), layer("z")
    near, far = layer("near", x), layer("far", x)
    end = layer("end", near, layer("between", far))
    order = in_order([x, z], [end])
    assert [at.name for at in order] == ["x", "far", "near", "between", "z", "end"]


CORPUS = ["k1_dl4j_bidirectional_lstm_theano.h5", "k1_rocalphago_value_1.2.0.hdf5",
          "k2_dl4j_12net_prelu_multiout.h5", "k2_fdeep_bidir_lstm.h5", "k2_fdeep_stateful_gru.h5",
          "k3_sonar_transformer_mha.keras"]  # fmt: skip
"""Of the corpus, those with the most in them; the others go the same way when there is time."""


@pytest.mark.parametrize("name", CORPUS)
def test_files_of_the_corpus_go_there_and_back(name: str, corpus: Any, tmp_path: Path) -> None:
    there_and_back(loaded(corpus, name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*FULL, *WEIGHTS_AND_JSON} - set(CORPUS)))
def test_all_of_the_corpus_goes_there_and_back(name: str, corpus: Any, tmp_path: Path) -> None:
    there_and_back(loaded(corpus, name), tmp_path)


def there_and_back(imported: Imported, folder: Path) -> None:
    source = Source(imported.path, "net", imported.network)
    for ending in WRITERS:
        report = export_to(source, folder / f"net{ending}", "keras")
        assert report.largest < 1e-6


REAL_CORPUS = [
    "k1_dl4j_batchnorm_conv2d_tensorflow.h5",
    "k1_dl4j_bidirectional_lstm_theano.h5",
    "k1_dl4j_embedding_conv1d_flatten_tensorflow.h5",
    "k1_dl4j_mnist_cnn_tf.h5",
    "k1_rocalphago_value_1.2.0.hdf5",
    "k2_dl4j_12net_prelu_multiout.h5",
    "k2_dl4j_dcgan_discriminator.h5",
    "k2_dl4j_masking_zero_lstm.h5",
    "k2_fdeep_bidir_lstm.h5",
    "k2_fdeep_stateful_gru.h5",
    "k2_gender_mini_XCEPTION.21-0.95.hdf5",
    "k3_sonar_transformer_mha.keras",
    "tf2_hls4ml_conv2d_hard_sigmoid.h5",
    "tf2_mlperf_resnet8_cifar10.h5",
]


@pytest.mark.slow
def test_real_keras_computes_the_same_of_the_corpus(corpus: Any, tmp_path: Path) -> None:
    names: list[str] = []
    for number, file in enumerate(REAL_CORPUS):
        imported, name = loaded(corpus, file), f"m{number}"
        source = Source(imported.path, name, imported.network)
        for ending in WRITERS:
            export_to(source, tmp_path / f"{name}{ending}", "keras")
        keep(tmp_path, name, imported.network, sample_inputs(imported.network.graph))
        names.append(name)
    found = real_keras(tmp_path, names)
    assert len(found) == 2 * len(REAL_CORPUS)
    assert {file: far for file, far in found.items() if not far <= 1e-6} == {}


def drawn(seed: int) -> Network:
    """A random network, with shared layers, views of views, and outputs at several depths."""
    graph = random_case(seed).graph
    rng = np.random.default_rng(seed)
    arrays = {name: rng.uniform(0.2, 1, sizes_of(at)) for name, at in graph.parameters.items()}
    return Network(graph, {name: array.astype(np.float32) for name, array in arrays.items()})


SEEDS = [seed for seed in range(48) if all(has_form(n.op) for n in random_case(seed).graph.nodes)]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_are_read_again_as_they_were(seed: int, tmp_path: Path) -> None:
    network = drawn(seed)
    again = read_again(network, tmp_path / ("m.h5" if seed % 2 else "m.keras"))
    same(network, again, inputs_of(network))


@pytest.mark.slow
def test_real_keras_computes_the_same_of_random_networks(tmp_path: Path) -> None:
    """It counts layers in an order of its own."""
    for seed in SEEDS:
        network = drawn(seed)
        for ending, write in WRITERS.items():
            write(tmp_path / f"n{seed}{ending}", keras_model(network, "net").model)
        keep(tmp_path, f"n{seed}", network, inputs_of(network))
    found = real_keras(tmp_path, [f"n{seed}" for seed in SEEDS])
    assert len(found) == 2 * len(SEEDS)
    assert {file: far for file, far in found.items() if not far <= 1e-6} == {}


@pytest.mark.slow
def test_real_keras_computes_the_same_of_every_operation(tmp_path: Path) -> None:
    names: list[str] = []
    for kind in sorted({*KINDS} - NO_FORM):
        network = written(kind, 6)
        assert network
        write_hdf5(tmp_path / f"{kind}.h5", keras_model(network, "net").model)
        keep(tmp_path, kind, network, inputs_of(network))
        names.append(kind)
    # In single precision: in double Keras forgets to convert the first states of a SimpleRNN.
    found = real_keras(tmp_path, names, "float32")
    assert len(found) == len(names)
    assert {file: far for file, far in found.items() if not far <= 5e-6} == {}
