"""What operations emit their ONNX nodes through: a tape that knows the layout of every value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .tensor import STRING, Tensor

Layout = Literal["last", "first"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the ONNX graph. The name of one in channels-first layout ends in ".cf".

    ``rank`` counts all axes, the batch included.
    """

    name: str
    rank: int
    layout: Layout = "last"


class Tape:
    """Gathers nodes and constants.

    A spatial operation asks for its input channels first; the transposition is emitted once a
    value, and only if it is needed. Element-wise operations keep the layout they meet, so
    transpositions stay at the borders of a convolutional part.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._other: dict[Value, Value] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self.scope = ""
        """The node of the network whose operation is emitting; fresh values are named after it."""
        self.types: Sequence[Tensor | None] = ()
        """The types of that node's inputs; ``type`` reads them."""
        self._count = 0

    def op(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        *,
        outputs: int = 1,
        layout: Layout | None = None,
        rank: int | None = None,
        **attributes: Any,
    ) -> Any:
        """Emits a node; returns its output, or a tuple of them if ``outputs`` > 1.

        Layout and rank are those of the first input unless given. Attributes that are None are left
        out.
        """
        while inputs[-1] is None:  # one left out at the end stops onnxruntime from fusing
            inputs = inputs[:-1]
        first = next(value for value in inputs if value is not None)
        layout, rank = layout or first.layout, first.rank if rank is None else rank
        values = tuple(Value(self._fresh(layout), rank, layout) for _ in range(outputs))
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            helper.make_node(
                kind,
                [value.name if value else "" for value in inputs],
                [value.name for value in values],
                f"{values[0].name}/{kind}",
                **given,
            )
        )
        return values if outputs > 1 else values[0]

    def graph(
        self,
        inputs: Sequence[tuple[Value, str]],
        emit: Callable[[Sequence[Value]], Sequence[Value]],
        dtype: str = "float",
    ) -> GraphProto:
        """A graph for an attribute, the body of a Scan: what ``emit`` makes of its inputs.

        ``inputs`` are values like those it will be given, and their dtypes; what ``emit`` returns
        is of ``dtype``. It may read values of the graph around it.
        """
        nodes, other = self.nodes, self._other
        self.nodes, self._other = [], dict(other)
        given = [replace(value, name=self._fresh(value.layout)) for value, _ in inputs]
        found = emit(given)
        outputs = [self.op("Identity", [value]) for value in found]  # an input is no output
        made, self.nodes, self._other = self.nodes, nodes, other
        return helper.make_graph(
            made,
            f"{self.scope}/body",
            [_of_any_shape(v, dtype) for v, (_, dtype) in zip(given, inputs, strict=True)],
            [_of_any_shape(value, dtype) for value in outputs],
        )

    def cast(self, value: Value, dtype: str) -> Value:
        """The value with its elements as ``dtype``, one of a tensor's."""
        return self.op("Cast", [value], to=onnx_type(dtype))

    def type(self, i: int = 0) -> Tensor:
        """The type of an input, one that is there, of the node that is emitting."""
        found = self.types[i]
        assert found is not None
        return found

    def first(self, value: Value) -> Value:
        """The value channels first; itself if it has fewer than three axes."""
        if value.layout == "first" or value.rank < 3:
            return value
        return self._turned(value, "first", (0, value.rank - 1, *range(1, value.rank - 1)))

    def last(self, value: Value) -> Value:
        """The value channels last."""
        if value.layout == "last":
            return value
        return self._turned(value, "last", (0, *range(2, value.rank), 1))

    def alike(self, *values: Value) -> list[Value]:
        """The values in one layout, for operations that combine them element by element.

        Channels first if one is and all have the same rank, else channels last.
        """
        same_rank = len({value.rank for value in values}) == 1
        if same_rank and any(value.layout == "first" for value in values):
            return [self.first(value) for value in values]
        return [self.last(value) for value in values]

    def axis(self, value: Value, axis: int) -> int:
        """Where an axis of the channels-last value is in its present layout; never negative."""
        axis %= value.rank
        if value.layout == "last" or axis == 0:
            return axis
        return 1 if axis == value.rank - 1 else axis + 1

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant; equal ones are one.

        Floats become float32, integers int64, unless ``dtype`` is given; strings want ``object``.
        """
        given = np.asarray(array, dtype)
        if dtype is None:
            given = given.astype(np.float32 if given.dtype.kind == "f" else np.int64)
        is_text = given.dtype.kind == "O"  # whose bytes are addresses
        content = repr(given.tolist()).encode() if is_text else given.tobytes()
        key = (given.dtype.str, given.shape, content)
        if key not in self._constants:
            name = f"constant.{len(self._constants)}"
            self.constants.append(numpy_helper.from_array(given, name))
            self._constants[key] = Value(name, given.ndim)
        return self._constants[key]

    def _turned(self, value: Value, layout: Layout, perm: tuple[int, ...]) -> Value:
        if value not in self._other:
            name = value.name.removesuffix(".cf") + (".cf" if layout == "first" else "")
            turned = Value(name, value.rank, layout)
            self.nodes.append(
                helper.make_node("Transpose", [value.name], [name], f"{name}/turn", perm=perm)
            )
            self._other[value], self._other[turned] = turned, value
        return self._other[value]

    def _fresh(self, layout: Layout) -> str:
        self._count += 1
        return f"{self.scope}#{self._count}{'.cf' if layout == 'first' else ''}"


def onnx_type(dtype: str) -> int:
    """The ONNX element type of a tensor's dtype."""
    return _ONNX_TYPES[dtype]


_ONNX_TYPES = {
    "float": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    STRING: TensorProto.STRING,
}


def _of_any_shape(value: Value, dtype: str) -> Any:
    return helper.make_tensor_value_info(value.name, onnx_type(dtype), None)


def value_info(name: str, tensor: Tensor) -> Any:
    """An input or output of the ONNX graph."""
    return helper.make_tensor_value_info(name, onnx_type(tensor.dtype), tensor.shape)
