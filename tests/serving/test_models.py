"""What is loaded, what is not ready and why, and which version is served."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from cortex.runtime.errors import MissingExtra, RepositoryError
from cortex.runtime.repository import CONFIG, WEIGHTS
from cortex.serving.errors import NotFound, Unavailable
from cortex.serving.metrics import Metrics
from cortex.serving.models import Models

from .repositories import FLOAT, dense, identity, sample
from .running import anywhere


def load(
    root: Path, body: Callable[[Models], Awaitable[None] | None] = lambda models: None
) -> None:
    """Loads a repository and runs ``body`` with it."""

    async def main() -> None:
        async with asyncio.timeout(60), Models(anywhere(root), Metrics("0")) as models:
            await models.start()
            if (waits := body(models)) is not None:
                await waits

    asyncio.run(main())


def reason(caplog: pytest.LogCaptureFixture) -> str:
    """The one error in the log."""
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is None
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_a_model_that_reproduces_its_check_is_ready(tmp_path: Path) -> None:
    dense(tmp_path)

    def body(models: Models) -> None:
        assert models.states() == {"dense/1": True}
        assert models.is_ready("dense")

    load(tmp_path, body)


@pytest.mark.parametrize("layer", ["hidden", "scores", "probabilities"])
def test_a_check_that_differs_keeps_the_model_out_and_names_the_layer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, layer: str
) -> None:
    dense(tmp_path, wrong=layer)
    dense(tmp_path, "right")

    async def body(models: Models) -> None:
        assert models.states() == {"dense/1": False, "right/1": True}
        with pytest.raises(Unavailable, match="model 'dense': version 1 is not ready; the server"):
            await models.get("dense", "1")
        with pytest.raises(Unavailable, match="model 'dense': no version of it is ready; the "):
            await models.get("dense")

    load(tmp_path, body)
    assert f"the first layer that differs is '{layer}', by " in reason(caplog)
    assert "dense/1: not ready: output 'probabilities' differs from its check by" in caplog.text


def test_the_newest_version_that_is_ready_is_served(tmp_path: Path) -> None:
    dense(tmp_path)
    dense(tmp_path)
    dense(tmp_path, wrong="scores", version_policy="all")

    async def body(models: Models) -> None:
        assert (await models.get("dense")).version == "2"
        assert (await models.get("dense", "1")).version == "1"
        assert models.ready_versions("dense") == ["1", "2"]
        assert not models.is_ready("dense", "3")

    load(tmp_path, body)


def test_unknown_models_and_versions_are_not_found(tmp_path: Path) -> None:
    dense(tmp_path)

    async def body(models: Models) -> None:
        with pytest.raises(NotFound, match="model 'x' is not here; here are 'dense'"):
            await models.get("x")
        for version in ("2", "one", "-1", "01"):
            with pytest.raises(NotFound, match=f"model 'dense' has no version '{version}'; it has"):
                await models.get("dense", version)
        with pytest.raises(NotFound):
            models.is_ready("x")

    load(tmp_path, body)


def test_a_model_without_a_check_is_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity(tmp_path, "same", FLOAT)
    load(tmp_path)
    assert "same/1: it came without a check; nothing proves its answers" in caplog.text


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no graph": (
        lambda path: (path / "model.onnx").write_bytes(b"\xffgarbage"),
        "model.onnx: not an ONNX model",
    ),
    "no weights": (
        lambda path: (path / WEIGHTS).unlink(),
        "onnxruntime does not open the model: ",
    ),
    "weights cut short": (
        lambda path: (path / WEIGHTS).write_bytes((path / WEIGHTS).read_bytes()[:100]),
        "onnxruntime does not open the model: ",
    ),
    "damaged check": (
        lambda path: (path / "check.safetensors").write_bytes(b"x"),
        "check.safetensors: ",
    ),
    "config": (
        lambda path: (path.parent / CONFIG).write_text(json.dumps({"max_batch": 0})),
        "config.json: max_batch: ",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_model_is_reported_and_the_others_are_served(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object],
    message: str,
) -> None:
    dense(tmp_path)
    identity(tmp_path, "same", FLOAT)
    damage(tmp_path / "dense" / "1")

    def body(models: Models) -> None:
        assert models.states() == {"dense/1": False, "same/1": True}

    load(tmp_path, body)
    assert message in reason(caplog)


def test_a_model_whose_tensors_the_protocol_cannot_carry_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity(tmp_path, "small", TensorProto.FLOAT8E4M3FN)
    load(tmp_path)
    assert "small/1: not ready: input 'x': tensor(float8e4m3fn) is no" in reason(caplog)


def test_a_check_for_another_output_is_a_difference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dense(tmp_path)
    path = tmp_path / "dense" / "1" / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "other"
    onnx.save(model, path)
    load(tmp_path)
    assert "its check expects an output 'probabilities'; it has other" in reason(caplog)


def test_there_must_be_a_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no such folder"):
        load(tmp_path / "nowhere")


def test_without_onnxruntime_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"serving a model needs an extra: .*\[cpu\]"):
        load(tmp_path)


def test_layers_are_answered_in_the_layout_of_the_source(tmp_path: Path) -> None:
    dense(tmp_path)
    x = sample(3)

    async def body(models: Models) -> None:
        wanted = ["turned", "probabilities", "hidden"]
        turned, probabilities, hidden = await (await models.get("dense")).infer(
            {"x": x}, wanted, None
        )
        assert [turned.name, probabilities.name, hidden.name] == wanted
        assert turned.array.tolist() == hidden.array.T.tolist()
        assert probabilities.array.shape == (3, 3)

    load(tmp_path, body)
