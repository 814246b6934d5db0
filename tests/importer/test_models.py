"""Models wired in every way, as real Keras writes and computes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cortex.importer import load

from .model_cases import MODELS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model, written by real Keras in a process of its own."""
    made = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "tests.importer.model_cases", str(made)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return made


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("name", MODELS)
def test_imports_and_agrees(name: str, suffix: str, folder: Path) -> None:
    reference = folder / f"{name}.reference.h5"
    report = load(folder / f"{name}.{suffix}", reference=reference).report
    assert report.first_difference is None
    assert report.verified
    assert report.largest < 1e-5
