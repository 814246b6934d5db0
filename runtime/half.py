"""An ONNX graph that computes in half precision, as a server runs it on a GPU.

Its inputs and outputs stay float32, and so do the layers that can be asked for: clients see no
difference but in the last digits. Weights are taken as they are stored: write them as float16.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

SINGLE_CONSTANTS = {("Resize", 2)}
"""The inputs, by operator and place, that ONNX has in float32 alone; they are constants."""
SINGLE: Mapping[str, Sequence[int]] = {"Celu": (0,), "ScatterElements": (0, 2)}
"""The operators that ONNX, or onnxruntime on a CPU, has in float32 alone, with their inputs."""
HALF = np.finfo(np.float16)


def in_half(model: ModelProto) -> ModelProto:
    """The model in float16, a copy; ``export`` made it.

    Constants that float16 has no number for become the nearest it has, a tiny one not zero: it is
    there so that nothing is divided by zero.
    """
    found = ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    names = _single(graph.input)
    constants = {
        tensor.name: tensor
        for tensor in graph.initializer
        if _is_single(tensor.data_type) and not tensor.external_data
    }
    renamed = {name: f"{name}#half" for name in (*names, *constants)}
    outputs = _single(graph.output)
    converted = [each for node in graph.node for each in _converted(node, renamed)]
    for node in converted:
        if node.op_type == "Identity" and node.output[0] in outputs:  # how a graph's outputs end
            node.op_type = "Cast"
            node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    casts = [_cast(name, renamed[name], TensorProto.FLOAT16) for name in names]
    _replace(graph, [*casts, *converted])
    graph.initializer.extend(_half(tensor, renamed[name]) for name, tensor in constants.items())
    _drop_unread(graph)
    return found


def _single(values: Iterable[ValueInfoProto]) -> list[str]:
    return [value.name for value in values if _is_single(value.type.tensor_type.elem_type)]


def _replace(graph: GraphProto, nodes: Sequence[NodeProto]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)


def _drop_unread(graph: GraphProto) -> None:
    """Of a constant in both precisions mostly one is read."""
    read = {name for node in graph.node for name in _reads(node)}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _converted(node: NodeProto, renamed: Mapping[str, str]) -> Iterator[NodeProto]:
    """The node, changed in place, between casts where it needs them."""
    _convert(node, renamed)
    places = SINGLE.get(node.op_type, ())
    for place in places:
        half, node.input[place] = node.input[place], f"{node.name}#{place}"
        yield _cast(half, node.input[place], TensorProto.FLOAT)
    if not places:
        yield node
        return
    half, node.output[0] = node.output[0], f"{node.name}#single"
    yield node
    yield _cast(node.output[0], half, TensorProto.FLOAT16)


def _cast(name: str, to: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [name], [to], f"{to}/Cast", to=kind)


def _convert(node: NodeProto, renamed: Mapping[str, str]) -> None:
    """In place. A Cast goes on reading what it read: of float inputs that hold ids, all of them."""
    for place, name in enumerate(node.input):
        if (
            name in renamed
            and node.op_type != "Cast"
            and (node.op_type, place) not in SINGLE_CONSTANTS
        ):
            node.input[place] = renamed[name]
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and _is_single(attribute.i):
            attribute.i = TensorProto.FLOAT16
        elif attribute.HasField("t") and _is_single(attribute.t.data_type):
            attribute.t.CopyFrom(_half(attribute.t, attribute.t.name))
        elif attribute.HasField("g"):
            _convert_body(attribute.g, renamed)


def _convert_body(graph: GraphProto, renamed: Mapping[str, str]) -> None:
    """The body of a loop, which reads values of the graph around it."""
    for value in (*graph.input, *graph.output):
        if _is_single(value.type.tensor_type.elem_type):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    _replace(graph, [each for node in graph.node for each in _converted(node, renamed)])


def _half(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    finite = np.clip(values, HALF.min, HALF.max, where=np.isfinite(values), out=values.copy())
    tiny = (finite != 0) & (np.abs(finite) < HALF.smallest_subnormal)
    finite = np.where(tiny, np.copysign(HALF.smallest_subnormal, finite), finite)
    return numpy_helper.from_array(finite.astype(np.float16), name)


def _reads(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        inner: Iterable[NodeProto] = attribute.g.node
        for each in inner:
            yield from _reads(each)


def _is_single(kind: int) -> bool:
    return kind == TensorProto.FLOAT
