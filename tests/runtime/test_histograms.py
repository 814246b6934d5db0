"""What passes through a network in numbers: the distribution of an array, and of every layer's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from cortex.runtime import nn
from cortex.runtime.spec.cli import main
from cortex.runtime.spec.histograms import Seen, histograms
from cortex.runtime.training.distribution import Distribution

COUNTS: list[tuple[list[float], dict[str, Any]]] = [
    ([], {"count": 0, "finite": 0, "low": 0, "high": 0, "mean": 0, "deviation": 0}),
    ([1, 2, 3], {"count": 3, "low": 1, "high": 3, "mean": 2, "squares": 14}),
    ([0, -0.0, 1], {"zeros": 2, "lost": 0, "deviation": pytest.approx(2**0.5 / 3)}),
    ([np.nan, np.inf, 5], {"count": 3, "finite": 1, "low": 5, "high": 5, "mean": 5}),
    ([np.nan], {"count": 1, "finite": 0, "low": 0, "quantiles": (0, 0, 0, 0, 0)}),
    ([1e-8, 1e5, -1e-3, -65504, 2.0**-24], {"lost": 2}),
    ([0, 0.005, 0.5, 0.995, 1], {"saturated": 4}),
    (list(range(101)), {"quantiles": (1, 25, 50, 75, 99)}),
]


@pytest.mark.parametrize(("values", "wanted"), COUNTS)
@pytest.mark.parametrize("parts", [1, 2])
def test_an_array_in_numbers(values: list[float], wanted: dict[str, Any], parts: int) -> None:
    cut = np.array_split(np.array(values, np.float32), parts)
    found = Distribution.of(cut[0], (0, 1), 0.01)
    for part in cut[1:]:
        found += Distribution.of(part, (0, 1), 0.01)
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_a_sample_is_spread_over_the_array() -> None:
    found = Distribution.of(np.arange(1000.0).reshape(10, 100), most=100)
    assert found.sample.tolist() == list(range(0, 1000, 10))
    assert (found.high, found.total) == (999, 499_500)


def seen(*layers: Any, x: Any) -> dict[tuple[str, str], Seen]:
    """What two batches give, each of these rows."""
    model = nn.sequential([nn.input(2, name="x"), *layers])
    (target,) = {term.target for term in model.terms}
    batch = {"x": np.array(x, np.float32), target: np.zeros((len(x), 1), np.float32)}
    return {(at.layer, at.what): at for at in histograms(model, [batch, batch])}


def test_every_layer_has_its_values_its_weights_and_the_gradients_of_both() -> None:
    weights = {"kernel": np.array([[2.0], [0.0]]), "bias": np.array([1.0])}
    found = seen(nn.linear(1, name="y", initial=weights), x=[[1, 5], [2, 6]])
    assert list(found) == [
        ("x", "output"), ("x", "gradient"), ("y", "output"), ("y", "gradient"), ("y", "kernel"),
        ("y", "kernel gradient"), ("y", "bias"), ("y", "bias gradient"),
    ]  # fmt: skip
    output, kernel = found["y", "output"].values, found["y", "kernel"].values
    assert (output.count, output.low, output.high) == (4, 3, 5)  # of both batches
    assert (kernel.count, kernel.zeros) == (2, 1)  # once
    # The mean squared error's slope is 2 y / 2 rows.
    assert found["y", "gradient"].values.high == 5
    assert found["y", "kernel gradient"].values.high == 3 * 5 + 5 * 6


ENDS: list[tuple[Any, float, int | None]] = [
    (nn.logistic(), 6.0, 2),
    (nn.logistic(), 1.0, 0),
    (nn.tanh(), -3.0, 2),
    (nn.relu(limit=2.0), 3.0, 2),
    (nn.relu(limit=2.0), -3.0, 0),
    (nn.relu(), 9.0, None),
]


@pytest.mark.parametrize(("activation", "x", "saturated"), ENDS)
def test_values_at_the_end_of_their_range_are_counted(
    activation: Any, x: float, saturated: int | None
) -> None:
    begin = {"kernel": np.array([[1.0], [0.0]])}
    found = seen(nn.linear(1, initial=begin), activation, x=[[x, 0]])
    (told,) = (at.as_json() for at in found.values() if at.layer == f"{activation.kind}-1"
               and at.what == "output")  # fmt: skip
    assert told["saturated"] == saturated


SPEC: dict[str, Any] = {
    "network": [
        {"type": "input", "shape": ["T", 2], "name": "x"},
        {"type": "lstm", "units": 3, "stateful": True},
        {"type": "linear", "units": 2},
        "softmax",
    ],
    "batch_size": 8,
}


@pytest.mark.parametrize("data", [True, False])
def test_the_command_shows_a_table_or_objects(tmp_path: Path, data: bool) -> None:
    given = dict(SPEC)
    if data:
        x = np.full((20, 5, 2), np.nan, np.float32)
        np.savez(tmp_path / "d.npz", input=x, target=np.zeros(20, np.int64))
        given |= {"data": {"type": "npz", "path": "d.npz"}, "folder": str(tmp_path)}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(given))
    asked = [str(tmp_path / "s.yaml"), "--histograms"]
    table = CliRunner().invoke(main, asked, catch_exceptions=False).stdout.splitlines()
    assert table[0].split()[:3] == ["layer", "what", "min"]
    assert table[-1].startswith("2 batches of 8" if data else "1 batch of 8")
    objects = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)
    assert len(objects) == len(table) - 2
    first = objects[0]
    assert (first["layer"], first["what"]) == ("x", "output")
    assert first["not_finite"] == (first["count"] if data else 0)
    assert sum(first["histogram"]["counts"]) == (1 if data else first["count"])


def test_only_histograms_come_as_json(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, [str(tmp_path / "s.yaml"), "--json"])
    assert (found.exit_code, "--json: only what --histograms" in found.stderr) == (2, True)
