"""What is loaded, what is not ready and why, and which version is served."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from cortex.runtime.digests import digests
from cortex.runtime.errors import MissingExtra, RepositoryError
from cortex.runtime.repository import CONFIG, MODEL, REPORT, SERVED, WEIGHTS
from cortex.serving.errors import NotFound, Unavailable
from cortex.serving.metrics import Metrics
from cortex.serving.models import Models

from .repositories import FLOAT, dense, expected, identity, sample
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


def sealed(path: Path) -> None:
    """Records what the files of a version are, as the importer does."""
    (path / REPORT).write_text(json.dumps({"files": digests(path, SERVED)}))


def flipped(path: Path) -> None:
    """One bit of the last weight is another: too little for a check to see."""
    sealed(path)
    whole = bytearray((path / WEIGHTS).read_bytes())
    whole[-4] ^= 1
    (path / WEIGHTS).write_bytes(whole)


def misled(path: Path) -> None:
    """The graph names a file that is none of its folder's."""
    model = onnx.load(path / MODEL, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../../../secret"
    onnx.save(model, path / MODEL)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no graph": (
        lambda path: (path / MODEL).write_bytes(b"\xffgarbage"),
        "model.onnx: not an ONNX model",
    ),
    "no weights": (
        lambda path: (path / WEIGHTS).unlink(),
        "dense/1/weights.safetensors: no such file, and the graph has its weights there; copy or",
    ),
    "a link to no weights": (
        lambda path: ((path / WEIGHTS).unlink(), (path / WEIGHTS).symlink_to("gone")),
        "dense/1/weights.safetensors: a link that leads nowhere, and the graph has its weights",
    ),
    "weights cut short": (
        lambda path: (path / WEIGHTS).write_bytes((path / WEIGHTS).read_bytes()[:400]),
        "dense/1/weights.safetensors: cut short: it has 400 bytes, the graph has weights up to",
    ),
    "weights elsewhere": (misled, "its graph looks for weights at '../../../secret', which is not"),
    "a bit of the weights": (flipped, "dense/1/weights.safetensors: damaged or replaced: its SHA-"),
    "a file that is gone": (
        lambda path: (sealed(path), (path / "check.safetensors").unlink()),
        "check.safetensors: No such file or directory",
    ),
    "damaged report": (
        lambda path: (path / REPORT).write_text("{"),
        "dense/1/report.json: damaged: ",
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


REPORTS: dict[str, Callable[[Path], object]] = {
    "of these files": lambda path: sealed(path),
    "that names no files": lambda path: (path / REPORT).write_text('{"verified": true}'),
    "that is somebody else's": lambda path: (path / REPORT).write_text("[1]"),
}


@pytest.mark.parametrize("write", REPORTS.values(), ids=REPORTS)
def test_a_report_without_a_contradiction(tmp_path: Path, write: Callable[[Path], object]) -> None:
    dense(tmp_path)
    write(tmp_path / "dense" / "1")
    load(tmp_path, lambda models: _ready(models, "dense/1"))


def _ready(models: Models, version: str) -> None:
    assert models.states() == {version: True}


def as_config_map(version: Path, elsewhere: Path) -> None:
    """As Kubernetes mounts one: each file a link to that in a folder behind a link."""
    (version / "..2026").mkdir()
    (version / "..data").symlink_to("..2026")
    for file in [file for file in version.iterdir() if file.is_file()]:
        file.rename(version / "..2026" / file.name)
        file.symlink_to(f"..data/{file.name}")


def as_annex(version: Path, elsewhere: Path) -> None:
    """As git-annex keeps files: each in a folder of its own, by another name."""
    for number, file in enumerate(list(version.iterdir())):
        held = elsewhere / str(number) / f"KEY-{number}"
        held.parent.mkdir(parents=True)
        file.rename(held)
        file.symlink_to(held)


def as_folder(version: Path, elsewhere: Path) -> None:
    """A version that lies elsewhere as a whole."""
    version.rename(elsewhere)
    version.symlink_to(elsewhere)


@pytest.mark.parametrize("laid", [as_config_map, as_annex, as_folder])
def test_a_version_behind_links(tmp_path: Path, laid: Callable[[Path, Path], None]) -> None:
    root = tmp_path / "models"
    dense(root)
    sealed(root / "dense" / "1")
    laid(root / "dense" / "1", tmp_path / "elsewhere")

    async def body(models: Models) -> None:
        _ready(models, "dense/1")
        (hidden,) = await (await models.get("dense")).infer({"x": sample()}, ["hidden"], None)
        np.testing.assert_allclose(hidden.array, expected(sample())["hidden"], rtol=1e-5)

    load(root, body)


@pytest.mark.parametrize(("labels", "told"), [(3, False), (2, True), (4, True), (0, False)])
def test_labels_that_are_too_few_or_too_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, labels: int, told: bool
) -> None:
    dense(tmp_path, labels=tuple("abcd"[:labels]))
    load(tmp_path, lambda models: _ready(models, "dense/1"))
    lines = [line for line in caplog.messages if " labels, output " in line]
    assert len(lines) == told
    assert all(f"config.json has {labels} labels, output 'probab" in line for line in lines)


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
