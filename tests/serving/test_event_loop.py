"""Which event loop the server runs on."""

from __future__ import annotations

import asyncio
import sys

import pytest

from cortex.serving.event_loop import event_loop


def test_it_is_uvloop_where_that_is_installed() -> None:
    loop = event_loop()()
    loop.close()
    assert type(loop).__module__.startswith("uvloop")


def test_it_is_that_of_asyncio_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop() is asyncio.new_event_loop
