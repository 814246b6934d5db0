"""An ONNX graph that computes in half precision, as a server runs it on a GPU.

Its inputs and outputs stay float32, and so do the layers that can be asked for: clients see no
difference but in the last digits. Weights are taken as they are stored: write them as float16.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

SINGLE_ONLY = {("Resize", 2)}
"""The inputs, by operator and place, that ONNX has in float32 alone."""
HALF = np.finfo(np.float16)


def in_half(model: ModelProto) -> ModelProto:
    """The model in float16, a copy; ``export`` made it.

    Constants that float16 has no number for become the nearest it has, a tiny one not zero: it is
    there so that nothing is divided by zero.
    """
    found = ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    names = {value.name for value in graph.input if _is_single(value.type.tensor_type.elem_type)}
    constants = {
        tensor.name: tensor
        for tensor in graph.initializer
        if _is_single(tensor.data_type) and not tensor.external_data
    }
    renamed = {name: f"{name}#half" for name in (*names, *constants)}
    single = [each.name for each in graph.output if _is_single(each.type.tensor_type.elem_type)]
    for node in graph.node:
        _convert(node, renamed)
        if node.op_type == "Identity" and node.output[0] in single:  # how a graph's outputs end
            node.op_type = "Cast"
            node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    casts = [
        helper.make_node("Cast", [name], [renamed[name]], f"{name}/half", to=TensorProto.FLOAT16)
        for name in names
    ]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in _reads(node)}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    kept += [_half(tensor, renamed[name]) for name, tensor in constants.items()]
    kept = [tensor for tensor in kept if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return found


def _convert(node: NodeProto, renamed: Mapping[str, str]) -> None:
    """In place. A Cast goes on reading what it read: of float inputs that hold ids, all of them."""
    for place, name in enumerate(node.input):
        if name in renamed and node.op_type != "Cast" and (node.op_type, place) not in SINGLE_ONLY:
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
    for node in graph.node:
        _convert(node, renamed)


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
