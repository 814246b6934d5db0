"""Real files of the last decade: each imports, and every layer's stored output is reproduced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cortex.importer import load
from cortex.importer.cli import main
from cortex.importer.report import Report

REAL = [
    "k2_chemvae_zinc_prop_pred.h5",
    "k2_dl4j_cnn1d_flatten.h5",
    "k2_dl4j_dcgan_discriminator.h5",
    "k2_dl4j_wgan_discriminator.h5",
    "k2_fer2013_mini_XCEPTION.102-0.66.hdf5",
    "k2_gender_mini_XCEPTION.21-0.95.hdf5",
    "tf2_hls4ml_prelu.h5",
    "tf2_mlperf_resnet8_cifar10.h5",
    "tf2_mlperf_streaming_wakeword_dscnn.h5",
    "tf2_mlperf_toycar_autoencoder.hdf5",
]


@pytest.mark.parametrize("name", REAL)
def test_every_recorded_layer_is_reproduced(name: str, corpus: Any) -> None:
    report = load(corpus(name)).report
    assert report.evidence == "recorded"
    assert report.verified
    assert report.warnings == ()
    assert all(layer.ok for layer in (*report.layers, *report.outputs))
    assert report.largest < 1e-5


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

    import h5py

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
