"""What is known of a value before it is computed: shape and dtype, with names where a size is open.

A size that depends on open ones is written in a normal form, so that two ways through a network
that give the same size give the same text: ``ceil(H/2)`` is what any "same" window of stride 2
makes of ``H``, whatever its kernel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Size = int | str
"""A number, or a name for one that is open ("N" is the batch)."""

DTYPES = ("float", "int32", "int64", "bool")
"""The dtypes of numbers."""
STRING = "string"
"""The dtype of text: an array of ``str`` objects, in the host's memory wherever a plan runs."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and dtype of a value; "float" is the plan's own dtype, the others are themselves."""

    shape: tuple[Size, ...]
    dtype: str = "float"

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, of which no size is open."""
        return tuple(int(n) for n in self.shape)


@dataclass(frozen=True, slots=True)
class Param:
    """Shape of a parameter; one that is not trainable is state, which its operation updates.

    A graph refuses a parameter one of whose sizes is open.
    """

    shape: tuple[Size, ...]
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(int(n) for n in self.shape)


Terms = Mapping[tuple[str, ...], int]
"""A polynomial: products of names and ceilings, and their coefficients; () is the constant."""


class Symbol(str):
    """The text of a size that depends on open ones, with the terms it was written from."""

    terms: Terms

    @classmethod
    def of(cls, terms: Terms) -> Size:
        """The size that ``terms`` add up to; a number if nothing in them is open."""
        ordered = {
            factors: terms[factors]
            for factors in sorted(terms, key=lambda factors: (not factors, factors))
            if terms[factors]
        }
        if not any(ordered):
            return ordered.get((), 0)
        signed = "".join(f"{_term(factors, n)}" for factors, n in ordered.items())
        size = cls(signed.removeprefix("+"))
        size.terms = ordered
        return size


class Ceiling(str):
    """The text of ``ceil(over/by)``, as a factor of terms."""

    over: Size
    by: int

    @classmethod
    def of(cls, over: Size, by: int) -> Ceiling:
        """``ceil(over/by)``."""
        factor = cls(f"ceil({over}/{by})" if len(_terms(over)) == 1 else f"ceil(({over})/{by})")
        factor.over, factor.by = over, by
        return factor


def _term(factors: tuple[str, ...], n: int) -> str:
    if not factors:
        return f"{n:+d}"
    return ("-" if n < 0 else "+") + "*".join([*([f"{abs(n)}"] * (abs(n) != 1)), *factors])


def _terms(size: Size) -> Terms:
    if isinstance(size, Symbol):
        return size.terms
    return {(size,): 1} if isinstance(size, str) else {(): size}


def window(size: Size, minus: int, stride: int) -> Size:
    """Number of windows along an axis: ceil((size - minus) / stride).

    ``minus`` is the extent of a window less one, less the padding of both sides; "same" padding
    makes it zero.
    """
    if isinstance(size, int):
        return max(-((minus - size) // stride), 0)
    return _ceiling(total((size, -minus)), stride)


def _ceiling(over: Size, by: int) -> Size:
    """ceil(over/by): what is whole is taken out, a ceiling of a ceiling is made one."""
    terms = dict(_terms(over))
    constant = terms.pop((), 0)
    whole = {factors: n // by for factors, n in terms.items()}
    rest = {factors: n % by for factors, n in terms.items() if n % by}
    common = math.gcd(by, *rest.values())
    rest = {factors: n // common for factors, n in rest.items()}
    by, constant = by // common, -(-constant // common)
    inside = Symbol.of({**rest, (): constant})
    match [(f, n) for f, n in rest.items() if any(isinstance(factor, Ceiling) for factor in f)]:
        case [((Ceiling() as inner,), 1)]:  # ceil((ceil(a/b) + c)/d) = ceil((a + b*c)/(b*d))
            others = total((inside, scaled(inner, -1)))
            last = _ceiling(total((inner.over, scaled(others, inner.by))), inner.by * by)
        case _ if rest:
            outside = -(-constant // by)
            inside = total((inside, -outside * by))
            last = total((Symbol.of({(Ceiling.of(inside, by),): 1}), outside))
        case _:
            last = inside
    return total((Symbol.of(whole), last))


def scaled(size: Size, times: int, plus: int = 0) -> Size:
    """The size ``times * size + plus``."""
    return total((product((size, times)), plus))


def product(sizes: Iterable[Size]) -> Size:
    """The product."""
    terms: Terms = {(): 1}
    for size in sizes:
        multiplied: Counter[tuple[str, ...]] = Counter()
        for factors, n in _terms(size).items():
            for others, m in terms.items():
                multiplied[tuple(sorted(factors + others))] += n * m
        terms = multiplied
    return Symbol.of(terms)


def quotient(size: Size, by: Size) -> Size:
    """The size that times ``by`` gives ``size``.

    Raises:
        ValueError: there is none, or none is known.
    """
    divisor = _terms(by)
    if len(divisor) == 1:
        ((factors, number),) = divisor.items()
        shares: Counter[tuple[str, ...]] = Counter()
        for term, n in _terms(size).items():
            left = Counter(term)
            left.subtract(factors)
            if min(left.values(), default=0) < 0 or not number or n % number:
                break
            shares[tuple(sorted(left.elements()))] += n // number
        else:
            return Symbol.of(shares)
    raise ValueError(f"{size} is not known to be a multiple of {by}")


def total(sizes: Iterable[Size]) -> Size:
    """The sum."""
    terms: Counter[tuple[str, ...]] = Counter()
    for size in sizes:
        for factors, n in _terms(size).items():
            terms[factors] += n
    return Symbol.of(terms)


def broadcast(shapes: Iterable[tuple[Size, ...]]) -> tuple[Size, ...]:
    """NumPy's broadcasting.

    Two open sizes are taken to agree: a plan, which has the numbers, proves it.

    Raises:
        ValueError: two numbers that are neither equal nor 1.
    """
    shapes = list(shapes)
    rank = max(len(shape) for shape in shapes)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_common(sizes) for sizes in zip(*aligned, strict=True))


def _common(sizes: tuple[Size, ...]) -> Size:
    numbers = {n for n in sizes if isinstance(n, int) and n != 1}
    if len(numbers) > 1:
        raise ValueError(f"sizes {sorted(numbers)} do not match")
    if numbers:
        return numbers.pop()
    return next((n for n in sizes if isinstance(n, str)), 1)
