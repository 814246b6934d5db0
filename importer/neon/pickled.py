"""A pickle of neon as plain values, of which nothing is ever run.

A pickle is a program for a stack machine that can import and call anything. This machine imports
nothing: what a program may name are the few things in ``KNOWN``, and to call one of them is to
have it described. Arrays stay in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.errors import CortexError, UnreadableFile
from ...runtime.files import regular
from .described import KNOWN, Described, Named, array, fill, set_order
from .opcodes import MOST_OPCODES, Stored, opcodes
from .plain import bounded

MARK = object()


def read_pickle(path: Path) -> Any:
    """The value that a pickle describes: dicts, lists, tuples, texts, numbers and arrays.

    Raises:
        UnreadableFile: it is damaged, or names or does anything that no network of neon needs.
    """
    machine = _Machine(path, budget=2 * regular(path).stat().st_size + MOST_OPCODES)
    try:
        for name, argument in opcodes(path):
            machine.step(name, argument)
        return bounded(machine.stack.pop(), path)
    except CortexError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableFile(f"{path}: a damaged pickle, or none of neon: {error}") from None


@dataclass
class _Machine:
    path: Path
    budget: int
    """Bytes and items that may still be taken up into arrays, texts and dicts: a small file can
    name what is large many times."""
    stack: list[Any] = field(default_factory=list[Any])
    memo: dict[int, Any] = field(default_factory=dict[int, Any])

    def step(self, name: str, argument: Any) -> None:
        if name in PUSHES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in STEPS:
            STEPS[name](self, argument)
        elif name not in IGNORED:
            raise UnreadableFile(
                f"{self.path}: it has the opcode {name}, which neon writes nowhere: refused"
            )

    def since_mark(self) -> list[Any]:
        """What lies above the last mark, which goes with it."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise ValueError("a mark is missing")

    def name(self, name: str) -> None:
        """Pushes a known thing of another module.

        Raises:
            UnreadableFile: it is not known.
        """
        if name not in KNOWN:
            told = name.replace(" ", ".")[:100]
            raise UnreadableFile(
                f"{self.path}: its pickle names {told!r}, which no network of neon needs: refused "
                "as unsafe"
            )
        self.stack.append(Named(name))

    def call(self) -> None:
        """Describes what the call of a known thing gives."""
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, Named) or not isinstance(arguments, tuple):
            raise ValueError("it calls what cannot be called")
        made = KNOWN[called.name]
        if made is None:
            raise UnreadableFile(f"{self.path}: its pickle calls {called.name}: refused as unsafe")
        if arguments:
            self.spend(arguments[0])
        self.stack.append(made(*arguments))

    def build(self) -> None:
        """Gives an array or a dtype its state."""
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, Described) or not isinstance(state, tuple):
            raise ValueError("it builds what is no array")
        if built.what == "dtype":
            set_order(built, state)
        else:
            self.spend(state[-1])
            built.value = array(state)

    def spend(self, taken: Any) -> None:
        """Takes what is copied off the budget.

        Raises:
            UnreadableFile: it is spent.
        """
        if isinstance(taken, Stored):
            self.budget -= taken.length
        elif isinstance(taken, str | bytes | list | tuple | dict):
            items: Sized = taken
            self.budget -= len(items)
        if self.budget < 0:
            raise UnreadableFile(f"{self.path}: it names the same data again and again: refused")


def _in_pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        items = machine.stack[len(machine.stack) - count :]
        if len(items) != count or any(item is MARK for item in items):
            raise ValueError("the stack is empty")
        del machine.stack[len(machine.stack) - count :]
        machine.stack.append(tuple(items))

    return step


def _gather(make: Callable[[list[Any]], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make(machine.since_mark()))


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    return fill({}, _in_pairs(items))


def _append(machine: _Machine, _: Any) -> None:
    item = machine.stack.pop()
    machine.stack[-1].append(item)


def _extend(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack[-1].extend(items)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    fill(machine.stack[-1], [(key, value)])


def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    fill(machine.stack[-1], _in_pairs(items))


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(machine: _Machine, place: Any) -> None:
    machine.memo[place] = machine.stack[-1]


def _get(machine: _Machine, place: Any) -> None:
    machine.stack.append(machine.memo[place])


def _stack_global(machine: _Machine, _: Any) -> None:
    last, module = machine.stack.pop(), machine.stack.pop()
    machine.name(f"{module} {last}")


IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
PUSHES = frozenset({
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8",
})  # fmt: skip
CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: MARK,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": _gather(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": _gather(list),
    "FROZENSET": _gather(list),
    "DICT": _gather(_dict_of),
    "APPEND": _append,
    "APPENDS": _extend,
    "ADDITEMS": _extend,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _memoize,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark().clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "GLOBAL": lambda machine, name: machine.name(name),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
