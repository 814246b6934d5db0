"""Requests on a stream: in order, errors in their place, nothing left when the client leaves."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_aio

from cortex.serving.pb import open_inference_extensions_pb2 as extensions
from cortex.serving.rpc.protocol import path
from cortex.serving.rpc.stream import MOST, in_order
from cortex.serving.server import Server, serving

from .repositories import dense, expected, sample
from .running import anywhere
from .test_grpc import ROW, tensor, triton_client

STREAM = path("ModelStreamInfer")


async def requests(*messages: bytes) -> AsyncGenerator[bytes]:
    """A stream that ends."""
    for message in messages:
        yield message


def test_answers_come_in_the_order_of_the_requests() -> None:
    async def main() -> None:
        events = [asyncio.Event() for _ in range(4)]

        async def answer(message: bytes) -> bytes:
            await events[int(message)].wait()
            if int(message):
                events[int(message) - 1].set()
            return message

        events[3].set()  # each waits for the one behind it: they run side by side
        found = [each async for each in in_order(requests(b"0", b"1", b"2", b"3"), answer)]
        assert found == [b"0", b"1", b"2", b"3"]

    asyncio.run(main())


def test_a_stream_is_not_read_further_than_its_answers_are() -> None:
    read = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b""

    async def answer(message: bytes) -> bytes:
        return message

    async def main() -> None:
        async with aclosing(in_order(endless(), answer)) as answers:
            await anext(answers)
            for _ in range(5 * MOST):
                await asyncio.sleep(0)
            assert MOST <= read <= MOST + 1

    asyncio.run(main())


def test_whoever_leaves_ends_what_was_begun() -> None:
    ended: list[bytes] = []

    async def answer(message: bytes) -> bytes:
        try:
            await asyncio.sleep(0 if message == b"0" else 3600)
        finally:
            ended.append(message)
        return message

    async def main() -> None:
        async with aclosing(in_order(requests(b"0", b"1", b"2"), answer)) as answers:
            assert await anext(answers) == b"0"
        assert sorted(ended) == [b"0", b"1", b"2"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_an_error_of_the_stream_itself_comes_behind_the_answers() -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"0"
        raise ConnectionError("gone")

    async def answer(message: bytes) -> bytes:
        return message

    async def main() -> None:
        answers = in_order(broken(), answer)
        assert await anext(answers) == b"0"
        with pytest.raises(ConnectionError, match="gone"):
            await anext(answers)

    asyncio.run(main())


def test_a_stream_of_tritonclient(server: Server) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def told(result: Any, error: Any) -> None:
        answers.put((result, error))

    with triton_client(server) as client:
        client.start_stream(callback=told)
        for n in range(50):
            name = "nope" if n == 7 else "dense"
            x = [tensor("x", sample(1 + n % 3, seed=n))]
            client.async_stream_infer(name, x, request_id=str(n), enable_empty_final_response=True)
        for n in range(50):
            result, error = answers.get(timeout=20)
            if n == 7:
                assert "model 'nope' is not here" in error.message()
                continue
            response = result.get_response()
            assert response.id == str(n)
            assert response.parameters["triton_final_response"].bool_param
            right = expected(sample(1 + n % 3, seed=n))["probabilities"]
            np.testing.assert_allclose(result.as_numpy("probabilities"), right, 1e-4)
        client.stop_stream()


def test_a_stream_of_tritonclients_aio(server: Server) -> None:
    async def given() -> AsyncGenerator[Any]:
        for n in range(20):
            yield {"model_name": "dense", "inputs": [tensor("x", sample(seed=n))]}

    async def main() -> None:
        async with triton_aio.InferenceServerClient(str(server.grpc)) as client:
            n, found = 0, cast("Any", client.stream_infer(given()))
            async for result, error in found:
                assert error is None
                right = expected(sample(seed=n))["probabilities"]
                np.testing.assert_allclose(result.as_numpy("probabilities"), right, 1e-4)
                n += 1
            assert n == 20

    asyncio.run(main())


def test_what_is_no_request_is_told_and_the_stream_goes_on(server: Server) -> None:
    with grpc.insecure_channel(str(server.grpc)) as channel:
        ask: Any = channel.stream_stream(STREAM)
        found = [
            extensions.ModelStreamInferResponse.FromString(each)
            for each in ask(iter([ROW, b"\xff", ROW]), timeout=20)
        ]
    errors = [each.error_message for each in found]
    assert errors == ["", "no protobuf message: a number is cut short", ""]


def test_a_stream_that_is_cancelled_leaves_nothing_waiting(tmp_path: Path) -> None:
    dense(tmp_path, queue_delay_ms=60_000)

    async def main() -> None:
        async with (
            asyncio.timeout(20),
            serving(anywhere(tmp_path)) as server,
            grpc.aio.insecure_channel(str(server.grpc)) as channel,
        ):
            stream: Any = channel.stream_stream(STREAM)()
            for _ in range(3):
                await stream.write(ROW)
            await until(server, waiting=3)
            stream.cancel()
            await until(server, waiting=0)

    async def until(server: Server, waiting: int) -> None:
        line = f'cortex_queue_requests{{model="dense",version="1"}} {waiting}'
        async with httpx.AsyncClient() as http:
            while line not in (await http.get(f"http://{server.metrics}/metrics")).text:
                await asyncio.sleep(0.01)

    asyncio.run(main())
