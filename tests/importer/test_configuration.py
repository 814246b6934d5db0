"""What an import writes into config.json: labels, and what pictures go through."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cortex.importer import architectures, load
from cortex.importer.cli import main
from cortex.importer.preprocessing import MODES, Mode, preprocessing_of, recognised
from cortex.runtime.repository import ModelConfig, ModelVersion, write_config
from cortex.serving.datatypes import DATATYPES
from cortex.serving.pictures import picture_reader

from .application_cases import MODULES
from .keras_files import dense_arrays, entry, functional, given, link, small_model, write
from .recorded import written
from .test_cli import weights_of

MODEL = "m"


def install(file: Path, root: Path, *arguments: Any) -> Result:
    """Imports a file as ``MODEL``."""
    given = [file, "--repository", root, "--name", MODEL, *arguments]
    return CliRunner().invoke(main, [str(each) for each in given])


def config(root: Path) -> ModelConfig:
    """What stands in its config.json."""
    return ModelVersion(MODEL, 1, root / MODEL / "1").config()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A network of two classes that takes small pictures."""
    network = functional(
        given("x", 4, 4, 3),
        entry("Flatten", "flat", link("x")),
        entry("Dense", "classes", link("flat"), units=2, use_bias=True),
    )
    return write(tmp_path / "photos.h5", network, {"classes": dense_arrays(48, 2)})


@pytest.fixture
def mobilenet(tmp_path: Path) -> Path:
    """The weights of a small MobileNet, of which nothing says what it is."""
    arrays = architectures.arrays("mobilenet_0.25_notop")
    rng = np.random.default_rng(0)
    made = {
        layer: {f"{n}:0": rng.uniform(0.1, 1, shape) for n, shape in enumerate(shapes)}
        for layer, shapes in arrays.items()
    }
    weights_of(tmp_path / "weights.h5", made)
    return tmp_path / "weights.h5"


@pytest.mark.parametrize("mode", MODES)
def test_the_command_line_says_what_pictures_go_through(
    photos: Path, tmp_path: Path, mode: Mode
) -> None:
    done = install(photos, tmp_path, "--preprocessing", mode)
    assert done.exit_code == 0, done.stderr
    assert f"config.json: preprocessing: --preprocessing {mode}\n" in done.stdout
    assert config(tmp_path).preprocessing == MODES[mode]


def test_an_architecture_says_it_by_default(mobilenet: Path, tmp_path: Path) -> None:
    done = install(mobilenet, tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "preprocessing: tf, as mobilenet_0.25_notop of keras.applications" in done.stdout
    how = config(tmp_path).preprocessing
    assert how == MODES["tf"].model_copy(update={"size": (224, 224)})


def test_a_network_of_ones_own_says_nothing(photos: Path, tmp_path: Path) -> None:
    done = install(photos, tmp_path)
    assert "config.json" not in done.stdout
    assert not (tmp_path / MODEL / "config.json").exists()


def test_what_stands_in_the_file_remains(photos: Path, tmp_path: Path) -> None:
    install(photos, tmp_path)
    write_config(tmp_path, MODEL, ModelConfig(max_queue=7, labels=("a", "b")))
    install(photos, tmp_path, "--preprocessing", "tf")
    assert config(tmp_path) == ModelConfig(
        max_queue=7, labels=("a", "b"), preprocessing=MODES["tf"]
    )


def test_a_default_changes_no_preprocessing_that_is_there(mobilenet: Path, tmp_path: Path) -> None:
    (tmp_path / MODEL).mkdir()
    write_config(tmp_path, MODEL, ModelConfig(preprocessing=MODES["torch"]))
    assert "config.json" not in install(mobilenet, tmp_path).stdout
    assert config(tmp_path).preprocessing == MODES["torch"]


def test_labels_and_preprocessing_go_together(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("cat\ndog\n")
    done = install(photos, tmp_path, "--labels", tmp_path / "labels", "--preprocessing", "none")
    assert "config.json: 2 labels\nconfig.json: preprocessing: --prep" in done.stdout
    written = json.loads((tmp_path / MODEL / "config.json").read_text())
    assert written == {"labels": ["cat", "dog"], "preprocessing": {}}


def test_a_model_without_pictures_has_no_preprocessing(tmp_path: Path) -> None:
    model = small_model(tmp_path / "small.h5")
    done = install(model, tmp_path / "models", "--preprocessing", "caffe")
    assert done.exit_code == 2
    assert "--preprocessing caffe: no input of the model is a picture of three" in done.stderr
    assert not (tmp_path / "models").exists()


def test_every_architecture_has_its_preprocessing() -> None:
    found = {name: preprocessing_of(name) for name in architectures.names()}
    assert found["vgg16_th_notop"] == ("caffe", 224)
    assert found["resnet50_old"] == ("caffe", 224)
    assert found["resnet152v2"] == ("tf", 224)
    assert found["resnet-rs-50"] == ("none", 224)
    assert found["xception"] == ("tf", 299)
    assert found["efficientnetb7_notop"] == ("none", 600)


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What real Keras wrote."""
    folder = tmp_path_factory.mktemp("applications")
    return written("tests.importer.application_cases", folder, sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_pictures_become_what_keras_makes_of_them(applications: Path, name: str) -> None:
    made = np.load(applications / "pictures.npz")
    file = io.BytesIO()
    Image.fromarray(made["pixels"]).save(file, "PNG")
    how = MODES[preprocessing_of(name)[0]]
    reader = picture_reader("x", (-1, 5, 7, 3), DATATYPES["FP32"], how)
    (found,) = reader.read([file.getvalue()], str)
    np.testing.assert_allclose(found, made[name], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("mobilenet", ("mobilenet_0.25", "tf")),
        ("rescales", ("mobilenet_v3_small_1.0_notop", "none")),
        ("rescales_no_more", None),
        ("normalizes", ("efficientnetb0_notop", "none")),
        ("normalizes_by_itself", ("efficientnetv2-b0_notop", "none")),
    ],
)
def test_networks_that_keras_writes_are_recognised(
    applications: Path, file: str, expected: tuple[str, str] | None
) -> None:
    found = recognised(load(applications / f"{file}.keras").network.graph)
    assert (found and found[:2]) == expected
