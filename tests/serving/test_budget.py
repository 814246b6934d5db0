"""A bound on memory: who sleeps, who wakes, and that nobody who asks is turned away."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from cortex.serving.errors import Unavailable
from cortex.serving.model import OpenModel
from cortex.serving.models import Models

from .adders import X, adder
from .test_watch import added, serve, told

MIB = 1 << 20
NAMES = "abcde"


def five(root: Path) -> None:
    """Five models, of which two fit into a MiB; each adds another number."""
    for number, name in enumerate(NAMES, 1):
        adder(root, name, version=number, padding=MIB * 2 // 5, queue_delay_ms=1.0)


def awake(models: Models) -> set[str]:
    """The models that are in memory."""
    return {at.name for at in models.index() if not at.reason}


def test_whoever_was_asked_longest_ago_makes_way(tmp_path: Path) -> None:
    five(tmp_path)

    async def body(models: Models, plane: object) -> None:
        assert all(models.states().values())
        assert models.sound
        assert len(awake(models)) == 2
        for wanted in ("a", "b"):
            await models.get(wanted)
        assert awake(models) == {"a", "b"}
        await models.get("a")
        await models.get("c")
        assert awake(models) == {"a", "c"}
        (asleep,) = [at for at in models.index() if at.name == "b"]
        assert asleep.state == "READY"
        assert asleep.reason == "asleep to keep the memory budget; the next request wakes it"
        assert models.is_ready("b")

    serve(tmp_path, body, memory_budget_mb=1)


def test_every_request_is_answered_right_while_models_make_way(tmp_path: Path) -> None:
    five(tmp_path)

    async def caller(models: Models, start: int) -> None:
        for turn in range(15):
            number = (start + turn) % 5
            model = await models.get(NAMES[number])
            model.users += 1
            try:
                (output,) = await model.infer({"x": X}, (), None)
                assert np.array_equal(output.array, X + number + 1)
            finally:
                model.users -= 1

    async def body(models: Models, plane: object) -> None:
        await asyncio.gather(*(caller(models, start) for start in range(10)))
        assert len(awake(models)) <= 2

    serve(tmp_path, body, memory_budget_mb=1)


def test_requests_share_one_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    five(tmp_path)
    opened: list[str] = []
    really = OpenModel.open

    def counting(version: object, engines: object = None) -> OpenModel:
        opened.append(version.name)  # type: ignore[attr-defined]
        return really(version, engines)  # type: ignore[arg-type]

    async def body(models: Models, plane: object) -> None:
        await models.get("a")
        await models.get("b")
        monkeypatch.setattr(OpenModel, "open", counting)
        calls = [asyncio.create_task(models.get("c")) for _ in range(20)]
        await asyncio.sleep(0)
        calls[0].cancel()  # who leaves does not end it for the others
        found = await asyncio.gather(*calls[1:])
        assert len(set(found)) == 1
        assert opened == ["c"]

    serve(tmp_path, body, memory_budget_mb=1)


def test_counts_outlive_sleep(tmp_path: Path) -> None:
    five(tmp_path)

    async def body(models: Models, plane: object) -> None:
        first = (await models.get("a")).statistics
        for name in "bcd":
            await models.get(name)
        assert "a" not in awake(models)
        assert first.ready
        assert first.waiting() == 0
        assert (await models.get("a")).statistics is first

    serve(tmp_path, body, memory_budget_mb=1)


def test_what_does_not_wake_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    five(tmp_path)

    async def body(models: Models, plane: object) -> None:
        await models.get("a")
        await models.get("b")
        (tmp_path / "c" / "3" / "model.onnx").write_bytes(b"no model")
        with pytest.raises(Unavailable, match="model 'c': no version of it is ready"):
            await models.get("c")
        assert told(models, "c") == {"3": "UNAVAILABLE"}
        await models.get("d")

    serve(tmp_path, body, memory_budget_mb=1, model_control="none")
    (error,) = [at for at in caplog.records if at.levelno >= logging.ERROR]
    assert "/c/3: not ready: " in error.getMessage()


def test_a_sleeping_model_may_be_removed_or_replaced(tmp_path: Path) -> None:
    five(tmp_path)

    async def body(models: Models, plane: object) -> None:
        await models.get("a")
        await models.get("b")
        shutil.rmtree(tmp_path / "c")
        adder(tmp_path, "d", padding=MIB * 2 // 5)
        async with asyncio.timeout(10):
            while told(models, "c") or told(models, "d") != {"5": "READY"}:
                await asyncio.sleep(0.01)
        assert await added(models, "d") == 5

    serve(tmp_path, body, memory_budget_mb=1)


def test_what_never_fits_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    adder(tmp_path, padding=MIB)

    async def body(models: Models, plane: object) -> None:
        assert told(models) == {"1": "UNAVAILABLE"}

    serve(tmp_path, body, memory_budget_mb=1)
    assert "it takes 1.0 MB, more than --memory-budget-mb allows for all" in caplog.text
