"""The equations of contractions, "abc,cd->abd": a letter for each axis."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .tensor import Size

ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class Roles:
    """What the letters of an equation of two operands do, each group in the order of the result.

    A product of matrices has rows from the first operand and columns from the second, for every
    index of ``batch``, and sums over ``inner`` (in the order of the first operand).
    """

    batch: str
    rows: str
    columns: str
    inner: str


@dataclass(frozen=True, slots=True)
class Equation:
    """The letters of each operand's axes and of the result's."""

    operands: tuple[str, ...]
    result: str

    @classmethod
    def of(cls, text: str, ranks: Sequence[int]) -> Equation:
        """Reads an equation for operands of these ranks; "..." becomes letters of its own.

        Raises:
            ValueError: it is no equation, or none for them.
        """
        left, arrow, result = text.replace(" ", "").partition("->")
        operands = left.split(",")
        if not arrow:
            raise ValueError(f"equation {text!r} has no '->'")
        if len(operands) != len(ranks):
            raise ValueError(f"equation {text!r} has {len(operands)} operands, not {len(ranks)}")
        for term in (*operands, result):
            _check_term(term, text)
        for term, rank in zip(operands, ranks, strict=True):
            named = len(term.replace(ELLIPSIS, ""))
            if named > rank or (named < rank and ELLIPSIS not in term):
                raise ValueError(f"equation {text!r}: {term!r} does not fit {rank} axes")
        return _spelled_out(operands, result, ranks)

    def roles(self) -> Roles:
        """Of an equation of two operands, in which no letter stands in one term alone."""
        first, second = self.operands
        kept = self.result
        return Roles(
            batch="".join(c for c in kept if c in first and c in second),
            rows="".join(c for c in kept if c not in second),
            columns="".join(c for c in kept if c not in first),
            inner="".join(c for c in first if c not in kept),
        )

    def sizes(self, shapes: Sequence[Sequence[Size]]) -> Mapping[str, Size]:
        """The size of each letter; where operands differ, a number wins over a name.

        Raises:
            ValueError: a letter has two numbers.
        """
        sizes: dict[str, Size] = {}
        for term, shape in zip(self.operands, shapes, strict=True):
            for letter, size in zip(term, shape, strict=True):
                known = sizes.get(letter, size)
                if isinstance(known, int) and isinstance(size, int) and known != size:
                    raise ValueError(f"equation {self}: {letter!r} is {known} and {size}")
                sizes[letter] = size if isinstance(known, str) and isinstance(size, int) else known
        return sizes

    def gradient(self, i: int) -> Equation:
        """What gives operand i's gradient, of the result's gradient and the other operands."""
        others = self.operands[:i] + self.operands[i + 1 :]
        return Equation((self.result, *others), self.operands[i])

    def __str__(self) -> str:
        return f"{','.join(self.operands)}->{self.result}"


def _check_term(term: str, text: str) -> None:
    letters = term.replace(ELLIPSIS, "", 1)
    if wrong := set(letters) - set(string.ascii_letters):
        raise ValueError(f"equation {text!r}: {min(wrong)!r} is no letter")
    if len(set(letters)) < len(letters):
        raise ValueError(f"equation {text!r}: a letter stands twice in {term!r}")


def _spelled_out(operands: Sequence[str], result: str, ranks: Sequence[int]) -> Equation:
    """The equation without "...", which stands for an operand's last axes of the longest one."""
    unused = [c for c in string.ascii_letters if c not in "".join((*operands, result))]
    hidden = [
        rank - len(term.replace(ELLIPSIS, "")) for term, rank in zip(operands, ranks, strict=True)
    ]
    letters = "".join(unused[: max(hidden)])
    terms = tuple(
        term.replace(ELLIPSIS, letters[len(letters) - count :])
        for term, count in zip(operands, hidden, strict=True)
    )
    equation = Equation(terms, result.replace(ELLIPSIS, letters))
    if unknown := set(equation.result) - set("".join(terms)):
        raise ValueError(f"equation {equation}: no operand has {min(unknown)!r}")
    return equation
