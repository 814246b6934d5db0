"""Imports in half precision: half the size, proved at a tolerance of their own, and said so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cortex.importer.cli import main
from cortex.runtime.check import difference
from cortex.runtime.repository import versions
from cortex.runtime.weights import WeightsFile
from cortex.serving.engine.replay import replay
from cortex.serving.model import OpenModel

from .keras_files import dense_arrays, entry, functional, given, link, small_model, write

DIGITS = Path(__file__).parents[2] / "examples" / "digits.h5"
HALF = ("--precision", "float16")


def test_weights_are_stored_in_half_and_proved_at_their_tolerance(tmp_path: Path) -> None:
    root = tmp_path / "models"
    done = CliRunner().invoke(main, [str(DIGITS), "--repository", str(root), *HALF])
    assert done.exit_code == 0, done.stderr
    assert "note: stored and served in float16, as --precision says" in done.stdout
    (version,) = versions(root)
    stored = WeightsFile.open(version.path / "weights.safetensors").stored
    assert {at.dtype for at in stored.values()} == {"float16"}
    report = json.loads((version.path / "report.json").read_text())
    assert report["verified"]
    check = version.check()
    assert check is not None
    assert check.tolerance == 0.01
    opened = OpenModel.open(version)  # which replays the check
    assert {spec.datatype.name for spec in (*opened.program.inputs, *opened.program.outputs)} == {
        "FP32"
    }
    names = list(check.layers)
    layers = opened.select(names)
    found = layers.run(check.inputs, [spec.name for spec in layers.outputs])
    for name, array in zip(names, found, strict=True):
        assert array.dtype == np.float32
        assert check.layers[name].difference(array).relative < 0.01
    replay(check, opened.program, opened.select)


@pytest.mark.parametrize("largest", [7e4, -1e30])
def test_a_weight_beyond_half_precision_is_named(tmp_path: Path, largest: float) -> None:
    arrays = dense_arrays(4, 3)
    arrays["kernel:0"][1, 1] = largest
    network = functional(given(), entry("Dense", "d", link("x"), units=3, use_bias=True))
    file = write(tmp_path / "large.h5", network, {"d": arrays})
    done = CliRunner().invoke(main, [str(file), "--repository", str(tmp_path / "models"), *HALF])
    assert done.exit_code == 3
    assert "array 'd/kernel' holds numbers beyond 65504, where float16 ends: leave" in done.stderr
    assert not list((tmp_path / "models").iterdir())


def test_single_precision_is_the_default(tmp_path: Path) -> None:
    file = small_model(tmp_path / "small.h5")
    for name, options in (("single", ()), ("half", HALF)):
        arguments = [str(file), "--repository", str(tmp_path), "--name", name, *options]
        assert CliRunner().invoke(main, arguments).exit_code == 0
    half, single = (at.path / "weights.safetensors" for at in versions(tmp_path))
    for name, array in WeightsFile.open(single).arrays().items():
        assert array.dtype == np.float32
        found = WeightsFile.open(half).arrays()[name]
        assert 0 < difference(found, array).relative < 1e-3
