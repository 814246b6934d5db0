"""Each layer and option as real Keras writes and computes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cortex.importer import load

from .keras_cases import CASES, WORDS, file_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case, written by real Keras in a process of its own."""
    made = tmp_path_factory.mktemp("keras")
    command = [sys.executable, "-m", "tests.importer.keras_cases", str(made)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return made


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("case", [*CASES, WORDS])
def test_imports_and_agrees(case: str, suffix: str, folder: Path) -> None:
    report = load(folder / f"{file_name(case)}{suffix}").report
    assert report.first_difference is None
    assert report.verified
    assert report.largest < 1e-5
