"""An ONNX file: its graph, checked by rule, and its arrays, which stay where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from ...runtime.errors import UnreadableFile
from ...runtime.files import regular

LARGEST = 1 << 31
"""Bytes of a file; protocol buffers end there."""
MOST_NODES = 200_000
STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxFile:
    """A model of ONNX that keeps the rules of the format.

    ``opsets`` are the versions of its domains.
    """

    path: Path
    model: ModelProto
    opsets: Mapping[str, int]

    @property
    def graph(self) -> GraphProto:
        """What it computes."""
        return self.model.graph

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.opsets.get("", 1)

    @cached_property
    def initializers(self) -> Mapping[str, TensorProto]:
        """The stored arrays by name."""
        return {tensor.name: tensor for tensor in self.graph.initializer}


def read_file(path: Path) -> OnnxFile:
    """Reads and checks a file; no array is touched.

    Raises:
        UnreadableFile: no ONNX model, or one that breaks the rules.
    """
    if (size := regular(path).stat().st_size) >= LARGEST:
        raise UnreadableFile(
            f"{path}: {size:,} bytes are too many for one file of ONNX; keep its arrays beside it"
        )
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public home in every runtime
        raise UnreadableFile(f"{path}: not an ONNX model: {error}") from None
    if not model.graph.output or not model.opset_import:
        raise UnreadableFile(f"{path}: not an ONNX model: it has no outputs, or no versions")
    if len(model.graph.node) > MOST_NODES:
        raise UnreadableFile(f"{path}: {len(model.graph.node):,} nodes are too many")
    try:
        _check(model, path)
        opsets = {_domain(entry.domain): entry.version for entry in model.opset_import}
    except UnicodeDecodeError:
        raise not_text(path) from None
    return OnnxFile(path, model, opsets)


def not_text(path: Path) -> UnreadableFile:
    """The error for a name that is no text; protocol buffers see it when it is asked for."""
    return UnreadableFile(f"{path}: not a valid ONNX model: a name in it is not text in UTF-8")


def _domain(name: str) -> str:
    return "" if name in STANDARD else name


def _check(model: ModelProto, path: Path) -> None:
    """Has the format's own checker look at all but the arrays, which it would copy.

    Raises:
        UnreadableFile: it finds something.
    """
    stored = [tensor.name for tensor in model.graph.initializer]
    if len(set(stored)) < len(stored):
        raise UnreadableFile(f"{path}: two of its arrays have one name")
    try:
        onnx.checker.check_model(_without_arrays(model))
    except (onnx.checker.ValidationError, ValueError) as error:
        said = str(error).strip().splitlines()
        told = said[0] if said else "it breaks the rules"
        raise UnreadableFile(f"{path}: not a valid ONNX model: {told[:300]}") from None


def _without_arrays(model: ModelProto) -> ModelProto:
    """The model with inputs in the place of its arrays."""
    graph, bare = model.graph, ModelProto()
    inputs = {value.name for value in graph.input}
    bare.ir_version = max(model.ir_version, 4)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    bare.graph.name = graph.name or "graph"
    bare.graph.node.extend(graph.node)
    bare.graph.input.extend(graph.input)
    bare.graph.output.extend(graph.output)
    for tensor in graph.initializer:
        if tensor.name not in inputs:
            value = bare.graph.input.add(name=tensor.name)
            value.type.tensor_type.elem_type = tensor.data_type
    for value in (*bare.graph.input, *bare.graph.output):
        if value.type.HasField("tensor_type"):  # onnxruntime does without shapes
            value.type.tensor_type.shape.SetInParent()
    return bare


def tensors(file: OnnxFile) -> Iterator[TensorProto]:
    """Every array of the file, those in the bodies of loops and in attributes among them."""
    yield from _tensors(file.graph)
    for function in file.model.functions:
        for node in function.node:
            yield from _of_node(node)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors
        for body in _bodies(attribute):
            yield from _tensors(body)


def _bodies(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.type == AttributeProto.GRAPH:
        yield attribute.g
    yield from attribute.graphs
