"""Strings: put into small letters, rid of characters, and taken apart.

They are what TensorFlow's string operations compute: only ASCII has small letters and white space.
On every device strings are NumPy arrays of objects; there are no gradients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ..frame import Array, Frame
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import STRING, Tensor
from .views import sizes

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Lower", "RemoveCharacters", "SplitText"]

Separation = Literal["whitespace", "character"]
"""What a string is taken apart into: words, or single characters."""

WHITESPACE = re.compile("[ \\t\\n\\v\\f\\r]+")
SEPARATORS: Mapping[Separation, str] = {"whitespace": "[ \\t\\n\\v\\f\\r]", "character": ""}
"""What onnxruntime's Tokenizer separates at; at the empty string, it separates all characters."""
SMALL = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}
"""The small letters of ASCII, for ``str.translate``."""


def check_strings(x: Tensor) -> None:
    """Raises ValueError if they are none."""
    if x.dtype != STRING:
        raise ValueError(f"needs strings, given are elements of {x.dtype}")


def pieces(text: str, by: Separation) -> Sequence[str]:
    """The words of a text, or its characters."""
    if by == "character":
        return text
    return [word for word in WHITESPACE.split(text) if word]


def each(x: Array, y: Array, change: Callable[[str], str]) -> Step:
    """A step that writes what ``change`` makes of every string of x into y."""
    flat = y.reshape(-1)

    def write() -> None:
        for i, text in enumerate(x.flat):
            flat[i] = change(text)

    return write


def separated(tape: Tape, x: Value, separator: str, least: int) -> Value:
    """Emits the parts of strings (N,) between what matches a regular expression: (N, M).

    "" fills up rows to the longest, and M is at least ``least``. Tokenizer is onnxruntime's own:
    the standard StringSplit takes spaces for the only white space.
    """
    parts = tape.op(
        "Tokenizer",
        [x],
        rank=2,
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value="",
        separators=[separator],
    )
    shape = tape.op("Concat", [sizes(tape, x, 0, 1), tape.constant([least])], axis=0)
    blank = tape.op("Expand", [tape.constant("", object), shape], rank=2)
    return tape.op("Concat", [parts, blank], axis=1)


def as_list(tape: Tape, x: Value) -> Value:
    """Emits the elements with a single axis, which is what onnxruntime's operators take."""
    return x if x.rank == 1 else tape.op("Reshape", [x, tape.constant([-1])], rank=1)


def as_before(tape: Tape, y: Value, x: Value) -> Value:
    """Emits a list of elements in the shape of x."""
    if x.rank == 1:
        return y
    return tape.op("Reshape", [y, sizes(tape, x, 0, None)], rank=x.rank)


@operation("lower", any_dtype=True, strings=True)
class Lower(Operation):
    """The letters A to Z made small; others stay as they are."""

    def infer(self, x: Tensor) -> Tensor:
        check_strings(x)
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        return each(at.x[0], at.y[0], lambda text: text.translate(SMALL)), None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        # Another locale would have other small letters, and need not be installed.
        y = tape.op(
            "StringNormalizer",
            [as_list(tape, x)],
            case_change_action="LOWER",
            is_case_sensitive=1,
            locale="C",
        )
        return as_before(tape, y, x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [(cls(), [Tensor(shape, STRING)]) for shape in (("N",), ("N", 2), ("N", "T", 1))]


@operation("remove_characters", any_dtype=True, strings=True)
class RemoveCharacters(Operation):
    """The strings without these characters."""

    characters: str

    def infer(self, x: Tensor) -> Tensor:
        check_strings(x)
        if not self.characters:
            raise ValueError("no characters to remove")
        return x

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        table = dict.fromkeys(map(ord, self.characters))
        return each(at.x[0], at.y[0], lambda text: text.translate(table)), None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        listed = as_list(tape, x)
        among = "".join(f"\\x{{{ord(character):x}}}" for character in self.characters)
        parts = separated(tape, listed, f"[{among}]", 1)
        blank = tape.op("Expand", [tape.constant("", object), sizes(tape, listed, 0, 1)], rank=1)

        def emit(inside: Sequence[Value]) -> Sequence[Value]:
            # StringConcat adds to what its output holds, which in a Scan is the step before last:
            # its output must be one that the Scan does not keep.
            return [tape.op("Concat", [tape.op("StringConcat", inside)], axis=0)]

        body = tape.graph([(blank, STRING), (blank, STRING)], emit, STRING)
        joined = tape.op("Scan", [blank, parts], body=body, num_scan_inputs=1, scan_input_axes=[1])
        return as_before(tape, joined, x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        shapes = (("N",), ("N", 2), ("N", "T", 1))
        return [(cls(c), [Tensor(shape, STRING)]) for c in ("!", "],^-\\") for shape in shapes]


@operation("split_text", any_dtype=True, strings=True)
class SplitText(Operation):
    """The first ``length`` words, or characters, of each string; "" where there are fewer.

    Input: (...). Output: (..., length).
    """

    length: int
    by: Separation = "whitespace"

    def infer(self, x: Tensor) -> Tensor:
        check_strings(x)
        if self.length < 1:
            raise ValueError(f"a length of {self.length} leaves nothing")
        return Tensor((*x.shape, self.length), STRING)

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, rows = at.x[0], at.y[0].reshape(-1, self.length)

        def forward() -> None:
            rows.fill("")
            for i, text in enumerate(x.flat):
                for j, piece in enumerate(pieces(text, self.by)[: self.length]):
                    rows[i, j] = piece

        return forward, None

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        parts = separated(tape, as_list(tape, x), SEPARATORS[self.by], self.length)
        bounds = [tape.constant([n]) for n in (0, self.length, 1)]
        rows = tape.op("Slice", [parts, *bounds])
        if x.rank == 1:
            return rows
        shape = [sizes(tape, x, 0, None), tape.constant([self.length])]
        return tape.op("Reshape", [rows, tape.op("Concat", shape, axis=0)], rank=x.rank + 1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [
            (cls(3), [Tensor(("N",), STRING)]),
            (cls(1), [Tensor(("N", 2), STRING)]),
            (cls(9, "character"), [Tensor(("N", "T"), STRING)]),
        ]
