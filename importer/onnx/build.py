"""The graph of an ONNX file: its nodes, one after the other, through the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from onnx import AttributeProto, NodeProto, helper

from ...runtime.errors import GraphError, UnreadableFile, Unsupported
from ...runtime.network import Network
from ..builder import Builder, Value
from ..options import Options
from .call import Call, Given, folds, onnx
from .converters import families as families
from .file import STANDARD, OnnxFile, not_text
from .inputs import fixed, input_types
from .known import Filled, Known
from .tensors import deferred, here
from .weights import Weights

MOST_NAMED = 8
"""Operators that an error names."""


class Described:
    """What the file says, as a network of ours.

    Attributes:
        network: it.
        values: the value in the file of each layer.
    """

    def __init__(self, file: OnnxFile, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._file, self._builder = file, Builder()
        self._weights = Weights(self._builder)
        self._values: dict[str, Given] = {}
        self._wanted = {value.name for value in file.graph.output}
        self._names = Counter(node.name for node in file.graph.node)
        self.values: dict[str, str] = {}
        _check_table(file)
        self._read_inputs(shapes)
        for i, node in enumerate(file.graph.node):
            self._convert(node, i)
        self.network = self._network()

    def _read_inputs(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        file = self._file
        for tensor in file.graph.initializer:
            array = deferred(tensor, file.path)
            is_weight = array.dtype.name == "float32"
            self._values[tensor.name] = Known(array, trained=is_weight)
        given = [value for value in file.graph.input if value.name not in self._values]
        types = fixed(input_types(given), [value.name for value in given], shapes)
        for value, tensor in zip(given, types, strict=True):
            self._builder.declare(value.name, tensor)
            self._values[value.name] = Value(value.name)

    def _convert(self, node: NodeProto, i: int) -> None:
        call = self._call(node, i)
        try:
            found = self._found(call)
        except (GraphError, ValueError, IndexError, TypeError, ArithmeticError) as error:
            if isinstance(error, GraphError):
                raise Unsupported(str(error)) from None
            raise Unsupported(f"{call.title}: {error}") from None
        outputs = found if isinstance(found, Sequence) else [found]
        for name, value in zip(node.output, outputs, strict=False):
            if name and value is not None:
                self._values[name] = value
        missing = [name for name in node.output if name and name not in self._values]
        if missing:
            raise Unsupported(f"{call.title}: its output {missing[0]!r} is not supported")
        self._record(node, call)

    def _found(self, call: Call) -> Given | Sequence[Given | None]:
        """What the table makes of a node; what is known already is computed at once."""
        known = [x for x in call.inputs if isinstance(x, Known | Filled)]
        fold = folds.get(call.kind)
        is_known = known and len(known) == len([x for x in call.inputs if x is not None])
        if fold and is_known and (folded := fold(call, *call.inputs)) is not None:
            return folded
        if call.kind not in onnx:
            raise Unsupported(f"{call.title}: only of constants is it supported")
        found = onnx[call.kind](call)
        call.options.finish()
        return found

    def _call(self, node: NodeProto, i: int) -> Call:
        layer = node.name if node.name and self._names[node.name] == 1 else ""
        layer = layer or next(filter(None, node.output), f"node {i}")
        title = f"{self._file.path}: {node.op_type} {layer!r}"
        options = {a.name: self._option(a, title) for a in node.attribute}
        inputs = [self._values[name] if name else None for name in node.input]
        return Call(
            self._builder,
            self._weights,
            title,
            layer,
            node.op_type,
            inputs,
            list(node.output),
            Options(title, options),
            self._file.opset,
        )

    def _option(self, attribute: AttributeProto, title: str) -> Any:
        if attribute.type == AttributeProto.TENSOR:
            return here(attribute.t, self._file.path)
        try:
            return helper.get_attribute_value(attribute)
        except ValueError as error:
            raise UnreadableFile(f"{title}: its attribute {attribute.name!r}: {error}") from None

    def _record(self, node: NodeProto, call: Call) -> None:
        """Its first output is a layer that can be asked for, if the graph computes it."""
        first = next(filter(None, node.output), "")
        value = self._values.get(first)
        if isinstance(value, Value) and call.layer not in self._builder.layers:
            self._builder.record(call.layer, node.op_type, value)
            self.values[call.layer] = first

    def _network(self) -> Network:
        outputs: dict[str, str] = {}
        for output in self._file.graph.output:
            value = self._values[output.name]
            title = f"{self._file.path}: output {output.name!r}"
            if not isinstance(value, Value):
                raise Unsupported(f"{title}: it is a constant")
            if output.name in self._builder.inputs:
                raise Unsupported(f"{title}: it is an input")
            outputs[output.name] = self._builder.plain(value, output.name)
        network = self._builder.network(outputs)
        if not any(network.graph.inputs):
            raise Unsupported(f"{self._file.path}: it has no inputs")
        return network


def described(file: OnnxFile, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Described:
    """The file as a network.

    ``shapes`` are those of one example of an input, where the file leaves sizes open; the name ""
    stands for the only input.

    Raises:
        UsageError: a shape that the file does not leave open.
        Unsupported: it has something that the graph has not, by name.
        UnreadableFile: it is damaged.
    """
    try:
        return Described(file, shapes or {})
    except GraphError as error:
        raise Unsupported(str(error)) from None
    except UnicodeDecodeError:
        raise not_text(file.path) from None
    except (RecursionError, OverflowError, MemoryError) as error:
        raise UnreadableFile(f"{file.path}: {type(error).__name__} while it was read") from None


def _check_table(file: OnnxFile) -> None:
    """Raises Unsupported with all that the table has not."""
    graph = file.graph
    kinds = dict.fromkeys(
        node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"
        for node in graph.node
    )
    kinds = [kind if kind.isprintable() else repr(kind) for kind in kinds]
    if missing := [kind for kind in kinds if kind not in onnx and kind not in folds]:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        raise Unsupported(", ".join(missing[:MOST_NAMED]) + more)
    if graph.sparse_initializer:
        raise Unsupported("sparse arrays")
