"""What is known of a value before it is computed: shape and dtype, with names where a size is open.

A size that depends on an open one is written in a normal form, ``times*ceil((name-minus)/stride)+plus``, so that two
ways through a network that give the same size give the same text: ``ceil(H/2)`` is what any "same" window of
stride 2 makes of ``H``, whatever its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Size = int | str
"""A number, or a name for one that is open ("N" is the batch)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and dtype of a value. The dtype "float" is the plan's own; "int32", "int64" and "bool" are themselves."""

    shape: tuple[Size, ...]
    dtype: str = "float"

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)


@dataclass(frozen=True, slots=True)
class Param:
    """Shape of a parameter. One that is not trainable is state its operation updates itself (moving averages)."""

    shape: tuple[int, ...]
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Symbol(str):
    """The text of an open size, with the normal form it was written from."""

    name: str
    minus: int
    stride: int
    times: int
    plus: int

    @classmethod
    def of(cls, size: str) -> Symbol:
        """``size`` itself if it is in normal form already, else a form that is just its name."""
        return size if isinstance(size, cls) else cls.form(size)

    @classmethod
    def form(
        cls, name: str, minus: int = 0, stride: int = 1, times: int = 1, plus: int = 0
    ) -> Symbol:
        """``times*ceil((name-minus)/stride)+plus``."""
        if times == 1:  # a shift outside the ceiling is one inside
            minus, plus = minus - plus * stride, 0
        shifted = f"{name}{-minus:+d}" if minus else name
        text = shifted
        if stride > 1:
            text = f"ceil(({shifted})/{stride})" if minus else f"ceil({name}/{stride})"
        if times > 1:
            text = f"{times}*({text})" if minus and stride == 1 else f"{times}*{text}"
        symbol = cls(f"{text}{plus:+d}" if plus else text)
        symbol.name, symbol.minus, symbol.stride = name, minus, stride
        symbol.times, symbol.plus = times, plus
        return symbol


def window(size: Size, minus: int, stride: int) -> Size:
    """Number of windows along an axis: ceil((size - minus) / stride).

    ``minus`` is the extent of a window less one, less the padding of both sides; "same" padding makes it zero.
    """
    if isinstance(size, int):
        return max(-((minus - size) // stride), 0)
    at = Symbol.of(size)
    if at.times == 1:
        return Symbol.form(at.name, at.minus + minus * at.stride, at.stride * stride)
    if at.times % stride == 0:
        return Symbol.form(
            at.name, at.minus, at.stride, at.times // stride, -((minus - at.plus) // stride)
        )
    return Symbol.form(at, minus, stride)


def scaled(size: Size, times: int, plus: int = 0) -> Size:
    """times * size + plus."""
    if isinstance(size, int):
        return size * times + plus
    at = Symbol.of(size)
    return Symbol.form(at.name, at.minus, at.stride, at.times * times, at.plus * times + plus)


def product(sizes: Iterable[Size]) -> Size:
    """The product; of several open sizes, their names joined."""
    numbers, names = _parted(sizes)
    number = math.prod(numbers)
    if not names:
        return number
    if len(names) == 1:
        return scaled(names[0], number)
    return "*".join([*([str(number)] if number != 1 else []), *names])


def total(sizes: Iterable[Size]) -> Size:
    """The sum; of several open sizes, their names joined."""
    numbers, names = _parted(sizes)
    number = sum(numbers)
    if not names:
        return number
    if len(names) == 1:
        return scaled(names[0], 1, number)
    return "+".join([*names, *([str(number)] if number else [])])


def _parted(sizes: Iterable[Size]) -> tuple[list[int], list[str]]:
    sizes = list(sizes)
    return [n for n in sizes if isinstance(n, int)], [n for n in sizes if isinstance(n, str)]


def broadcast(shapes: Iterable[tuple[Size, ...]]) -> tuple[Size, ...]:
    """NumPy's broadcasting. Two open sizes are taken to agree: a plan, which has the numbers, proves it.

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
