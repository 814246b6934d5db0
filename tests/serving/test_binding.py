"""Runs in memory that is kept, as GPUs have them; here on the CPU, which needs no other code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from cortex.runtime.repository import versions
from cortex.serving.engine import binding, session
from cortex.serving.engine.binding import Bound, page_locked
from cortex.serving.engine.providers import Choice, runtime
from cortex.serving.engine.session import Engine, Program
from cortex.serving.errors import InvalidArgument

from .repositories import FLOAT, Value, dense, expected, sample, single


class Memory:
    """Ordinary memory; counts what was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, nbytes: int) -> Any:
        self.asked.append(nbytes)
        return np.empty(nbytes, np.uint8)


def opened(root: Path) -> Program:
    """The only model of a repository."""
    (version,) = versions(root)
    return Engine.create(Choice.of(["cpu"])).open(version.model, version.path)


def bound(root: Path, memory: Memory) -> Callable[..., list[Any]]:
    """What runs the only model of a repository in kept memory; a failure runs nothing else."""
    program = opened(root)
    (one,) = program.sessions

    def plain(*arguments: Any) -> Any:
        raise AssertionError("run as usual")

    run = Bound(one, program.inputs, program.outputs, memory, plain)
    options = runtime().RunOptions()

    def ask(outputs: list[str], **feeds: Any) -> list[Any]:
        return run(outputs, feeds, options)

    return ask


def test_answers_are_right_and_are_copies_whatever_the_rows(tmp_path: Path) -> None:
    dense(tmp_path)
    memory = Memory()
    run = bound(tmp_path, memory)
    found = {rows: run(["probabilities"], x=sample(rows, rows))[0] for rows in (2, 3, 1, 0, 3, 2)}
    for rows, answer in found.items():
        right = expected(sample(rows, rows))["probabilities"]
        np.testing.assert_allclose(answer, right, rtol=1e-5)
        assert answer.flags.writeable
    # The first answer came in onnxruntime's own memory; what is kept grows to the most rows.
    assert sorted(memory.asked) == [2 * 16, 3 * 12, 3 * 16]


def test_inputs_that_lie_anyhow_are_taken(tmp_path: Path) -> None:
    dense(tmp_path)
    run = bound(tmp_path, Memory())
    raw = np.frombuffer(b"\0" + sample(4).tobytes(), np.uint8)[1:]
    for x in (sample(8)[::2], np.asfortranarray(sample(4)), raw.view(np.float32).reshape(4, 4)):
        for _ in range(2):
            (found,) = run(["probabilities"], x=x)
            np.testing.assert_allclose(found, expected(x)["probabilities"], rtol=1e-5)


def test_runs_side_by_side_have_memory_of_their_own(tmp_path: Path) -> None:
    dense(tmp_path)
    memory = Memory()
    run = bound(tmp_path, memory)

    def ask(seed: int) -> bool:
        x = sample(1 + seed % 5, seed)
        (found,) = run(["probabilities"], x=x)
        return np.allclose(found, expected(x)["probabilities"], rtol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


ROWS = [("x", FLOAT, ("N", 2))]
BOTH: list[Value] = [("y", FLOAT, ("N", 2)), ("z", FLOAT, (2, "N"))]
TURNED = [
    helper.make_node("Relu", ["x"], ["y"]),
    helper.make_node("Transpose", ["x"], ["z"], perm=[1, 0]),
]


@pytest.mark.parametrize("asked", [["y"], ["z"], ["y", "z"], ["z", "y"]])
def test_outputs_come_in_the_order_asked_for(tmp_path: Path, asked: list[str]) -> None:
    single(tmp_path, "both", ROWS, BOTH, TURNED)
    run = bound(tmp_path, Memory())
    x = np.array([[1, -2], [3, 4], [-5, 6]], np.float32)
    right = {"y": np.maximum(x, 0), "z": x.T}
    for names in (["y", "z"], asked, asked):
        for name, found in zip(names, run(names, x=x), strict=True):
            np.testing.assert_array_equal(found, right[name])


NONZERO = [helper.make_node("NonZero", ["x"], ["y"])]


@pytest.mark.parametrize("size", ["N", None, "M"])
def test_shapes_that_do_not_follow_are_left_to_onnxruntime(
    tmp_path: Path, size: str | None
) -> None:
    """Even where the graph declares that they do."""
    single(tmp_path, "where", [("x", FLOAT, ("N",))], [("y", 7, (1, size))], NONZERO)
    run = bound(tmp_path, Memory())
    for x in np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]], np.float32):
        np.testing.assert_array_equal(run(["y"], x=x)[0], np.nonzero(x))


def test_shapes_that_followed_once_and_do_not_now_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "GPU", ("cpu",))
    single(tmp_path, "where", [("x", FLOAT, ("N",))], [("y", 7, (1, "N"))], NONZERO)
    program = opened(tmp_path)
    for x in np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1]], np.float32):
        np.testing.assert_array_equal(program.run({"x": x}, ["y"])[0], np.nonzero(x))


def test_an_answer_in_memory_of_onnxruntimes_stays_as_it_is(tmp_path: Path) -> None:
    single(tmp_path, "where", [("x", FLOAT, ("N",))], [("y", 7, (1, "M"))], NONZERO)
    run = bound(tmp_path, Memory())
    first = run(["y"], x=np.array([0, 1, 1, 0], np.float32))[0]
    for _ in range(10):
        run(["y"], x=np.array([1, 1, 0, 0], np.float32))
    assert first.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, np.uint16),
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.BOOL, np.bool_),
        (TensorProto.INT8, np.int8),
        (TensorProto.UINT64, np.uint64),
        (TensorProto.STRING, np.object_),
    ],
)
def test_every_datatype_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, dtype: Any
) -> None:
    monkeypatch.setattr(session, "GPU", ("cpu",))
    node = helper.make_node("Identity", ["x"], ["y"])
    single(tmp_path, "same", [("x", kind, ("N", 2))], [("y", kind, ("N", 2))], [node])
    program = opened(tmp_path)
    x = np.array([["1", "a"], ["", "é"]], object) if dtype is np.object_ else None
    x = np.array([[1, 0], [1, 3]]).astype(dtype) if x is None else x
    for _ in range(3):
        (found,) = program.run({"x": x}, ["y"])
        assert (found.dtype, found.tolist()) == (x.dtype, x.tolist())


def test_what_a_model_refuses_is_told_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "GPU", ("cpu",))
    table = {"t": np.eye(3, dtype=np.float32)}
    node = helper.make_node("Gather", ["t", "x"], ["y"])
    single(tmp_path, "rows", [("x", 7, ("N",))], [("y", FLOAT, ("N", 3))], [node], table)
    program = opened(tmp_path)
    right = np.eye(3)[[2, 0]]
    for _ in range(2):
        np.testing.assert_array_equal(program.run({"x": np.array([2, 0])}, ["y"])[0], right)
        with pytest.raises(InvalidArgument, match="the model refuses the values: indices element"):
            program.run({"x": np.array([7, 0])}, ["y"])


def test_a_run_that_is_stopped_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "GPU", ("cpu",))
    dense(tmp_path)
    (version,) = versions(tmp_path)
    engine = Engine.create(Choice.of(["cpu"]))
    program = engine.open(version.model, version.path)
    program.run({"x": sample()}, ["probabilities"])
    engine.stop()
    with pytest.raises(Exception, match="terminate"):
        program.run({"x": sample()}, ["probabilities"])


def test_where_no_memory_can_be_locked_any_will_do(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("no GPU here")

    monkeypatch.setattr(runtime(), "create_and_register_allocator_v2", refuse)
    for _ in range(2):
        assert page_locked(63)(100).nbytes == 100
    words = "GPU 63: no page-locked memory, copies are slower: no GPU here"
    assert [each.getMessage() for each in caplog.records] == [words]
    assert caplog.records[0].levelno == logging.WARNING


def test_locked_memory_is_onnxruntimes(monkeypatch: pytest.MonkeyPatch) -> None:
    ort: Any = runtime()
    info = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_DEVICE_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(info, ort.OrtArenaCfg({}))

    def registered(device: int) -> Any:
        return info

    monkeypatch.setattr(binding, "_registered", registered)  # as a GPU's would be
    block = page_locked(0)(4096)
    block[:] = 7
    assert (block.nbytes, block.sum(), block.flags.owndata) == (4096, 7 * 4096, False)


@pytest.mark.gpu
def test_a_gpus_memory_is_locked(caplog: pytest.LogCaptureFixture) -> None:
    Choice.of(["cuda"])  # loads CUDA's libraries
    block = page_locked(0)(4096)
    block[:] = 7
    assert (block.nbytes, block.sum(), caplog.messages) == (4096, 7 * 4096, [])


@pytest.mark.gpu
def test_a_gpu_answers_alike_whatever_the_rows(tmp_path: Path) -> None:
    dense(tmp_path)
    (version,) = versions(tmp_path)
    program = Engine.create(Choice.of(["cuda"])).open(version.model, version.path)
    for rows in (2, 3, 1, 0, 3, 2):
        x = sample(rows, rows)
        (found,) = program.run({"x": x}, ["probabilities"])
        np.testing.assert_allclose(found, expected(x)["probabilities"], rtol=1e-4)
