"""Files as Keras 3.3 to 3.15 and tf_keras 2.21 wrote them, and what they computed.

``recent_keras.npz`` has for each model the bytes of its file, inputs, and the output that the Keras
which wrote it computed of them, on the backend that its name says. They are models of which some
version of Keras since then computes something else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.imported import Proof, read_model
from cortex.importer.source import ModelSource
from cortex.runtime.errors import Unsupported

with np.load(Path(__file__).with_name("recent_keras.npz")) as stored:
    ARRAYS = dict(stored)
CASES = sorted({name.split("|")[0] for name in ARRAYS})


def write(case: str, folder: Path) -> Path:
    """The model's file, with its inputs beside it."""
    path = folder / f"model{Path(case).suffix}"
    path.write_bytes(ARRAYS[f"{case}|file"].tobytes())
    np.savez(folder / "inputs.npz", **inputs(case))
    return path


def inputs(case: str) -> dict[str, Any]:
    """The inputs by name."""
    start = f"{case}|input|"
    return {key.removeprefix(start): ARRAYS[key] for key in ARRAYS if key.startswith(start)}


@pytest.mark.parametrize("case", CASES)
def test_computes_what_the_version_did(case: str, tmp_path: Path) -> None:
    network = load(write(case, tmp_path)).network
    (found,) = network.run(inputs(case)).values()
    np.testing.assert_allclose(found, ARRAYS[f"{case}|output"], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_no_witness_calls_it_wrong(case: str, tmp_path: Path) -> None:
    proof = Proof("keras", tmp_path / "inputs.npz")
    try:
        report = read_model(ModelSource(write(case, tmp_path)), proof).report
    except Unsupported as error:
        assert "real Keras cannot be asked" in str(error)  # noqa: PT017
    else:
        assert report.first_difference is None
