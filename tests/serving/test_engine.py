"""Sessions: which provider runs a model, on how many devices, and what is kept of it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import helper

from cortex.runtime.errors import Unsupported
from cortex.runtime.repository import ModelConfig, versions
from cortex.serving.engine.engines import Engines
from cortex.serving.engine.optimized import DATA, FOLDER, MODEL
from cortex.serving.engine.providers import PROVIDERS, Choice
from cortex.serving.engine.session import Engine, LeastBusy, Program
from cortex.serving.engine.tensorrt import engines
from cortex.serving.errors import Internal
from cortex.serving.model import OpenModel

from .repositories import FLOAT, dense, expected, sample, single

CPU = Choice.of(["cpu"])


def opened(root: Path, engine: Engine) -> Program:
    """The only model of a repository."""
    (version,) = versions(root)
    return engine.open(version.model, version.path)


def test_rows_are_joined_only_where_all_first_axes_are_the_same(tmp_path: Path) -> None:
    pair = [helper.make_node("Identity", ["x"], ["y"])]
    for name, before, after in (
        ("same", ("N", 2), ("N", 2)),
        ("other", ("N", 2), ("M", 2)),
        ("unnamed", (None, 2), (None, 2)),
        ("fixed", (3, 2), (3, 2)),
        ("scalar", (), ()),
    ):
        single(tmp_path, name, [("x", FLOAT, before)], [("y", FLOAT, after)], pair)

    engine = Engine.create(CPU)
    joined = {
        version.name: engine.open(version.model, version.path).batched(["y"])
        for version in versions(tmp_path)
    }
    assert joined == {
        "same": True,
        "other": False,
        "unnamed": False,
        "fixed": False,
        "scalar": False,
    }


@pytest.mark.parametrize(
    ("providers", "fallback"),
    [((), ""), (("cpu",), ""), (("cuda", "cpu"), "cuda cannot be used here, running on cpu")],
)
def test_a_fallback_is_stated(
    tmp_path: Path,
    providers: tuple[str, ...],
    fallback: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(cast("dict[str, object]", PROVIDERS), "cuda", ("NoSuchProvider", {}))
    dense(tmp_path, providers=providers)
    found = OpenModel.open(versions(tmp_path)[0])
    assert (found.fallback, found.program.provider) == (fallback, "cpu")
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == ([f"{found.version.path}: {fallback}"] if fallback else [])


@pytest.mark.parametrize(
    ("providers", "required", "message"),
    [
        (("cuda",), None, "it wants cuda, which this machine has not"),
        (("tensorrt", "cuda"), None, "it wants tensorrt or cuda, which this machine has not"),
        (("cuda", "cpu"), "cuda", "it would run on cpu, and --require-provider cuda is set; see "),
        ((), "tensorrt", "it would run on cpu, and --require-provider tensorrt is set"),
    ],
)
def test_what_cannot_run_where_it_must_is_refused(
    providers: Any, required: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cuda", "tensorrt"):
        monkeypatch.setitem(cast("dict[str, object]", PROVIDERS), name, ("NoSuchProvider", {}))
    with pytest.raises(Unsupported) as error:
        Engines(required=required).engine(ModelConfig(providers=providers))
    assert str(error.value).startswith(message)


def test_each_device_has_an_instance() -> None:
    choice = Choice(("tensorrt", "cuda", "cpu"), "tensorrt", (0, 2))
    told = [[(name, dict(options)) for name, options in at] for at in choice.instances()]
    assert told == [
        [
            ("TensorrtExecutionProvider", {"device_id": device}),
            ("CUDAExecutionProvider", {"use_tf32": "0", "device_id": device}),
            ("CPUExecutionProvider", {}),
        ]
        for device in ("0", "2")
    ]
    assert len(Choice(("cpu",), "cuda", (0, 1)).instances()) == 1


def test_what_tensorrt_builds_is_kept_for_each_model_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It calls an engine by its graph alone, and would take that of another's weights."""
    told: list[dict[str, str]] = []

    def session(engine: Engine, model: Path, folder: Path, providers: Any) -> Any:
        told.append(dict(providers[0][1]))
        raise RuntimeError("no GPU here")

    monkeypatch.setattr(Engine, "_session", session)
    choice, cache = Choice(("tensorrt", "cuda"), "tensorrt", (1,)), tmp_path / "cache"
    for name in ("one", "two"):
        dense(tmp_path / "models", name)
    for engine in (Engine.create(choice), Engine.create(choice, cache_dir=cache)):
        for version in [*versions(tmp_path / "models")] * 2:
            with pytest.raises(Unsupported, match="no GPU here"):
                engine.open(version.model, version.path)
    assert told[:4] == [{"device_id": "1"}] * 4  # nothing is kept without a place
    assert [each["trt_timing_cache_path"] for each in told[4:]] == [str(cache / "tensorrt")] * 4
    one, two, *again = [Path(each["trt_engine_cache_path"]) for each in told[4:]]
    assert one != two
    assert again == [one, two]
    assert {one.parent, two.parent} == {cache / "tensorrt"}
    assert one.is_dir()


def test_without_room_for_what_tensorrt_builds_nothing_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dense(tmp_path / "models")
    (version,) = versions(tmp_path / "models")
    cache = tmp_path / "cache"
    cache.write_text("no folder")
    assert engines(cache, version.model) == {}
    assert "cannot keep what TensorRT builds: Not a directory" in caplog.text


def test_runs_go_to_the_session_that_has_the_least_to_do(tmp_path: Path) -> None:
    gate, started, where = threading.Event(), threading.Semaphore(0), list[int]()

    def session(number: int) -> Any:
        def run(wait: bool) -> int:
            where.append(number)
            started.release()
            assert not wait or gate.wait(20)
            return number

        return run

    balanced = LeastBusy([session(0), session(1)])
    threads = [threading.Thread(target=balanced, args=(True,)) for _ in range(3)]
    for thread in threads:
        thread.start()
        assert started.acquire(timeout=20)
    assert sorted(where) == [0, 0, 1]
    assert balanced(False) == 1
    gate.set()
    for thread in threads:
        thread.join()


def test_a_program_of_several_sessions_is_told_apart_and_runs(tmp_path: Path) -> None:
    dense(tmp_path)
    engine = Engine.create(CPU)
    one, two = opened(tmp_path, engine), opened(tmp_path, engine)
    both = Program([*one.sessions, *two.sessions], engine.run_options, "cpu")
    assert [len(each.sessions) for each in both.instances] == [1, 1]
    assert list(one.instances) == [one]
    x = sample(3)
    for _ in range(2):
        (found,) = both.run({"x": x}, ["probabilities"])
        np.testing.assert_allclose(found, expected(x)["probabilities"], rtol=1e-5)


def test_strings_that_are_not_utf_8_are_told_in_a_line(tmp_path: Path) -> None:
    strings = onnx.TensorProto(name="c", data_type=8, dims=[1], string_data=[b"\xff"])
    node = helper.make_node("Constant", [], ["y"], value=strings)
    single(tmp_path, "bytes", [("x", FLOAT, (1,))], [("y", 8, (1,))], [node])
    program = opened(tmp_path, Engine.create(CPU))
    with pytest.raises(Internal, match="the model answers with text that is not UTF-8"):
        program.run({"x": np.zeros(1, np.float32)}, ["y"])


def keep(root: Path, cache: Path) -> tuple[Any, Path]:
    """What the model answers, opened with a cache, and what is kept of it."""
    x = sample(3)
    (answer,) = opened(root, Engine.create(CPU, cache_dir=cache)).run({"x": x}, ["probabilities"])
    np.testing.assert_allclose(answer, expected(x)["probabilities"], rtol=1e-5)
    (kept,) = (cache / FOLDER).iterdir()
    return answer, kept


def test_an_optimized_model_is_kept_and_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root)
    first, kept = keep(root, cache)
    made = (kept / MODEL).stat().st_mtime_ns
    second, again = keep(root, cache)
    assert again == kept
    assert capfd.readouterr().err == ""  # onnxruntime's own words are in no format of ours
    assert (kept / MODEL).stat().st_mtime_ns == made
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("file", [MODEL, DATA])
def test_what_is_kept_and_damaged_is_made_again(tmp_path: Path, file: str) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root)
    _, kept = keep(root, cache)
    (kept / MODEL).write_bytes(b"no model")
    keep(root, cache)
    assert (kept / MODEL).read_bytes() != b"no model"


def test_weights_that_are_others_are_not_served_from_what_is_kept(tmp_path: Path) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root)
    keep(root, cache)
    (version,) = versions(root)
    weights = version.path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes())
    opened(root, Engine.create(CPU, cache_dir=cache))
    assert len(list((cache / FOLDER).iterdir())) == 2


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root)
    cache.write_text("no folder")
    x = sample(2)
    (answer,) = opened(root, Engine.create(CPU, cache_dir=cache)).run({"x": x}, ["probabilities"])
    np.testing.assert_allclose(answer, expected(x)["probabilities"], rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("providers", [("cuda", "cpu"), ("tensorrt", "cuda", "cpu")])
def test_a_gpu_answers_as_the_check_says(tmp_path: Path, providers: tuple[str, ...]) -> None:
    dense(tmp_path, providers=providers, devices=(0, 0))
    model = OpenModel.open(versions(tmp_path)[0], Engines(required=providers[0]))
    assert (model.fallback, model.program.provider) == ("", providers[0])
    assert len(model.program.instances) == 2
    for rows in (3, 3, 5):  # what is kept is used from the second on
        x = sample(rows)
        (found,) = model.program.run({"x": x}, ["probabilities"])
        np.testing.assert_allclose(found, expected(x)["probabilities"], rtol=1e-4)


@pytest.mark.gpu
def test_what_tensorrt_has_built_is_there_at_the_next_start(tmp_path: Path) -> None:
    root, cache = tmp_path / "models", tmp_path / "cache"
    dense(root, providers=("tensorrt", "cuda", "cpu"))
    built: list[dict[Path, int]] = []
    for _ in range(2):
        OpenModel.open(versions(root)[0], Engines(cache, required="tensorrt"))
        files = (cache / "tensorrt").rglob("*.engine")
        built.append({file: file.stat().st_mtime_ns for file in files})
    assert built[0]
    assert built[0] == built[1]
    assert list((cache / "tensorrt").glob("*.timing"))
