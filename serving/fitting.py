"""Whether what a client sent is what a model takes."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Protocol

from .datatypes import BYTES, DATATYPES, Datatype
from .engine.session import TensorSpec
from .errors import InvalidArgument, listed
from .tensors import Array, text

LONG = 64 << 10
"""Bytes of elements that are decoded one by one, from which on it is done away from the event loop.
"""
MOST = 64
"""Sets of shapes remembered as fitting: clients choose them."""


class GivenTensor(Protocol):
    """An input as a client sent it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def datatype(self) -> str:
        """The name of its datatype, as the client wrote it."""
        ...

    @property
    def shape(self) -> Sequence[int]:
        """Its shape, as the client wrote it."""
        ...

    @property
    def slow(self) -> bool:
        """Whether its elements take so long to decode that the event loop would notice."""
        ...

    def array(self, datatype: Datatype, what: str) -> Array:
        """Its elements; ``InvalidArgument`` where they do not fit its shape."""
        ...


class Fitting:
    """The inputs of a model. Called with the tensors of a request, it gives their arrays by name.

    What has fitted once, by names, datatypes and shapes, fits again: that is remembered. BYTES are
    text, but for the inputs that are ``encoded`` otherwise.

    Raises:
        InvalidArgument: one is missing, unknown, given twice, or has another datatype, shape or
            number of elements.
    """

    def __init__(self, specs: Sequence[TensorSpec], encoded: Container[str] = ()) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._text = {at.name for at in specs if at.datatype is BYTES and at.name not in encoded}
        self._known: set[tuple[tuple[str, str, tuple[int, ...]], ...]] = set()

    def __call__(self, given: Sequence[GivenTensor]) -> Mapping[str, Array]:
        """The arrays, of the datatypes the model takes."""
        signature = tuple([(at.name, at.datatype, tuple(at.shape)) for at in given])
        if signature not in self._known:
            self._check(given)
            if len(self._known) < MOST:
                self._known.add(signature)
        return {tensor.name: self._array(tensor) for tensor in given}

    def _array(self, tensor: GivenTensor) -> Array:
        datatype, what = self._specs[tensor.name].datatype, f"input {tensor.name!r}"
        array = tensor.array(datatype, what)
        return text(array, what) if tensor.name in self._text else array

    def _check(self, given: Sequence[GivenTensor]) -> None:
        tensors = {tensor.name: tensor for tensor in given}
        names = list(self._specs)
        for tensor in given:
            if tensor.name not in names:
                raise InvalidArgument(
                    f"input {tensor.name!r}: the model has no such input; it takes {listed(names)}"
                )
        if len(tensors) < len(given):
            twice = next(n for n in names if sum(tensor.name == n for tensor in given) > 1)
            raise InvalidArgument(f"input {twice!r} is given more than once")
        sizes: dict[str, tuple[int, str]] = {}
        for name, spec in self._specs.items():
            if name not in tensors:
                raise InvalidArgument(f"input {name!r} is missing; the model takes {listed(names)}")
            _check_datatype(spec, tensors[name].datatype)
            _check_shape(spec, tensors[name].shape, sizes)


def _check_datatype(spec: TensorSpec, datatype: str) -> None:
    if datatype != spec.datatype.name:
        known = "" if datatype in DATATYPES else ", which is no datatype"
        raise InvalidArgument(
            f"input {spec.name!r}: the model takes {spec.datatype.name}, found {datatype!r}{known}"
        )


def _check_shape(spec: TensorSpec, shape: Sequence[int], sizes: dict[str, tuple[int, str]]) -> None:
    """``sizes`` remembers what the named axes were found to be, and where."""
    fits = len(shape) == len(spec.shape) and all(
        found == size if isinstance(size, int) else found >= 0
        for found, size in zip(shape, spec.shape, strict=False)
    )
    if not fits:
        raise InvalidArgument(
            f"input {spec.name!r}: the model takes shape {spec.sizes}, found {list(shape)}"
        )
    for found, size in zip(shape, spec.shape, strict=True):
        if isinstance(size, str):
            known, where = sizes.setdefault(size, (found, spec.name))
            if known != found:
                raise InvalidArgument(
                    f"input {spec.name!r}: axis {size!r} is {found} but {known} in {where!r}"
                )
