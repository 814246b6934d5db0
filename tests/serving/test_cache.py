"""Answers that are kept, and when."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.serving import cache as module
from cortex.serving.cache import OVERHEAD, Cache
from cortex.serving.datatypes import DATATYPES
from cortex.serving.engine.session import TensorSpec
from cortex.serving.model import Output
from cortex.serving.statistics import Statistics

from .repositories import dense, expected, sample
from .running import running
from .test_grpc import tensor, triton_client

FP32, BYTES = DATATYPES["FP32"], DATATYPES["BYTES"]


class FakeModel:
    """What the cache sees of a model; answers with twice its input, and counts."""

    inputs = (TensorSpec("x", FP32, ("N",)), TensorSpec("s", BYTES, ("N",)))

    def __init__(self) -> None:
        self.statistics = Statistics("fake", "1")
        self.runs = 0

    async def ask(self, cache: Cache, x: Any, s: Sequence[str] = (), *wanted: str) -> Any:
        """Asks it through the cache."""
        given = {"x": np.array(x, np.float32), "s": np.array(s, object)}

        async def compute() -> list[Output]:
            self.runs += 1
            return [Output("y", FP32, given["x"] * 2), Output("t", BYTES, given["s"])]

        model: Any = self
        return await cache.answer(model, given, wanted, compute)


def test_the_same_bytes_are_computed_once() -> None:
    async def main() -> None:
        cache, model = Cache(1 << 20), FakeModel()
        first = await model.ask(cache, [1, 2], ["a"])
        again = await model.ask(cache, [1, 2], ["a"])
        assert [one.array.tolist() for one in again] == [[2, 4], ["a"]]
        assert [one.array.tolist() for one in first] == [[2, 4], ["a"]]
        assert not again[0].array.flags.writeable
        others: list[Any] = [
            ([1, 3], ["a"]),
            ([[1, 2]], ["a"]),
            ([1, 2], ["b"]),
            ([1, 2], ["a"], "y"),
            ([-0.0], []),
            ([0.0], []),
        ]
        for other in others:
            await model.ask(cache, *other)
        assert model.runs == 1 + len(others)
        assert model.statistics.cache_hit.count == 1
        assert model.statistics.cache_miss.count == model.runs
        assert model.statistics.cache_hit.ns > 0

    asyncio.run(main())


def test_a_model_that_was_loaded_again_starts_anew() -> None:
    async def main() -> None:
        cache = Cache(1 << 20)
        for _ in range(3):
            model = FakeModel()
            await model.ask(cache, [1])
            assert model.runs == 1
            del model  # its place in memory may be the next one's
            gc.collect()

    asyncio.run(main())


def test_the_answers_used_least_lately_make_room() -> None:
    async def main() -> None:
        cache, model = Cache(3 * (OVERHEAD + 4)), FakeModel()
        for x in (1, 2, 3, 1, 4):  # 2 is then the one used longest ago
            await model.ask(cache, [x])
        assert model.runs == 4
        assert cache.size == 3 * (OVERHEAD + 4)
        await model.ask(cache, [1])
        assert model.runs == 4
        await model.ask(cache, [2])
        assert model.runs == 5
        await model.ask(cache, np.zeros(4000))  # too large for all the room
        assert cache.size == 3 * (OVERHEAD + 4)

    asyncio.run(main())


def test_an_error_is_not_kept_and_equal_requests_at_once_do_no_harm() -> None:
    async def main() -> None:
        cache, model = Cache(1 << 20), FakeModel()
        any_model: Any = model
        given = {"x": np.ones(1, np.float32), "s": np.empty(0, object)}

        async def fail() -> list[Output]:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await cache.answer(any_model, given, (), fail)
        assert cache.size == 0
        await asyncio.gather(*(model.ask(cache, [5]) for _ in range(3)))
        assert cache.size == OVERHEAD + 4

    asyncio.run(main())


def test_a_model_that_asks_for_it_answers_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONG", 20)  # two rows are long: their digest is made on a thread
    dense(tmp_path, response_cache=True)
    dense(tmp_path, "plain")
    with running(tmp_path) as server, triton_client(server) as client:
        for name, hits, misses in (("dense", 4, 2), ("plain", 0, 0)):
            for rows in (1, 2, 1, 2, 1, 2):
                given = [tensor("x", sample(rows))]
                found = client.infer(name, given).as_numpy("probabilities")
                right = expected(sample(rows))["probabilities"]
                np.testing.assert_allclose(found, right, 1e-5)
            (told,) = client.get_inference_statistics(name).model_stats
            counted = told.inference_stats
            assert (counted.cache_hit.count, counted.cache_miss.count) == (hits, misses)
            assert counted.success.count == 6
            assert told.inference_count == (3 if hits else 9)
    with running(tmp_path, cache_mb=0) as server, triton_client(server) as client:
        assert client.get_model_config("dense").config.response_cache.enable
