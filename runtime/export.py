"""The ONNX form of a network, and models cut out of it that answer with any layer.

Layers are not declared as outputs of ``model.onnx`` (that would stop fusions and cost a third of the speed).
Its metadata says which value is which layer's, and ``select`` makes a model of only what leads there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, helper

from .errors import UnreadableFile

LAYERS = "cortex.layers"
"""The key of the model's metadata under which its layers stand, as JSON: see ``ServedLayer``."""


@dataclass(frozen=True, slots=True)
class ServedLayer:
    """Where a layer of the source file is found in the ONNX graph.

    ``axes`` is the transposition from the value's layout to the one the source file has; empty: none.
    ``shape`` is in the source's layout; a size that is open is a name.
    """

    value: str
    shape: tuple[int | str, ...]
    dtype: int = TensorProto.FLOAT
    axes: tuple[int, ...] = ()


def layers(model: ModelProto) -> Mapping[str, ServedLayer]:
    """The layers a model can answer with, in order of execution; empty if it was not exported by Cortex."""
    for entry in model.metadata_props:
        if entry.key == LAYERS:
            return {
                name: ServedLayer(at["value"], tuple(at["shape"]), at["dtype"], tuple(at["axes"]))
                for name, at in json.loads(entry.value).items()
            }
    return {}


def read(path: Path) -> ModelProto:
    """Reads a graph; its weights stay where they are.

    Raises:
        UnreadableFile: no ONNX model.
    """
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public home in every runtime
        raise UnreadableFile(f"{path}: not an ONNX model: {error}") from None


def select(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """A model whose outputs are ``names``, each an output or a layer of ``model``, in that order.

    Only the nodes and weights that lead there remain: onnxruntime runs every node it is given.

    Raises:
        KeyError: a name that is neither an output nor a layer.
    """
    graph = model.graph
    declared = {value.name: value for value in graph.output}
    known = layers(model)
    outputs: list[onnx.ValueInfoProto] = []
    nodes = list(graph.node)
    for name in names:
        if name in declared:
            outputs.append(declared[name])
            continue
        layer, served = known[name], f"layer:{name}"
        kind, attributes = ("Transpose", {"perm": layer.axes}) if layer.axes else ("Identity", {})
        nodes.append(helper.make_node(kind, [layer.value], [served], f"serve {name}", **attributes))
        outputs.append(helper.make_tensor_value_info(served, layer.dtype, layer.shape))
    nodes, needed = _leading_to({value.name for value in outputs}, nodes)
    pruned = helper.make_graph(
        nodes,
        graph.name,
        [value for value in graph.input if value.name in needed],
        outputs,
        [weight for weight in graph.initializer if weight.name in needed],
    )
    return helper.make_model(pruned, opset_imports=model.opset_import, ir_version=model.ir_version)


def _leading_to(
    values: set[str], nodes: Sequence[onnx.NodeProto]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes on the way to ``values``, in their order, and every value they touch."""
    needed = set(values)
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1], needed
