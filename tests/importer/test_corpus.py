"""Real files of the last decade: each imports, and every layer's stored output is reproduced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from cortex.importer import load
from cortex.importer.cli import main
from cortex.importer.imported import Imported
from cortex.importer.reference import read_reference
from cortex.runtime.errors import UnreadableFile, Unsupported
from cortex.runtime.report import Report

FULL = [
    "k1_dl4j_batchnorm_conv2d_tensorflow.h5",
    "k1_dl4j_bidirectional_lstm_theano.h5",
    "k1_dl4j_conv2d_reshape_theano.h5",
    "k1_dl4j_embedding_conv1d_flatten_tensorflow.h5",
    "k1_dl4j_lstm_timedistributeddense_1.1.0.h5",
    "k1_dl4j_simple_lstm_tf.h5",
    "k1_dl4j_simple_rnn_theano.h5",
    "k1_rocalphago_value_1.2.0.hdf5",
    "k2_chemvae_zinc_prop_pred.h5",
    "k2_dl4j_batchnorm_conv2d_theano.h5",
    "k2_dl4j_bidirectional_lstm_theano.h5",
    "k2_dl4j_cnn1d_flatten.h5",
    "k2_dl4j_dcgan_discriminator.h5",
    "k2_dl4j_elephas_sequential.h5",
    "k2_dl4j_embedding_lstm.h5",
    "k2_dl4j_functional_lstm.h5",
    "k2_dl4j_masking_zero_lstm.h5",
    "k2_dl4j_simple_flatten_lstm.h5",
    "k2_dl4j_simple_rnn.h5",
    "k2_dl4j_wgan_discriminator.h5",
    "k2_fdeep_bidir_lstm.h5",
    "k2_fdeep_stateful_gru.h5",
    "k2_fer2013_mini_XCEPTION.102-0.66.hdf5",
    "k2_gender_mini_XCEPTION.21-0.95.hdf5",
    "k2_hls4ml_gru_2.1.3.h5",
    "k3_sonar_lstm.keras",
    "k3_sonar_transformer_mha.keras",
    "tf2_hls4ml_conv2d_hard_sigmoid.h5",
    "tf2_hls4ml_mlp_streaming.keras",
    "tf2_hls4ml_prelu.h5",
    "tf2_mlperf_resnet8_cifar10.h5",
    "tf2_mlperf_streaming_wakeword_dscnn.h5",
    "tf2_mlperf_toycar_autoencoder.hdf5",
]
WEIGHTS_AND_JSON = [
    "k1_dl4j_imdb_fasttext_tf.h5",
    "k1_dl4j_mnist_cnn_tf.h5",
    "k1_dl4j_mnist_mlp_tf.h5",
    "k1_keras2cpp_mnist_cnn_th_a.h5",
    "k2_dl4j_12net_prelu_multiout.h5",
    "k2_dl4j_lstm_stack_theano.h5",
    "k2_dl4j_mnist_mlp_th.h5",
]


def loaded(corpus: Any, name: str, **options: Any) -> Imported:
    """A corpus file; one of weights with the architecture that lies beside it."""
    path: Path = corpus(name)
    if name not in WEIGHTS_AND_JSON:
        return load(path, **options)
    return load(corpus(f"{path.stem}.config.json"), path, **options)


def test_every_model_of_the_corpus_that_has_a_reference_is_tried(corpus: Any) -> None:
    entries: list[dict[str, Any]] = json.loads(corpus("MANIFEST.json").read_text())
    keras = [e["file"] for e in entries if e.get("reference") and e["kind"] != "cortex-nippy"]
    assert sorted([*FULL, *WEIGHTS_AND_JSON]) == sorted(keras)


@pytest.mark.parametrize("name", [*FULL, *WEIGHTS_AND_JSON])
def test_every_recorded_layer_is_reproduced(name: str, corpus: Any) -> None:
    report = loaded(corpus, name).report
    assert report.first_difference is None
    assert report.evidence == "recorded"
    assert report.warnings == ()
    assert report.verified
    assert all(layer.ok for layer in (*report.layers, *report.outputs))
    recorded = read_reference(corpus(f"{Path(name).stem}.reference.h5")).layers
    assert {layer.name for layer in report.layers if layer.outside} == recorded.keys()
    assert report.largest < 1e-5


def test_states_live_on_to_the_second_call(corpus: Any) -> None:
    report = loaded(corpus, "k2_fdeep_stateful_gru.h5").report
    second = {output.name: output for output in report.outputs}["gru_1 (second call)"]
    assert second.outside
    assert second.ok


ACCURACY = {
    "k1_dl4j_mnist_cnn_tf.h5": (0.987, 0.824),
    "k1_dl4j_mnist_mlp_tf.h5": (0.999, None),
    "k1_keras2cpp_mnist_cnn_th_a.h5": (0.506, 0.258),
    "k2_dl4j_mnist_mlp_th.h5": (0.967, None),
}
"""Of 1000 real digits: read right, and with the kernels turned the other way round."""


@pytest.mark.parametrize("name", ACCURACY)
def test_real_digits_are_recognised(name: str, corpus: Any) -> None:
    assert accuracy(loaded(corpus, name), corpus) == pytest.approx(ACCURACY[name][0], abs=1e-9)


@pytest.mark.parametrize("name", [name for name, (_, wrong) in ACCURACY.items() if wrong])
def test_real_digits_tell_a_wrong_backend(name: str, corpus: Any) -> None:
    other = "tensorflow" if "_th_" in name else "theano"
    found = accuracy(loaded(corpus, name, keras1_backend=other), corpus)
    assert found == pytest.approx(ACCURACY[name][1], abs=1e-9)


def accuracy(imported: Imported, corpus: Any) -> float:
    """The share of the digits that come out right."""
    with (
        h5py.File(corpus("data_mnist1000_x.h5")) as x,
        h5py.File(corpus("data_mnist1000_y.h5")) as y,
    ):
        images, classes = np.asarray(x["data"]), np.asarray(y["data"]).argmax(1)
    (name, tensor), *_ = imported.network.graph.inputs.items()
    shape = [n if isinstance(n, int) else len(images) for n in tensor.shape]
    (scores,) = imported.network.run({name: images.reshape(shape)}).values()
    return float((scores.argmax(1) == classes).mean())


def test_the_reference_decides_where_the_file_cannot_say(corpus: Any, tmp_path: Path) -> None:
    import shutil

    name = "k1_dl4j_conv2d_reshape_theano"
    path = tmp_path / f"{name}.h5"
    shutil.copy(corpus(f"{name}.h5"), path)
    path.chmod(0o600)
    with h5py.File(path, "r+") as file:  # names that no backend gave
        weights: Any = file["model_weights"]
        for layer in weights.attrs["layer_names"]:
            group = weights[layer]
            group.attrs["weight_names"] = [f"param_{i}" for i in range(len(group))]
            for i, old in enumerate(sorted(group, key=lambda n: not n.endswith("W"))):
                group.move(old, f"param_{i}")
    flipped, plain = (corpus(f"{name}.reference{kind}.h5") for kind in ("", "-noflip"))
    for reference, backend in ((flipped, "theano"), (plain, "tensorflow")):
        report = load(path, reference=reference).report
        assert report.verified
        assert any(backend in note for note in report.notes)


def test_what_cannot_be_read_is_refused_by_name(corpus: Any) -> None:
    with pytest.raises(Unsupported, match=r"Lambda \('lambda_.'\).*--substitute"):
        load(corpus("k2_dl4j_sequential_lambda.h5"))
    for name in ("k1_keon_cartpole.h5", "k2_textgenrnn_attention.hdf5"):
        with pytest.raises(UnreadableFile, match="holds weights only"):
            load(corpus(name))


def test_float32_plans_compute_the_same(corpus: Any) -> None:
    imported = load(corpus("tf2_mlperf_resnet8_cifar10.h5"))
    image = np.random.default_rng(0).uniform(-1, 1, (5, 32, 32, 3)).astype(np.float32)
    single, exact = (
        imported.network.run({"input_1": image}, ["dense", "add_2"], dtype)
        for dtype in (np.float32, np.float64)
    )
    for name, value in single.items():
        scale = abs(exact[name]).max()
        np.testing.assert_allclose(value, exact[name], rtol=1e-4, atol=1e-5 * scale)


def test_a_file_changed_by_one_weight_is_caught(corpus: Any, tmp_path: Any) -> None:
    import shutil

    name = "k2_chemvae_zinc_prop_pred"
    broken = tmp_path / f"{name}.h5"
    shutil.copy(corpus(f"{name}.h5"), broken)
    with h5py.File(broken, "r+") as file:
        file["model_weights/dense_1/dense_1/kernel:0"][3, 4] += 0.05  # pyright: ignore
    reference = corpus(f"{name}.reference.h5")
    arguments = [str(broken), "--reference", str(reference), "--json"]
    result = CliRunner().invoke(main, [*arguments, "--repository", str(tmp_path / "models")])
    assert result.exit_code == 1
    report = Report.model_validate_json(result.stdout)
    assert not report.verified
    assert report.first_difference
    assert report.first_difference.layer == "dense_1"
    assert report.path is None
    assert "layer 'dense_1' is the first that differs" in result.stderr
    assert list((tmp_path / "models").iterdir()) == []
