"""Answers kept for requests that come again, byte for byte; only for models that ask for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import TypeAlias
from weakref import ref

import numpy as np

from .datatypes import BYTES
from .engine.session import TensorSpec
from .model import Model, Output
from .tensors import Array, encode

OVERHEAD = 1024  # bytes that an entry takes beside its elements, roughly
STRING = 64  # and a string beside its characters
LONG = 1 << 20  # bytes whose digest would hold up the event loop

Key: TypeAlias = tuple[ref[Model], tuple[str, ...], bytes]


class Cache:
    """The answers used last, of all models together, in about ``limit`` bytes.

    An answer is found by the model that gave it, the outputs asked for in their order, and a digest
    of the inputs (BLAKE2b). By the model as it was loaded: once loaded again, it shares nothing
    with what it was before. Used on the event loop alone.
    """

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._kept: OrderedDict[Key, tuple[list[Output], int]] = OrderedDict()

    async def answer(
        self,
        model: Model,
        inputs: Mapping[str, Array],
        wanted: Sequence[str],
        compute: Callable[[], Awaitable[list[Output]]],
    ) -> list[Output]:
        """The answer to these inputs, kept or else from ``compute``; hits and misses are counted.

        The arrays of a kept answer are read-only.
        """
        began = perf_counter_ns()
        key = (ref(model), tuple(wanted), await _digest(model.inputs, inputs))
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            model.statistics.cache_hit.add(perf_counter_ns() - began)
            return kept[0]
        spent = perf_counter_ns() - began
        outputs = await compute()
        began = perf_counter_ns()
        self._keep(key, outputs)
        model.statistics.cache_miss.add(spent + perf_counter_ns() - began)
        return outputs

    def _keep(self, key: Key, outputs: Sequence[Output]) -> None:
        size = OVERHEAD + sum(map(_size, outputs))
        if size > self._limit or key in self._kept:
            return
        self._kept[key] = [_copied(output) for output in outputs], size
        self.size += size
        while self.size > self._limit:
            _, (_, freed) = self._kept.popitem(last=False)
            self.size -= freed


async def _digest(specs: Sequence[TensorSpec], inputs: Mapping[str, Array]) -> bytes:
    if sum(array.nbytes for array in inputs.values()) > LONG:
        return await asyncio.to_thread(_digest_now, specs, inputs)
    return _digest_now(specs, inputs)


def _digest_now(specs: Sequence[TensorSpec], inputs: Mapping[str, Array]) -> bytes:
    found = hashlib.blake2b(digest_size=32)
    for spec in specs:
        array = inputs[spec.name]
        found.update(repr((spec.name, spec.datatype.name, array.shape)).encode())
        found.update(encode(array, spec.datatype))
    return found.digest()


def _size(output: Output) -> int:
    if output.datatype is not BYTES:
        return output.array.nbytes
    return sum(STRING + len(item) for item in output.array.reshape(-1))


def _copied(output: Output) -> Output:
    """Of its own memory: what was computed is often part of a batch, which it would keep whole."""
    array = np.array(output.array)
    array.flags.writeable = False
    return Output(output.name, output.datatype, array)
