"""Expressions that say what a layer computes: "x * 2 - 1", "l2_normalize(axis=-1)", "x @ W".

The grammar is closed. It has the layer's inputs (x or x0, x1, …; mask is that of x), its stored
arrays by name (array0, array1, … where they have only numbers), its options that are numbers,
numbers and strings, lists and tuples, arithmetic, comparisons, & | ~, slices, and calls of the
vocabulary's functions. A function alone, or called without a tensor, is applied to x.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from ....runtime.errors import UsageError
from ...deferred import Deferred
from ..builder import Value
from ..layer import Layer, Result
from .functions import FUNCTIONS
from .functions.calling import call, parameters
from .functions.operand import Operand, dtype_of, is_tensor, tensor

LONGEST, DEEPEST, MOST_NODES = 2000, 40, 400

OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "add",
    ast.BitAnd: "logical_and",
    ast.BitOr: "logical_or",
    ast.Div: "divide",
    ast.Eq: "equal",
    ast.FloorDiv: "floor_divide",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Invert: "logical_not",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.MatMult: "matmul",
    ast.Mod: "mod",
    ast.Mult: "multiply",
    ast.NotEq: "not_equal",
    ast.Pow: "power",
    ast.Sub: "subtract",
    ast.USub: "negative",
}
"""The function of each operator."""

ALLOWED = (
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Tuple,
    ast.List, ast.Subscript, ast.Slice, ast.Load, ast.UAdd, *OPERATORS,
)  # fmt: skip
LITERALS = (int, float, str, type(None), type(...))  # bool is an int


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that the grammar allows."""

    text: str
    tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Reads an expression; nothing is computed.

        Raises:
            UsageError: it is none, or too large, or has something else in it.
        """
        if len(text) > LONGEST:
            raise UsageError(f"an expression of more than {LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            said = error.msg if isinstance(error, SyntaxError) else "it is too deep"
            raise UsageError(f"{text!r} is no expression: {said}") from None
        for count, (node, depth) in enumerate(_walk(tree, 0)):
            if depth > DEEPEST or count > MOST_NODES:
                raise UsageError(f"{text!r} is too large an expression")
            _check(node)
        return cls(text, tree)

    def apply(self, layer: Layer, inputs: Sequence[Value]) -> Result:
        """What it makes of a layer's inputs.

        Raises:
            CortexError: a name it does not know, or operands that do not fit.
        """
        found = Evaluation(layer, inputs)
        tree = self.tree
        result = found.function(tree.id) if isinstance(tree, ast.Name) else None
        result = found.value(tree) if result is None else result
        found.check_inputs()
        parts = tuple(tensor(layer, one) for one in _results(result))
        return parts[0] if len(parts) == 1 else parts


def _walk(node: ast.AST, depth: int) -> Iterator[tuple[ast.AST, int]]:
    yield node, depth
    if depth <= DEEPEST:
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, depth + 1)


def _check(node: ast.AST) -> None:
    if not isinstance(node, ALLOWED):
        raise UsageError(f"{type(node).__name__} has no place in an expression")
    if isinstance(node, ast.Constant) and not isinstance(node.value, LITERALS):
        raise UsageError(f"{node.value!r} has no place in an expression")
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name):
            raise UsageError("only functions can be called")
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            raise UsageError("* and ** have no place in a call")
        _check_function(node.func.id)
    if isinstance(node, ast.Compare) and len(node.ops) > 1:
        raise UsageError("a < b < c is written (a < b) & (b < c)")


def _check_function(name: str) -> None:
    if name not in FUNCTIONS:
        raise UsageError(f"there is no function {name!r}{alike(name, FUNCTIONS)}")


def alike(name: str, names: Any) -> str:
    """What may have been meant, for a message."""
    close = get_close_matches(name, list(names), 3)
    return f"; close: {', '.join(close)}" if close else ""


def _results(result: Any) -> Sequence[Any]:
    return result if isinstance(result, tuple | list) else (result,)


class Evaluation:
    """One computing of an expression, for one call of a layer."""

    def __init__(self, layer: Layer, inputs: Sequence[Value]) -> None:
        self.layer = layer
        self.inputs = {f"x{i}": value for i, value in enumerate(inputs)}
        self.used: set[str] = set()

    def function(self, name: str) -> Any:
        """A function applied to x; None if the name is of something else."""
        if name in FUNCTIONS and name not in self._options():
            return call(self.layer, name, (self._named("x"),), {})
        return None

    def value(self, node: ast.expr) -> Operand:
        """What a part of the expression is."""
        compute: Callable[[Any], Operand] = getattr(self, f"_{type(node).__name__.lower()}")
        return compute(node)

    def check_inputs(self) -> None:
        """After the whole.

        Raises:
            UsageError: an input that had no part in it.
        """
        if unused := [name for name in self.inputs if name not in self.used]:
            raise UsageError(f"the expression does not use the input {unused[0]!r}")

    def _constant(self, node: ast.Constant) -> Operand:
        return node.value

    def _tuple(self, node: ast.Tuple | ast.List) -> Operand:
        return [self.value(element) for element in node.elts]

    _list = _tuple

    def _binop(self, node: ast.BinOp) -> Operand:
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            return self._call_of(OPERATORS[type(node.op)], *self._truths(node.left, node.right))
        return self._call_of(
            OPERATORS[type(node.op)], self.value(node.left), self.value(node.right)
        )

    def _unaryop(self, node: ast.UnaryOp) -> Operand:
        if isinstance(node.op, ast.Invert):
            return self._call_of("logical_not", *self._truths(node.operand))
        operand = self.value(node.operand)
        return (
            operand
            if isinstance(node.op, ast.UAdd)
            else self._call_of(OPERATORS[type(node.op)], operand)
        )

    def _truths(self, *nodes: ast.expr) -> list[Operand]:
        """Operands of & | ~, which NumPy takes bit by bit if they are numbers."""
        operands = [self.value(node) for node in nodes]
        if any(dtype_of(self.layer, operand) != "bool" for operand in operands):
            raise UsageError("& | ~ are of truths, as comparisons give them")
        return operands

    def _compare(self, node: ast.Compare) -> Operand:
        (other,), (op,) = node.comparators, node.ops
        return self._call_of(OPERATORS[type(op)], self.value(node.left), self.value(other))

    def _subscript(self, node: ast.Subscript) -> Operand:
        entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return self._call_of("getitem", self.value(node.value), tuple(map(self._key, entries)))

    def _key(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            bounds = (node.lower, node.upper, node.step)
            return slice(*(None if bound is None else self.value(bound) for bound in bounds))
        return self.value(node)

    def _slice(self, node: ast.Slice) -> Operand:
        raise UsageError("':' has no place outside [ ]")

    def _call(self, node: ast.Call) -> Operand:
        assert isinstance(node.func, ast.Name)
        args = [self.value(arg) for arg in node.args]
        options = {str(k.arg): self.value(k.value) for k in node.keywords}
        tensors = any(map(is_tensor, (*args, *options.values())))
        if not tensors and not self._mentions_inputs(node):
            args = [self._named("x"), *args]
        return self._call_of(node.func.id, *args, **options)

    def _mentions_inputs(self, node: ast.Call) -> bool:
        """Whether a call without a tensor still is of one: of its shape."""
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        return bool(names & {"x", "mask", *self.inputs})

    def _call_of(self, name: str, *args: Operand, **options: Operand) -> Operand:
        known, free = parameters(name)
        if (wrong := next((o for o in options if o not in known), None)) and not free:
            raise UsageError(f"{name} has no option {wrong!r}; it has {', '.join(known[1:])}")
        try:
            return call(self.layer, name, args, options)
        except TypeError as error:
            raise UsageError(f"{name}: {str(error).partition(') ')[2] or error}") from None

    def _name(self, node: ast.Name) -> Operand:
        return self._named(node.id)

    def _named(self, name: str) -> Operand:
        place = "x0" if name == "x" else name
        if place in self.inputs:
            self.used.add(place)
            return self.inputs[place]
        if name == "mask" and self.inputs and (mask := self.inputs["x0"].mask):
            return mask
        if name in (options := self._options()):
            return options[name]
        if (array := self._array(name)) is not None:
            return array
        known = [*self.inputs, "x", *options, *(n for n, _ in self._stored()), *FUNCTIONS]
        raise UsageError(f"there is no {name!r} here{alike(name, known)}")

    def _options(self) -> Mapping[str, Any]:
        """The layer's options that are numbers, and the arguments of a Lambda's function."""
        config = {**self.layer.config, **(self.layer.config.get("arguments") or {})}
        return {name: value for name, value in config.items() if _is_numeric(value)}

    def _stored(self) -> Iterator[tuple[str, Deferred]]:
        """The layer's arrays: under their names, and under their places among all."""
        for place, (path, array) in enumerate(self.layer.arrays.stored):
            yield path[-1], array
            yield f"array{place}", array

    def _array(self, name: str) -> Deferred | None:
        for known, array in self._stored():
            if known == name:
                self.layer.arrays.taken.add(array.name)
                return replace(array, name=f"{self.layer.path}/{array.name.rpartition('/')[2]}")
        return None


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_numeric, value)) and bool(value)
    return isinstance(value, int | float)
