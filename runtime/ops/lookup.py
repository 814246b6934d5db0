"""Numbers turned into the numbers of categories, and categories into counts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Tensor
from .indexing import check_ids, clipping

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Discretize", "Lookup", "TokenCounts"]


class Ranks:
    """How many of some numbers, which ascend, are not above each element: a binary search.

    So many steps are always made as halve the table to nothing: what a step does is the same for
    every element, with no table of elements by numbers.
    """

    def __init__(self, ascending: NDArray[Any]) -> None:
        self._count, self._dtype = len(ascending), ascending.dtype
        bits = self._count.bit_length()
        self._strides = [1 << bit for bit in reversed(range(bits))]
        self._table = np.full(1 << bits, ascending[-1])
        self._table[: self._count] = ascending

    def bind(self, at: Frame, x: Array, y: Array) -> Step:
        """A step that writes them; x has the dtype of the numbers, y is int64."""
        xp = at.xp
        table = at.hold(self._table.shape, self._dtype, xp.asarray(self._table))
        tried, reached = at.scratch(x.shape, "int64"), at.scratch(x.shape, bool)
        found = at.scratch(x.shape, self._dtype)

        def write() -> None:
            y.fill(0)
            for stride in self._strides:
                xp.add(y, stride - 1, out=tried)
                xp.take(table, tried, out=found, **clipping(xp))
                xp.less_equal(found, x, out=reached)
                xp.multiply(reached, stride, out=tried)
                xp.add(y, tried, out=y)
            xp.minimum(y, self._count, out=y)  # the table repeats its last number

        return write

    def onnx(self, tape: Tape, x: Value) -> Value:
        """Emits the same."""
        table, rank = tape.constant(self._table, self._dtype), tape.constant(0)
        for stride in self._strides:
            tried = tape.op("Add", [rank, tape.constant(stride - 1)], rank=rank.rank)
            found = tape.op("Gather", [table, tried], rank=rank.rank)
            reached = tape.op("LessOrEqual", [found, x], rank=x.rank)
            taken = tape.op("Mul", [tape.cast(reached, "int64"), tape.constant(stride)])
            rank = tape.op("Add", [taken, rank])
        return tape.op("Min", [rank, tape.constant(self._count)])


@operation("discretize", any_dtype=True)
class Discretize(Operation):
    """The number of the bin an element falls into, int64: how many boundaries it reaches.

    Boundaries ascend. Elements are compared with them as float32, the type that the sources
    compute in.
    """

    boundaries: tuple[float, ...]

    def infer(self, x: Tensor) -> Tensor:
        check_ids(x)
        if not self.boundaries or not np.all(np.diff(self.boundaries) >= 0):
            raise ValueError("boundaries of bins must ascend, and there must be some")
        return Tensor(x.shape, "int64")

    @property
    def _ranks(self) -> Ranks:
        return Ranks(np.asarray(self.boundaries, np.float32))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y = at.x[0], at.y[0]
        single = at.scratch(x.shape, "float32")
        search = self._ranks.bind(at, single, y)

        def forward() -> None:
            at.xp.copyto(single, x, casting="same_kind")
            search()

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return self._ranks.onnx(tape, tape.cast(tape.last(x), "float"))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((0.0,)), [Tensor(("N", 3))]),
            (cls((-0.5, 0.1, 0.2, 0.7)), [Tensor(("N", "T", 2))]),
            (cls((1.0, 1.0, 2.0)), [Tensor(("N", 4), "int32")]),
        ]


@operation("lookup", any_dtype=True)
class Lookup(Operation):
    """The value of each whole number in a table of keys and values, int64; else ``default``."""

    keys: tuple[int, ...]
    values: tuple[int, ...]
    default: int

    def infer(self, x: Tensor) -> Tensor:
        check_ids(x)
        if not self.keys or len(self.keys) != len(self.values):
            raise ValueError(f"{len(self.keys)} keys for {len(self.values)} values")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("a key has two values")
        return Tensor(x.shape, "int64")

    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        keys, values = np.asarray(self.keys, np.int64), np.asarray(self.values, np.int64)
        order = np.argsort(keys)
        return keys[order], values[order]

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        ascending = self._sorted()
        keys, values = (at.hold(a.shape, "int64", xp.asarray(a)) for a in ascending)
        ids, places, found = (at.scratch(x.shape, "int64") for _ in range(3))
        missing, default = at.scratch(x.shape, bool), at.hold((), "int64", self.default)
        search = Ranks(ascending[0]).bind(at, ids, places)

        def forward() -> None:
            xp.copyto(ids, x, casting="unsafe")
            search()
            xp.subtract(places, 1, out=places)
            xp.maximum(places, 0, out=places)
            xp.take(keys, places, out=found, **clipping(xp))
            xp.not_equal(found, ids, out=missing)
            xp.take(values, places, out=y, **clipping(xp))
            xp.copyto(y, default, where=missing)

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        keys, values = self._sorted()
        ids = tape.cast(tape.last(x), "int64")
        places = tape.op("Sub", [Ranks(keys).onnx(tape, ids), tape.constant(1)])
        places = tape.op("Max", [places, tape.constant(0)])
        found, value = (
            tape.op("Gather", [tape.constant(table), places], rank=x.rank, layout="last")
            for table in (keys, values)
        )
        known = tape.op("Equal", [found, ids])
        return tape.op("Where", [known, value, tape.constant(self.default)])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((2, 0), (5, -7), 1), [Tensor(("N", 4), "int32")]),
            (cls((1,), (3,), -1), [Tensor(("N", "T"), "int64")]),
            (cls((0, 7, 1, -1), (4, 3, 2, 1), 9), [Tensor(("N", 2, 3))]),
        ]


@operation("token_counts", any_dtype=True)
class TokenCounts(Operation):
    """How often each number below ``depth`` is among the last axis' elements, or ``whether`` it is.

    Inputs: ids (..., T), whole numbers, and optionally the weight of each, floats of that shape.
    Numbers outside of the range are not counted. Output: (..., depth).
    """

    depth: int
    whether: bool = False

    def infer(self, ids: Tensor, weights: Tensor | None = None) -> Tensor:
        check_ids(ids)
        if ids.rank < 2 or self.depth < 1:
            raise ValueError(f"needs an axis after the batch, and a depth above 0: {self.depth}")
        if weights is not None and (weights.dtype != "float" or weights.shape != ids.shape):
            raise ValueError(f"weights are floats of the shape {ids.shape}, not {weights.shape}")
        if weights is not None and self.whether:
            raise ValueError("weights are for counts")
        return Tensor((*ids.shape[:-1], self.depth))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, x, y = at.xp, at.x[0], at.y[0]
        weights = at.x[1] if len(at.x) > 1 else None
        shape = (prod(x.shape[:-1]), x.shape[-1])
        places, outside = at.keep(shape, "int64"), at.keep(shape, bool)
        counts = at.scratch((shape[0], self.depth + 1))
        width = self.depth + 1  # the last one is for those that do not count
        rows = at.hold((shape[0], 1), "int64", xp.arange(shape[0]).reshape(-1, 1) * width)
        ids, flat, last = x.reshape(shape), counts.reshape(-1), places.reshape(-1)
        given: Any = 1 if weights is None else weights.reshape(-1)
        above = at.scratch(shape, bool)

        def forward() -> None:
            xp.copyto(places, ids, casting="unsafe")
            xp.less(places, 0, out=outside)
            xp.greater_equal(places, self.depth, out=above)
            xp.logical_or(outside, above, out=outside)
            xp.copyto(places, self.depth, where=outside)
            xp.add(places, rows, out=places)
            counts.fill(0)
            xp.add.at(flat, last, given)
            xp.copyto(y.reshape(-1, self.depth), counts[:, : self.depth])
            if self.whether:
                xp.minimum(y, 1, out=y)

        if not at.grads:
            return forward, None
        dx, dweights = at.dx[0], at.dx[1] if weights is not None else None
        slopes = at.scratch(counts.shape)

        def backward() -> None:
            if dx is not None:  # numbers given as floats: no slope
                dx.fill(0)
            if dweights is not None:
                slopes.fill(0)
                xp.copyto(slopes[:, : self.depth], at.dy[0].reshape(-1, self.depth))
                xp.take(slopes.reshape(-1), last, out=dweights.reshape(-1), **clipping(xp))

        return forward, backward

    def onnx(
        self, tape: Tape, p: Mapping[str, Value], x: Value, weights: Value | None = None
    ) -> Value:
        ids, last = tape.cast(tape.last(x), "int64"), tape.constant([self.depth + 1])
        within = [
            tape.op("GreaterOrEqual", [ids, tape.constant(0)]),
            tape.op("Less", [ids, tape.constant(self.depth)]),
        ]
        counted = tape.op("And", within)
        places = tape.op("Where", [counted, ids, tape.constant(self.depth)])
        given = tape.last(weights) if weights else tape.cast(counted, "float")
        leading = tape.op("Shape", [ids], rank=1, start=0, end=-1)
        shape = tape.op("Concat", [leading, last], axis=0)
        zeros = tape.op("Expand", [tape.constant(0.0), shape], rank=x.rank)
        kind = None if self.whether else "add"
        counts = tape.op("ScatterElements", [zeros, places, given], axis=-1, reduction=kind)
        ends = [tape.constant([n]) for n in (0, self.depth, -1)]
        return tape.op("Slice", [counts, *ends])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        ids = Tensor(("N", 4), "int32")
        return [
            (cls(2), [ids]),
            (cls(3, True), [ids]),
            (cls(2), [ids, Tensor(("N", 4))]),
            (cls(4), [Tensor(("N", "T", 3), "int64")]),
            (cls(2), [Tensor(("N", 5)), Tensor(("N", 5))]),
            (cls(2, True), [Tensor(("N", 5))]),
        ]
