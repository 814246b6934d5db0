"""What an operation is: one declaration, from which both passes, ONNX, JSON and the tests follow.

    @operation("relu", overwrites=(0,), overwrites_dy=(0,))
    class Relu(Operation): ...

The fields of the class are the operation's attributes. See ``ops/`` for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from .tensor import Param, Tensor

if TYPE_CHECKING:
    from .frame import Frame
    from .tape import Tape, Value

Step = Callable[[], object]
"""A piece of work over arrays that exist: no arguments, no result that matters, no fresh array."""
Steps = Step | tuple[Step | None, ...] | None
"""A pass of an operation; a tuple is cut where shards meet: (local, at.meet, finish)."""
Example = tuple["Operation", Sequence[Tensor | None]]


class Operation:
    """A frozen dataclass; its fields are numbers, strings, booleans, None and tuples of these."""

    kind: ClassVar[str] = ""
    """The name the operation is registered, stored and exported under."""
    view: ClassVar[bool] = False
    """The output is the input in another shape: the two share memory, and nothing is bound."""
    inert: ClassVar[bool] = False
    """The output is the input except while training (dropout)."""
    detached: ClassVar[bool] = False
    """Its outputs count as constants: nothing is differentiated through it (sampling)."""
    overwrites: ClassVar[tuple[int, ...]] = ()
    """Inputs whose memory the output may take, where nothing else needs them any more."""
    overwrites_dy: ClassVar[tuple[int, ...]] = ()
    """Inputs i whose dx[i] may be written over dy[0]."""
    any_dtype: ClassVar[bool] = False
    """The inputs may be of any dtype of numbers; else they must be floats."""
    strings: ClassVar[bool] = False
    """The inputs may be strings; else only those of a view may."""
    domain: ClassVar[tuple[float, float] | None] = None
    """Where the examples' floats lie, for a function that is not defined or smooth everywhere."""

    # What pydantic is told when attributes come from a file: a name it does not know is an error.
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def params(self, *x: Any, **k: Any) -> Mapping[str, Param]:
        """The parameters, by local name, for inputs of these types."""
        return {}

    def infer(self, *x: Any, **k: Any) -> Tensor | tuple[Tensor, ...]:
        """The type of each output.

        Raises:
            ValueError: the inputs do not fit, said without naming the operation.
        """
        raise NotImplementedError

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        """The passes, (forward, backward), over the arrays of ``at``.

        Backward writes (never adds to) every ``dx`` and ``dp`` that is there; it is None where
        ``at.grads`` is false.
        """
        raise NotImplementedError

    def onnx(
        self, tape: Tape, p: Mapping[str, Value], *x: Any, **k: Any
    ) -> Value | tuple[Value, ...]:
        """Emits the operation; returns the value of each output."""
        raise NotImplementedError

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Operations with the types of their inputs, enough to try every branch in the tests."""
        raise NotImplementedError


OPERATIONS: dict[str, type[Operation]] = {}
"""Every operation by its kind."""

Declared = TypeVar("Declared", bound=type[Operation])


@dataclass_transform(frozen_default=True)
def operation(kind: str, **traits: Any) -> Callable[[Declared], Declared]:
    """Declares an operation: makes the class a frozen dataclass, sets its traits and registers it.

    Raises:
        ValueError: the kind is taken.
    """

    def declare(cls: Declared) -> Declared:
        if kind in OPERATIONS:
            raise ValueError(f"operation {kind!r} is declared twice")
        for trait, value in {"kind": kind, **traits}.items():
            setattr(cls, trait, value)
        OPERATIONS[kind] = dataclass(frozen=True)(cls)
        return cls

    return declare
