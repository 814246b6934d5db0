"""The examples come to what they say they come to; the longer ones also on a small setting."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cortex.runtime.network import Network
from cortex.runtime.spec.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
Train = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """A function that runs cortex-train on an example in a folder of its own; the epochs' log."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> list[dict[str, Any]]:
        log = tmp_path / "log.json"
        given = [str(EXAMPLES / name), "--log", str(log), "--set", "checkpoint=null", *arguments]
        result = CliRunner().invoke(main, given, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in log.read_text().splitlines()]

    return run


def example(name: str) -> ModuleType:
    """An example in Python as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No MNIST: scikit-learn's digits stand in."""
    pytest.importorskip("sklearn")
    monkeypatch.setenv("CORTEX_DATA", str(tmp_path))


def test_xor(train: Train) -> None:
    assert train("xor.yaml", "--data", str(EXAMPLES))[-1]["loss"] < 1e-3
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    answers = Network.load("xor.safetensors").run({"bits": bits})["answer"]
    np.testing.assert_allclose(answers.reshape(-1), [0, 1, 1, 0], atol=0.1)


def test_logistic_regression(train: Train) -> None:
    best = max(train("logistic.yaml", "--data", str(EXAMPLES)), key=lambda at: at["accuracy"])
    assert best["accuracy"] >= 0.9
    assert best["auc"] >= 0.95


def test_the_table_is_what_its_maker_makes(tmp_path: Path) -> None:
    example("make_tables").main(tmp_path)
    assert (tmp_path / "default.csv").read_bytes() == (EXAMPLES / "default.csv").read_bytes()


def test_gaussians() -> None:
    assert example("gaussians").main() >= 0.95


QUICK = {"momentum", "nesterov", "rmsprop", "adam"}


def test_descents(capsys: pytest.CaptureFixture[str]) -> None:
    module = example("optimise")
    found = module.main()
    for (name, how), way in found.items():
        far = module.SURFACES[name].distance(*way.points[-1])
        if how in QUICK:
            assert far < 0.01, (name, how)
        elif name == "rosenbrock":
            assert far > 0.1, how
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(found)
    module.follow(module.SURFACES["bowl"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(module.OPTIMIZERS)


@pytest.mark.parametrize("name", ["bowl", "booth", "rosenbrock", "beale", "himmelblau", "saddle"])
def test_the_slope_of_a_function_is_its_differences(name: str) -> None:
    surface, step = example("optimise").SURFACES[name], 1e-6
    for x, y in np.random.default_rng(0).uniform(-2, 2, (5, 2)):
        slope = (
            (surface.value(x + step, y) - surface.value(x - step, y)) / (2 * step),
            (surface.value(x, y + step) - surface.value(x, y - step)) / (2 * step),
        )
        assert surface.slope(x, y) == pytest.approx(slope, rel=1e-5, abs=1e-5)
    for x, y in surface.minima:
        assert surface.value(x, y) < 1e-9


@pytest.mark.usefixtures("no_data")
def test_an_autoencoder_of_few_digits(train: Train) -> None:
    log = train("autoencoder.yaml", "--epochs", "3")
    assert log[-1]["validation loss"] < 0.9 * log[0]["validation loss"]


@pytest.mark.slow
def test_an_autoencoder(train: Train, data_folder: Path) -> None:
    log = train("autoencoder.yaml", "--data", str(data_folder / "mnist"))
    assert log[-1]["validation loss"] <= 0.02


@pytest.mark.usefixtures("no_data")
def test_a_belief_network_of_few_digits() -> None:
    found = example("dbn").main(examples=600, epochs=2)
    assert found.fine_tuned > 0.8


@pytest.mark.slow
def test_a_belief_network(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_DATA", str(data_folder))
    found = example("dbn").main()
    assert found.head_only >= 0.92
    assert found.fine_tuned >= max(0.96, found.from_scratch)


def test_characters_of_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("the quick brown fox jumps over the lazy dog; " * 30)
    loss, text = example("characters").main(file, epochs=12)
    assert loss < 1.5
    assert len(text) == 400


@pytest.mark.slow
def test_characters() -> None:
    loss, text = example("characters").main()
    assert loss < 0.4
    learnt = set((EXAMPLES.parent / "LICENSE").read_text().split())
    words = text[100:].split()[1:-1]  # which are whole
    assert sum(word in learnt for word in words) > len(words) / 2


@pytest.mark.slow
def test_mnist(train: Train, data_folder: Path) -> None:
    log = train("mnist.yaml", "--data", str(data_folder / "mnist"))
    assert max(epoch["accuracy"] for epoch in log) >= 0.985


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_says_how_to_run_it_and_what_to_expect(path: Path) -> None:
    text = path.read_text("utf-8")
    assert f"#   cortex-train examples/{path.name}" in text
    assert "Expected" in text


def test_new_pictures_are_of_every_shape(tmp_path: Path) -> None:
    maker = example("make_pictures")
    maker.main(tmp_path, each=2)
    assert len([*tmp_path.rglob("*.png")]) == 2 * len(maker.SHAPES)
