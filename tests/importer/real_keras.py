"""Asks real Keras what it computes of files that were written here."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime.network import Network

REAL = """
import os, sys
os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
os.environ["JAX_ENABLE_X64"] = "1" if sys.argv[1] == "float64" else "0"
import keras, numpy as np
keras.config.set_floatx(sys.argv[1])
for name in sys.argv[2:]:
    stored = np.load(f"{name}.npz")
    inputs = [stored[key] for key in stored.files if key.startswith("in")]
    outputs = [stored[key] for key in stored.files if key.startswith("out")]
    for ending in ("h5", "keras"):
        if not os.path.exists(f"{name}.{ending}"):
            continue
        try:
            model = keras.models.load_model(f"{name}.{ending}", compile=False)
            found = model(inputs, training=False)
        except Exception as error:
            print(f"{name}.{ending}", "nan", type(error).__name__, str(error)[:300].split())
            continue
        found = found if isinstance(found, (list, tuple)) else [found]
        worst = 0.0
        for wanted, value in zip(outputs, found, strict=True):
            value, wanted = (np.asarray(a).astype(np.float64) for a in (value, wanted))
            scale = max(np.abs(wanted).max(), 1e-6)
            far = np.abs(value - wanted).max() / scale if value.shape == wanted.shape else np.inf
            worst = max(worst, far)
        print(f"{name}.{ending}", worst)
        keras.backend.clear_session()
"""


def real_keras(folder: Path, names: list[str], dtype: str = "float64") -> dict[str, float]:
    """How far what real Keras computes is from what we do, relative to its scale, by file."""
    if not (find_spec("keras") and find_spec("jax")):
        pytest.skip("Keras and JAX are not installed")
    command = [sys.executable, "-W", "ignore", "-c", REAL, dtype, *names]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}


def keep(folder: Path, name: str, network: Network, inputs: dict[str, Any]) -> None:
    """The inputs, and what we compute of them, for real Keras to be held against."""
    outputs = network.run(inputs, dtype=np.float64).values()
    numbered = {f"in{i}": array for i, array in enumerate(inputs.values())}
    numbered |= {f"out{i}": array for i, array in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", **numbered)
