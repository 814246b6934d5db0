"""The store of programs for layers: shared, bounded, and built again after a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from cortex.serving.engine.layers import MOST, LayerPrograms


class Maker:
    """Makes stand-ins for programs, once its gate is open."""

    def __init__(self) -> None:
        self.made: list[tuple[str, ...]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def __call__(self, names: Sequence[str]) -> Any:
        assert self.gate.wait(20)
        self.made.append(tuple(names))
        if self.fails:
            raise MemoryError
        return names


def test_requests_for_the_same_layers_share_one_program() -> None:
    make = Maker()
    make.gate.clear()

    async def main() -> None:
        programs = LayerPrograms(make)
        first = asyncio.create_task(programs.get(("a",)))
        second = asyncio.create_task(programs.get(("a",)))
        await asyncio.sleep(0)
        first.cancel()  # who leaves does not end it for the other
        make.gate.set()
        assert await second == ("a",)
        assert await programs.get(("a",)) == ("a",)

    asyncio.run(main())
    assert make.made == [("a",)]


def test_only_the_latest_are_kept() -> None:
    make = Maker()

    async def main() -> None:
        programs = LayerPrograms(make)
        for n in range(MOST):
            await programs.get((str(n),))
        await programs.get(("0",))  # now the latest
        await programs.get(("new",))  # pushes "1" out
        make.made.clear()
        await programs.get(("0",))
        await programs.get(("1",))

    asyncio.run(main())
    assert make.made == [("1",)]


def test_a_program_that_could_not_be_made_is_tried_again() -> None:
    make = Maker()
    make.fails = True

    async def main() -> None:
        programs = LayerPrograms(make)
        with pytest.raises(MemoryError):
            await programs.get(("a",))
        make.fails = False
        assert await programs.get(("a",)) == ("a",)

    asyncio.run(main())
