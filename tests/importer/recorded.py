"""Models with inputs and outputs that somebody else computed, as files in a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from cortex.importer import load


def written(module: str, folder: Path, python: str) -> Path:
    """The folder, after a module has written its cases into it."""
    root = Path(__file__).parents[2]
    command = [python, "-m", module, str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def check_agrees(model: Path) -> None:
    """Both engines compute what NAME.npz says: inputs x0, x1, …, outputs y0, y1, …."""
    arrays = np.load(model.with_suffix(".npz"))
    imported = load(model)
    assert imported.report.first_difference is None
    inputs = {name: arrays[name] for name in arrays if name.startswith("x")}
    outputs = imported.network.run(inputs).values()
    expected = [arrays[name] for name in arrays if name.startswith("y")]
    for found, wanted in zip(outputs, expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
