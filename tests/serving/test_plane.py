"""Every way a request can be wrong, with the message and the status it is answered with."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from onnx import TensorProto

from cortex.serving.batching.batcher import Batcher
from cortex.serving.client.connection import request
from cortex.serving.datatypes import BYTES, DATATYPES, Datatype
from cortex.serving.errors import (
    UNEXPECTED,
    Code,
    Internal,
    InvalidArgument,
    RequestError,
    listed,
    told,
)
from cortex.serving.metrics import Metrics
from cortex.serving.model import Model, Output
from cortex.serving.models import Models
from cortex.serving.plane import Answer, Plane
from cortex.serving.rest import schema as rest_schema
from cortex.serving.rest.messages import InferQuestion
from cortex.serving.rpc.messages import InferRequest, SentTensor
from cortex.serving.shared_memory import OFF
from cortex.serving.tensors import objects

from .repositories import dense, expected, identity, sample
from .running import anywhere


@dataclass(frozen=True)
class Given:
    """A tensor as a client might send it."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Any = None
    slow: bool = False

    def array(self, datatype: Datatype, what: str) -> Any:
        """The values, or ones."""
        return np.ones(self.shape, datatype.dtype) if self.values is None else self.values


@dataclass(frozen=True)
class Ask:
    """A question."""

    model: str
    tensors: Sequence[Given] = ()
    outputs: Sequence[str] = ()
    version: str = ""
    names: Sequence[str] = field(default=())
    classes: Mapping[str, int] = field(default_factory=dict[str, int])
    priority: int = 0
    timeout: float | None = None

    def inputs(self) -> Sequence[Given]:
        """The tensors."""
        return self.tensors

    def check(self, outputs: Sequence[Output]) -> None:
        """All will do."""


def with_plane(
    root: Path,
    body: Callable[[Plane], Awaitable[None]],
    counted: Callable[[Metrics], None] = lambda metrics: None,
) -> None:
    """Loads a repository, runs ``body`` with its plane, and shows ``counted`` the metrics."""
    metrics = Metrics("0")

    async def main() -> None:
        async with asyncio.timeout(60), Models(anywhere(root), metrics) as models:
            await models.start()
            await body(Plane(models, metrics, "0"))
            counted(metrics)

    asyncio.run(main())


X = Given("x", "FP32", (2, 4))
A, B = Given("a", "FP32", (2, 3)), Given("b", "FP32", (2, 3))
REFUSED: dict[str, tuple[Ask, Code, str]] = {
    "unknown model": (Ask("nope", [X]), Code.NOT_FOUND, "model 'nope' is not here; here are "),
    "unknown version": (
        Ask("dense", [X], version="7"),
        Code.NOT_FOUND,
        "model 'dense' has no version '7'; it has '1', '2'",
    ),
    "not ready": (
        Ask("broken", [X]),
        Code.UNAVAILABLE,
        "model 'broken': no version of it is ready; the server's log says why",
    ),
    "wrong name": (
        Ask("dense", [Given("z", "FP32", (2, 4))]),
        Code.INVALID_ARGUMENT,
        "input 'z': the model has no such input; it takes 'x'",
    ),
    "missing": (
        Ask("two", [A]),
        Code.INVALID_ARGUMENT,
        "input 'b' is missing; the model takes 'a', 'b'",
    ),
    "none": (Ask("dense"), Code.INVALID_ARGUMENT, "input 'x' is missing; the model takes 'x'"),
    "twice": (
        Ask("two", [A, B, A]),
        Code.INVALID_ARGUMENT,
        "input 'a' is given more than once",
    ),
    "datatype": (
        Ask("dense", [Given("x", "FP64", (2, 4))]),
        Code.INVALID_ARGUMENT,
        "input 'x': the model takes FP32, found 'FP64'",
    ),
    "no datatype": (
        Ask("dense", [Given("x", "float", (2, 4))]),
        Code.INVALID_ARGUMENT,
        "input 'x': the model takes FP32, found 'float', which is no datatype",
    ),
    "fixed size": (
        Ask("dense", [Given("x", "FP32", (2, 5))]),
        Code.INVALID_ARGUMENT,
        "input 'x': the model takes shape [-1, 4], found [2, 5]",
    ),
    "too few axes": (
        Ask("dense", [Given("x", "FP32", (4,))]),
        Code.INVALID_ARGUMENT,
        "input 'x': the model takes shape [-1, 4], found [4]",
    ),
    "no axes": (
        Ask("dense", [Given("x", "FP32", ())]),
        Code.INVALID_ARGUMENT,
        "input 'x': the model takes shape [-1, 4], found []",
    ),
    "negative size": (
        Ask("dense", [Given("x", "FP32", (-1, 4))]),
        Code.INVALID_ARGUMENT,
        "input 'x': the model takes shape [-1, 4], found [-1, 4]",
    ),
    "sizes that disagree": (
        Ask("two", [A, Given("b", "FP32", (2, 4))]),
        Code.INVALID_ARGUMENT,
        "input 'b': axis 'T' is 4 but 3 in 'a'",
    ),
    "unknown output": (
        Ask("dense", [X], ["nope"]),
        Code.INVALID_ARGUMENT,
        "output 'nope': model 'dense' has no output or layer of this name; it has "
        "'probabilities', 'hidden', 'scores', 'turned'",
    ),
    "output twice": (
        Ask("dense", [X], ["hidden", "hidden"]),
        Code.INVALID_ARGUMENT,
        "output 'hidden' is asked for 2 times",
    ),
    "values the model refuses": (
        Ask("table", [Given("i", "INT64", (1,), np.array([9]))]),
        Code.INVALID_ARGUMENT,
        "the model refuses the values: indices element out of data bounds, idx=9",
    ),
    "text that is none": (
        Ask("same-bytes", [Given("x", "BYTES", (1, 2), np.array([[b"a", b"\xff"]], object))]),
        Code.INVALID_ARGUMENT,
        "input 'x': an element is not UTF-8: b'\\xff'",
    ),
}


@pytest.mark.parametrize(("ask", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named(repository: Path, ask: Ask, code: Code, message: str) -> None:
    async def body(plane: Plane) -> None:
        with pytest.raises(RequestError) as error:
            await plane.infer(ask)
        assert error.value.code is code
        assert error.value.message.startswith(message)

    def counted(metrics: Metrics) -> None:
        labels = {"model": ask.model, "version": ask.version or "2", "code": code.name}
        if code is not Code.INVALID_ARGUMENT:
            labels |= {"model": "", "version": ""}
        elif ask.model != "dense":
            labels |= {"version": "1"}
        assert metrics.registry.get_sample_value("cortex_requests_total", labels) == 1

    with_plane(repository, body, counted)


def test_a_question_is_answered(repository: Path) -> None:
    x = sample(3)

    async def body(plane: Plane) -> None:
        answer = await plane.infer(Ask("dense", [Given("x", "FP32", (3, 4), x)], ["scores"]))
        assert (answer.model, answer.version) == ("dense", "2")
        (output,) = answer.outputs
        assert (output.name, output.datatype.name) == ("scores", "FP32")
        np.testing.assert_allclose(output.array, expected(x)["scores"], rtol=1e-5)

    with_plane(repository, body)


def test_a_request_without_rows_is_answered_without_rows(repository: Path) -> None:
    async def body(plane: Plane) -> None:
        answer = await plane.infer(Ask("dense", [Given("x", "FP32", (0, 4))]))
        assert answer.outputs[0].array.shape == (0, 3)

    with_plane(repository, body)


def test_a_bug_is_internal_tells_nothing_and_is_logged(
    repository: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise ZeroDivisionError("secret")

    async def body(plane: Plane) -> None:
        caplog.clear()
        monkeypatch.setattr(Model, "infer", fails)
        with pytest.raises(Internal) as error:
            await plane.infer(Ask("dense", [X]))
        assert error.value.message == UNEXPECTED
        assert error.value.http == 500

    with_plane(repository, body)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


def test_a_message_is_one_line_of_a_bounded_length() -> None:
    message = told(Internal("a\nb" + "c" * 5000)).message
    assert message.startswith("a bcc")
    assert len(message) == 1000


def test_long_lists_of_names_are_cut() -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed([]) == "none"
    assert listed([str(n) for n in range(20)]).endswith("'9', … (20 in all)")


@pytest.mark.parametrize(
    ("config", "timeout"), [({}, 0.05), ({"timeout_ms": 50}, None), ({"timeout_ms": 60_000}, 0.05)]
)
def test_a_request_may_take_as_long_as_it_says_or_else_its_model(
    tmp_path: Path, config: dict[str, Any], timeout: float | None
) -> None:
    dense(tmp_path, queue_delay_ms=60_000, max_batch=32, **config)

    async def body(plane: Plane) -> None:
        with pytest.raises(RequestError) as error:
            await plane.infer(Ask("dense", [X], timeout=timeout))
        assert error.value.code is Code.DEADLINE_EXCEEDED

    with_plane(tmp_path, body)


def test_a_tensor_reaches_the_batcher_uncopied(tmp_path: Path) -> None:
    identity(tmp_path, "picture", TensorProto.FLOAT, ("N", 224, 224, 3))
    given: list[Any] = []

    async def infer(batcher: Batcher, run: object, arrays: Any, **terms: object) -> Any:
        given.extend(arrays)
        return arrays

    async def body(plane: Plane) -> None:
        message = request("picture", {"x": np.ones((1, 224, 224, 3), np.float32)})
        with mock.patch.object(Batcher, "infer", infer):
            await plane.infer(InferRequest.read(message))
        assert np.shares_memory(given[0], np.frombuffer(message, np.uint8))

    with_plane(tmp_path, body)


@pytest.mark.parametrize(
    ("datatype", "raw", "typed", "slow"),
    [
        ("BYTES", 1 << 20, 0, True),
        ("BYTES", 1 << 10, 0, False),
        ("BYTES", None, 1 << 20, True),
        ("FP32", 1 << 20, 0, False),  # a view
        ("FP32", None, 1 << 20, False),  # a view, too
        ("INT64", None, 1 << 20, True),
        ("INT64", None, 1 << 10, False),
    ],
)
def test_what_is_slow_to_decode(datatype: str, raw: int | None, typed: int, slow: bool) -> None:
    sent = None if raw is None else memoryview(bytes(raw))
    assert SentTensor("x", datatype, (1,), sent, memoryview(bytes(typed))).slow == slow


@pytest.mark.parametrize(
    ("datatype", "count", "slow"),
    [("BYTES", 1 << 17, True), ("BYTES", 8, False), ("FP32", 1 << 17, False)],
)
def test_which_answers_are_slow_to_encode(datatype: str, count: int, slow: bool) -> None:
    kind = DATATYPES[datatype]
    output = Output("y", kind, np.zeros(count, kind.dtype))
    question = InferRequest.read(request("dense", {"x": sample()}))
    assert question.slow(Answer("dense", "1", [output])) == slow


@pytest.mark.parametrize(("count", "slow"), [(8, False), (1 << 14, True)])
def test_what_is_slow_is_checked_away_from_the_event_loop(
    tmp_path: Path, count: int, slow: bool
) -> None:
    identity(tmp_path, "words", TensorProto.STRING, ("N",))
    threads: list[threading.Thread] = []

    class Watched(Ask):
        def check(self, outputs: Sequence[Output]) -> None:
            threads.append(threading.current_thread())

    async def body(plane: Plane) -> None:
        words = objects([b"a"] * count)
        await plane.infer(Watched("words", [Given("x", "BYTES", (count,), words)]))
        assert (threads[0] is not threading.current_thread()) == slow

    with_plane(tmp_path, body)


JSON_ANSWERS: list[tuple[dict[str, Any], bytes, str]] = [
    ({}, b"\xff", "output 'y': an element is not UTF-8; ask for binary data"),
    ({}, "ü".encode(), ""),
    ({"parameters": {"binary_data_output": True}}, b"\xff", ""),
    ({"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, b"\xff", ""),
]


@pytest.mark.parametrize(("asked", "element", "message"), JSON_ANSWERS)
def test_what_json_cannot_carry_counts_as_a_failure(
    tmp_path: Path, asked: dict[str, Any], element: bytes, message: str
) -> None:
    dense(tmp_path)
    given = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": sample().tolist()}
    head = rest_schema.InferRequest.model_validate({"inputs": [given], **asked})

    async def infer(*arguments: object) -> list[Output]:
        return [Output("y", BYTES, objects([element]))]

    async def body(plane: Plane) -> None:
        question = InferQuestion.of(("dense", ""), head, memoryview(b""), OFF)
        with mock.patch.object(Model, "infer", infer):
            if not message:
                await plane.infer(question)
                return
            with pytest.raises(InvalidArgument) as refused:
                await plane.infer(question)
            assert refused.value.message == message

    def counted(metrics: Metrics) -> None:
        code = "INVALID_ARGUMENT" if message else "OK"
        labels = {"model": "dense", "version": "1", "code": code}
        assert metrics.registry.get_sample_value("cortex_requests_total", labels) == 1

    with_plane(tmp_path, body, counted)


@pytest.mark.parametrize("slow", [False, True])
def test_what_is_slow_is_decoded_away_from_the_event_loop(tmp_path: Path, slow: bool) -> None:
    dense(tmp_path)
    threads: list[threading.Thread] = []

    class Watched(Given):
        def array(self, datatype: Datatype, what: str) -> Any:
            threads.append(threading.current_thread())
            return super().array(datatype, what)

    async def body(plane: Plane) -> None:
        await plane.infer(Ask("dense", [Watched("x", "FP32", (2, 4), slow=slow)]))
        assert (threads[0] is not threading.current_thread()) == slow

    with_plane(tmp_path, body)
