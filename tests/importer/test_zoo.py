"""Five architectures of Keras that have most kinds of layers between them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIVE = ("MobileNet", "MobileNetV2", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", FIVE)
def test_an_architecture_of_keras_is_verified(name: str) -> None:
    command = [sys.executable, "benchmarks/zoo.py", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line for line in done.stdout.splitlines() if name in line]
    assert len(rows) == 2, done.stderr[-1000:]
    assert all("| verified" in row for row in rows), rows
