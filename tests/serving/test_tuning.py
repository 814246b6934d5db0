"""How a model is run: what its config says, what is measured, and what is kept of that."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from onnx import helper

from cortex.runtime.repository import versions
from cortex.serving.engine import tuning
from cortex.serving.engine.engines import Engines
from cortex.serving.engine.providers import cores
from cortex.serving.engine.tuning import FOLDER, MAX_BATCH, SIZES, Tuning
from cortex.serving.model import OpenModel

from .repositories import FLOAT, dense, single


def found(root: Path, engines: Engines | None = None) -> Tuning:
    """How the only model of a repository is run."""
    return OpenModel.open(versions(root)[0], engines).tuning


def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing may be measured."""

    def refuse(*arguments: object) -> Any:
        raise AssertionError("measured")

    monkeypatch.setattr(tuning, "_measured", refuse)


def gains(monkeypatch: pytest.MonkeyPatch, gain: float) -> None:
    """Lets fewer runs at a time be so many times as fast."""

    def of(*arguments: object) -> float:
        return gain

    monkeypatch.setattr(tuning, "_gain", of)


def seconds_a_row(monkeypatch: pytest.MonkeyPatch, row: float, run: float = 0.0) -> None:
    """Lets runs take so long."""

    def seconds(program: Any, inputs: Any, clock: Any) -> float:
        return run + row * len(next(iter(inputs.values())))

    monkeypatch.setattr(tuning, "_seconds", seconds)


def test_what_config_says_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unmeasured(monkeypatch)
    dense(tmp_path, max_batch=7, runners=1)
    assert found(tmp_path) == Tuning(7, 1, cores(), "config")


def test_what_config_leaves_open_is_measured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dense(tmp_path)
    with caplog.at_level(logging.INFO):
        model = OpenModel.open(versions(tmp_path)[0])
    at = model.tuning
    assert at.source == "measured"
    assert at.max_batch in SIZES
    assert at.runners * at.threads <= cores()
    assert (model.config.max_batch, model.config.runners) == (at.max_batch, at.runners)
    assert f"{model.version.path}: on cpu, {at}" in caplog.messages


@pytest.mark.parametrize(
    ("row", "run", "max_batch"),
    [
        (1e-6, 0.0, 64),  # what a run costs besides is spread over ever more rows
        (1e-3, 0.0, 8),  # a row costs the same in any batch
        (1e-3, 2e-3, 32),
    ],
)
def test_the_smallest_batch_is_taken_that_makes_a_row_cheap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: float, run: float, max_batch: int
) -> None:
    seconds_a_row(monkeypatch, row, run)
    dense(tmp_path, runners=2)
    assert found(tmp_path).max_batch == max_batch


def test_a_slow_model_runs_on_all_cores_one_batch_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds_a_row(monkeypatch, 0.3)
    dense(tmp_path)
    assert found(tmp_path) == Tuning(3, 1, cores(), "measured")


@pytest.mark.parametrize(("gain", "runners"), [(1.1, 4), (1.5, 1)])
def test_fewer_runs_at_a_time_must_be_clearly_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float, runners: int
) -> None:
    monkeypatch.setattr(tuning, "cores", lambda: 4)
    gains(monkeypatch, gain)
    seconds_a_row(monkeypatch, 1e-3)
    dense(tmp_path, max_batch=8)
    at = found(tmp_path)
    assert (at.runners, at.threads) == (runners, 4 // runners)


def test_the_real_gain_is_a_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "cores", lambda: 2)
    monkeypatch.setattr(tuning, "TINY", 0.0)
    dense(tmp_path)
    assert found(tmp_path).runners in (1, 2)


@pytest.mark.parametrize(
    ("kind", "shape"), [(FLOAT, ("N", "T")), (helper.np_dtype_to_tensor_dtype, ("N",))]
)
def test_inputs_that_cannot_be_made_up_leave_the_defaults(
    tmp_path: Path, kind: Any, shape: tuple[str, ...]
) -> None:
    element = kind if isinstance(kind, int) else 8  # of strings
    node = [helper.make_node("Identity", ["x"], ["y"])]
    single(tmp_path, "open", [("x", element, shape)], [("y", element, shape)], node)
    assert found(tmp_path) == Tuning(MAX_BATCH, cores(), 1, "default")


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache" if kept else None
    dense(root)
    engines = Engines(cache)
    first = found(root, engines)
    unmeasured(monkeypatch)
    second = found(root, Engines(cache) if kept else engines)
    assert second == Tuning(first.max_batch, first.runners, first.threads, "kept")


def test_models_of_one_graph_that_open_side_by_side_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        dense(tmp_path, f"dense-{number}")
    engines, measured = Engines(), tuning._measured  # pyright: ignore[reportPrivateUsage]

    def slowly(*arguments: Any) -> Any:
        sleep(0.2)  # the others have looked for what is known
        return measured(*arguments)

    monkeypatch.setattr(tuning, "_measured", slowly)
    with ThreadPoolExecutor(4) as pool:
        opening = [pool.submit(OpenModel.open, at, engines) for at in versions(tmp_path)]
    tunings = [each.result().tuning for each in opening]
    assert sorted(at.source for at in tunings) == ["kept"] * 3 + ["measured"]
    assert len({replace(at, source="") for at in tunings}) == 1


def test_another_machine_or_config_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, engines = tmp_path / "models", Engines()
    dense(root)
    found(root, engines)
    monkeypatch.setattr(tuning, "machine", lambda: ["another"])
    assert found(root, engines).source == "measured"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"max_batch": 1}', '{"surprise": 1}'])
def test_a_damaged_file_is_measured_anew(tmp_path: Path, text: str) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root)
    found(root, Engines(cache))
    (file,) = (cache / FOLDER).iterdir()
    file.write_text(text)
    assert found(root, Engines(cache)).source == "measured"
    assert json.loads(file.read_text())["source"] == "measured"


def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root)
    cache.write_text("no folder")
    assert found(root, Engines(cache)).source == "measured"
    assert "cannot keep what was measured" in caplog.text
