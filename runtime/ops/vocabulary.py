"""Words turned into numbers, numbers into words, and the words of texts counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..device import to_numpy
from ..frame import Frame
from ..op import Example, Operation, Steps, operation
from ..tensor import STRING, Tensor
from .indexing import check_ids
from .lookup import TokenCounts
from .strings import SEPARATORS, Separation, as_list, check_strings, pieces, separated
from .views import sizes

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["CountWords", "LookupText", "TextOf"]

ML = "ai.onnx.ml"


def check_table(keys: Sequence[int | str], values: Sequence[int | str], default: int | str) -> None:
    """Raises ValueError if keys and values are no table, or a text is none in UTF-8."""
    if not keys or len(keys) != len(values):
        raise ValueError(f"{len(keys)} keys for {len(values)} values")
    if len(set(keys)) < len(keys):
        raise ValueError("a key has two values")
    for text in (*keys, *values, default):
        try:
            str(text).encode()
        except UnicodeEncodeError:
            raise ValueError(f"{text!r} is no text in UTF-8") from None


@operation("lookup_text", any_dtype=True, strings=True)
class LookupText(Operation):
    """The value of each string in a table of keys and values, int64; else ``default``."""

    keys: tuple[str, ...]
    values: tuple[int, ...]
    default: int

    def infer(self, x: Tensor) -> Tensor:
        check_strings(x)
        check_table(self.keys, self.values, self.default)
        return Tensor(x.shape, "int64")

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y, table = at.x[0], at.y[0], dict(zip(self.keys, self.values, strict=True))
        found = np.empty(y.shape, np.int64)
        flat = found.reshape(-1)

        def forward() -> None:
            for i, text in enumerate(x.flat):
                flat[i] = table.get(text, self.default)
            y[...] = found

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op(
            "LabelEncoder",
            [x],
            domain=ML,
            keys_strings=self.keys,
            values_int64s=self.values,
            default_int64=self.default,
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(("a", "b", ""), (5, -7, 2), 1), [Tensor(("N", 4), STRING)]),
            (cls(("Été",), (3,), -1), [Tensor(("N", "T", 2), STRING)]),
        ]


@operation("text_of", any_dtype=True)
class TextOf(Operation):
    """The string of each whole number in a table of keys and values; else ``default``."""

    keys: tuple[int, ...]
    values: tuple[str, ...]
    default: str

    def infer(self, x: Tensor) -> Tensor:
        check_ids(x)
        check_table(self.keys, self.values, self.default)
        return Tensor(x.shape, STRING)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, flat = at.x[0], at.y[0].reshape(-1)
        table = dict(zip(self.keys, self.values, strict=True))

        def forward() -> None:
            for i, number in enumerate(to_numpy(x).flat):
                flat[i] = table.get(int(number), self.default)

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        return tape.op(
            "LabelEncoder",
            [tape.cast(tape.last(x), "int64")],
            domain=ML,
            keys_int64s=self.keys,
            values_strings=self.values,
            default_string=self.default,
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls((1, 0), ("a", "Été"), "?"), [Tensor(("N", 4), "int64")]),
            (cls((2,), ("",), "?"), [Tensor(("N", "T"), "int32")]),
            (cls((1, -1), ("a", "b"), ""), [Tensor(("N", 2, 3))]),
        ]


@operation("count_words", any_dtype=True, strings=True)
class CountWords(Operation):
    """How often each word is in a text, or ``whether`` it is: word number i at i.

    A word has the number it has in a table of keys and values, else ``default``; those with a
    number outside of the range from 0 to ``depth`` are not counted. Input: (...). Output: (...,
    depth).
    """

    keys: tuple[str, ...]
    values: tuple[int, ...]
    default: int
    depth: int
    whether: bool = False
    by: Separation = "whitespace"

    def infer(self, x: Tensor) -> Tensor:
        check_strings(x)
        check_table(self.keys, self.values, self.default)
        if self.depth < 1:
            raise ValueError(f"a depth of {self.depth} leaves nothing")
        return Tensor((*x.shape, self.depth))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y, table = at.x[0], at.y[0], dict(zip(self.keys, self.values, strict=True))
        counts = np.empty((prod(x.shape), self.depth), y.dtype)

        def forward() -> None:
            counts.fill(0)
            for row, text in zip(counts, x.flat, strict=True):
                for word in pieces(text, self.by):
                    number = table.get(word, self.default)
                    if 0 <= number < self.depth:
                        row[number] = 1 if self.whether else row[number] + 1
            y[...] = counts.reshape(y.shape)

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        words = separated(tape, as_list(tape, x), SEPARATORS[self.by], 1)
        numbers = dict(zip(self.keys, self.values, strict=True))
        numbers[""] = -1  # what fills up rows is no word
        lookup = LookupText(tuple(numbers), tuple(numbers.values()), self.default)
        ids = lookup.onnx(tape, p, words)
        counts = TokenCounts(self.depth, self.whether).onnx(tape, p, ids)
        if x.rank == 1:
            return counts
        shape = [sizes(tape, x, 0, None), tape.constant([self.depth])]
        return tape.op("Reshape", [counts, tape.op("Concat", shape, axis=0)], rank=x.rank + 1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        table = (("a", "b"), (1, 2), 0)
        return [
            (cls(*table, 3), [Tensor(("N",), STRING)]),
            (cls(*table, 2, True), [Tensor(("N", 1), STRING)]),
            (cls(("a", ""), (0, 1), -1, 2, by="character"), [Tensor(("N", "T"), STRING)]),
        ]
