"""A machine that is out of files, memory or threads for a while says nothing against a model."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.runtime.errors import UnreadableFile, Unsupported
from cortex.serving.metrics import Metrics
from cortex.serving.models import Models
from cortex.serving.repository import lacking, served_version

from .adders import adder
from .running import anywhere


def caused(error: Exception) -> Exception:
    """An error of ours that another led to."""
    try:
        try:
            raise error
        except Exception as first:
            raise UnreadableFile(f"model.onnx: not an ONNX model: {first}") from None
    except UnreadableFile as second:
        return second


ERRORS = [
    (OSError(errno.EMFILE, "Too many open files"), True),
    (caused(OSError(errno.ENFILE, "x")), True),
    (caused(MemoryError()), True),
    (Unsupported('open file "w" failed: Too many open files'), True),
    (RuntimeError(f"pthread_create: {os.strerror(errno.EAGAIN)}"), True),
    (OSError(errno.ENOENT, "No such file or directory"), False),
    (caused(ValueError("x")), False),
]


@pytest.mark.parametrize(("error", "passes"), ERRORS)
def test_what_may_pass(error: Exception, passes: bool) -> None:
    assert lacking.lacking(error) == passes


@pytest.mark.parametrize(
    ("failures", "error", "control", "attempts"),
    [
        (2, ERRORS[0][0], "none", 3),  # while it loads
        (5, ERRORS[0][0], "poll", 6),  # and at every later look
        (9, ERRORS[5][0], "poll", 1),  # nothing that would pass
    ],
)
def test_a_load_is_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failures: int,
    error: Exception,
    control: str,
    attempts: int,
) -> None:
    adder(tmp_path)
    real: Callable[..., Any] = served_version.open_proved
    seen: list[int] = []

    def opened(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) <= failures:
            raise error
        return real(*arguments)

    monkeypatch.setattr(served_version, "open_proved", opened)
    monkeypatch.setattr(lacking, "PAUSES", (0.001, 0.001))

    async def main() -> bool:
        settings = anywhere(tmp_path, model_control=control, poll_seconds=0.01)
        async with asyncio.timeout(60), Models(settings, Metrics("0")) as models:
            await models.start()
            for _ in range(40):
                if models.is_ready("adder"):
                    break
                await asyncio.sleep(0.01)
            return models.is_ready("adder")

    assert asyncio.run(main()) == (attempts > failures)
    assert len(seen) == attempts
    assert len([line for line in caplog.messages if ": not ready: " in line]) <= 1
