"""What we export is read back: the graph of the ONNX file computes what the network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.importer.onnx.build import described
from cortex.importer.onnx.file import read_file
from cortex.importer.sample import sample_inputs
from cortex.runtime.check import difference
from cortex.runtime.errors import Unsupported
from cortex.runtime.export import export
from cortex.runtime.network import Network
from cortex.runtime.weights import WeightsFile

from .test_corpus import FULL, WEIGHTS_AND_JSON, loaded

MASKED = ("k2_dl4j_masking_zero_lstm.h5",)
"""A mask over a recurrent layer is exported as a search for the steps that count."""


@pytest.mark.parametrize("name", [*FULL, *WEIGHTS_AND_JSON])
def test_an_export_is_read_back(name: str, corpus: Any, tmp_path: Path) -> None:
    network, path = loaded(corpus, name).network, tmp_path / "model.onnx"
    network.save(tmp_path / "weights.safetensors")
    stored = Network.load(tmp_path / "weights.safetensors")
    proto = export(stored, WeightsFile.open(tmp_path / "weights.safetensors"))
    path.write_bytes(proto.SerializeToString())
    if name in MASKED:
        with pytest.raises(Unsupported, match="TopK, GatherND"):
            described(read_file(path))
        return
    back = described(read_file(path)).network
    inputs = sample_inputs(network.graph)
    expected, found = network.run(inputs), back.run(inputs)
    assert expected.keys() == found.keys()
    for output, value in expected.items():
        assert difference(found[output], value).within(1e-5)
