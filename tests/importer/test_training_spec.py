"""The spec that goes on from what was imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cortex.importer.cli import main
from cortex.importer.training import write_spec
from cortex.runtime.errors import UnreadableFile
from cortex.runtime.spec.cli import main as train
from cortex.runtime.spec.document import Range, read

from .keras_files import small_model

LAYERS = [{"type": "input", "size": 3}, {"type": "linear", "units": 2}]


def test_goes_on_from_what_was_installed(tmp_path: Path) -> None:
    model, spec = small_model(tmp_path / "small.h5"), tmp_path / "spec.yaml"
    arguments = [model, "--repository", tmp_path / "models", "--training-spec", spec]
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(spec.read_text()) == {
        "network": {"load": str(tmp_path / "models" / "small")}
    }
    told = CliRunner().invoke(train, [str(spec), "--dry-run"])
    assert told.exit_code == 0, told.output


def test_what_stands_in_two_places_is_written_twice(tmp_path: Path) -> None:
    rate = {"type": "listed", "rate": 0.1, "epochs": [2], "rates": [0.01]}
    parts: dict[str, Any] = {"network": LAYERS, "optimizers": {}}
    for name in ("kernel", "bias"):
        parts["optimizers"][name] = {"type": "sgd", "rate": rate}
    write_spec(tmp_path / "spec.yaml", parts)
    assert "&" not in (tmp_path / "spec.yaml").read_text()
    assert read(tmp_path / "spec.yaml") == parts


@pytest.mark.parametrize(
    "found",
    [
        Range("rate", "FLOAT", (1e-4, 0.1), log=True),
        Range("rate", "FLOAT", (0.1, 0.2)),
        Range("rate", "CHOICE", (0.1, 0.2, 0.3)),
    ],
)
def test_ranges_stay_ranges(found: Range, tmp_path: Path) -> None:
    parts = {"network": LAYERS, "optimizer": {"type": "sgd", "rate": found}}
    write_spec(tmp_path / "spec.yaml", parts)
    assert read(tmp_path / "spec.yaml") == parts


def test_nothing_is_written_of_what_makes_no_training(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    with pytest.raises(UnreadableFile, match=r"spec\.yaml: .*epochs"):
        write_spec(path, {"network": LAYERS, "epochs": -1})
    assert not path.exists()
