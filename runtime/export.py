"""The ONNX form of a network, and models cut out of it that answer with any layer.

Layers are not declared as outputs of ``model.onnx`` (that would stop fusions and cost a third of
the speed). Its metadata says which value is which layer's, and ``select`` makes a model of only
what leads there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from .errors import GraphError, UnreadableFile
from .ir import Graph, input_types
from .network import Network
from .tape import Tape, Value, onnx_type, value_info
from .weights import WeightsFile

LAYERS = "cortex.layers"
"""The key of the model's metadata under which its layers stand, as JSON: see ``ServedLayer``."""


@dataclass(frozen=True, slots=True)
class ServedLayer:
    """Where a layer of the source file is found in the ONNX graph.

    ``axes`` is the transposition from the value's layout to the one the source file has; empty:
    none. ``shape`` is in the source's layout; a size that is open is a name.
    """

    value: str
    shape: tuple[int | str, ...]
    dtype: int = TensorProto.FLOAT
    axes: tuple[int, ...] = ()


OPSET = 21
OPSETS = {"": OPSET, "ai.onnx.ml": 4, "com.microsoft": 1}
"""The version of each domain that has an operator of ours; the last is onnxruntime's own."""
IR_VERSION = 10  # the one that came with opset 21


def export(network: Network, stored: WeightsFile) -> ModelProto:
    """The network as ONNX; its weights point into the file ``stored``, which lies beside the model.

    Parameters are stored as the network has them; where ONNX wants another order of axes there is a
    Transpose of the weight, which onnxruntime folds when it loads. Those that are no float32 are
    cast likewise.

    Raises:
        GraphError: an output that has the name of an input.
    """
    graph, tape = network.graph, Tape()
    values = _emit(graph, tape, stored)
    for name, value in graph.outputs.items():
        if name in graph.inputs:
            raise GraphError(f"output {name!r}: an input has this name, which ONNX does not allow")
        source = tape.last(values[value])
        tape.nodes.append(helper.make_node("Identity", [source.name], [name], f"output {name}"))
    read = set[str]().union(*map(_read, tape.nodes))  # what only a loss needs is not served
    onnx_graph = helper.make_graph(
        tape.nodes,
        "network",
        [value_info(name, tensor) for name, tensor in graph.inputs.items()],
        [value_info(name, graph.types[value]) for name, value in graph.outputs.items()],
        [*tape.constants, *(_external(name, stored) for name in graph.parameters if name in read)],
    )
    model = helper.make_model(
        onnx_graph,
        opset_imports=[helper.make_opsetid(domain, OPSETS[domain]) for domain in _domains(tape)],
        ir_version=IR_VERSION,
        producer_name="cortex",
    )
    helper.set_model_props(model, {LAYERS: json.dumps(_layer_index(graph, values))})
    return model


def _domains(tape: Tape) -> list[str]:
    """Those of the nodes, the standard one first."""
    return sorted({"", *(node.domain for node in tape.nodes)})


def _emit(graph: Graph, tape: Tape, stored: WeightsFile) -> Mapping[str, Value]:
    """Lets every operation emit its nodes; returns the ONNX value of each value of the graph."""
    values = {name: Value(name, tensor.rank) for name, tensor in graph.inputs.items()}

    def parameter(name: str) -> Value:
        value = Value(name, len(graph.parameters[name].shape))
        if stored.stored[name].dtype == "float32":
            return value
        return tape.op("Cast", [value], to=TensorProto.FLOAT)

    for node in graph.nodes:
        tape.scope, tape.types = node.name, input_types(node, graph.types)
        params = {local: parameter(name) for local, name in node.params.items()}
        inputs = [values[name] if name else None for name in node.inputs]
        emitted = node.op.onnx(tape, params, *inputs)
        outputs = emitted if isinstance(emitted, tuple) else (emitted,)
        values |= zip(graph.values(node), outputs, strict=True)
    return values


def _external(name: str, stored: WeightsFile) -> TensorProto:
    at = stored.stored[name]
    tensor = TensorProto(
        name=name,
        data_type=helper.np_dtype_to_tensor_dtype(np.dtype(at.dtype)),
        dims=at.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", stored.path.name), ("offset", at.offset), ("length", at.size)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _layer_index(graph: Graph, values: Mapping[str, Value]) -> Mapping[str, Mapping[str, Any]]:
    index: dict[str, Mapping[str, Any]] = {}
    for name, layer in graph.layers.items():
        value, tensor = values[layer.value], graph.types[layer.value]
        axes = layer.axes or tuple(range(tensor.rank))
        where = (
            (0, *range(2, value.rank), 1) if value.layout == "first" else tuple(range(value.rank))
        )
        turn = tuple(where[axis] for axis in axes)
        served = ServedLayer(
            value.name,
            tuple(tensor.shape[axis] for axis in axes),
            onnx_type(tensor.dtype),
            turn if turn != tuple(range(tensor.rank)) else (),
        )
        index[name] = asdict(served)
    return index


def layers(model: ModelProto) -> Mapping[str, ServedLayer]:
    """The layers a model can answer with, in order of execution.

    None if Cortex did not export it.

    Raises:
        UnreadableFile: the model's metadata is damaged.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == LAYERS), "{}")
    try:
        index: Mapping[str, Any] = json.loads(text)
        return {
            name: ServedLayer(at["value"], tuple(at["shape"]), at["dtype"], tuple(at["axes"]))
            for name, at in index.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableFile(f"the model's index of its layers is damaged: {error!r}") from None


def read(path: Path) -> ModelProto:
    """Reads a graph; its weights stay where they are.

    Raises:
        UnreadableFile: no ONNX model.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public home in every runtime
        raise UnreadableFile(f"{path}: not an ONNX model: {error}") from None
    if not model.graph.output:
        raise UnreadableFile(f"{path}: not an ONNX model: it has no outputs")
    return model


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
        nodes += _serving(layer, name, served)
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


def _serving(layer: ServedLayer, name: str, served: str) -> list[onnx.NodeProto]:
    """The nodes that make an output of a layer; the graph may hold its value in half precision."""
    nodes: list[onnx.NodeProto] = []
    value = layer.value
    if layer.axes:
        turn, value = value, f"{served}/turned"
        nodes.append(helper.make_node("Transpose", [turn], [value], value, perm=layer.axes))
    to: dict[str, Any] = {"to": layer.dtype} if layer.dtype == TensorProto.FLOAT else {}
    kind = "Cast" if to else "Identity"
    return [*nodes, helper.make_node(kind, [value], [served], f"serve {name}", **to)]


def _leading_to(
    values: set[str], nodes: Sequence[onnx.NodeProto]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes on the way to ``values``, in their order, and every value they touch."""
    needed = set(values)
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(_read(node))
    return kept[::-1], needed


def _read(node: onnx.NodeProto) -> set[str]:
    """The values a node reads, those that the body of a loop takes from around it among them."""
    inner = (part for attribute in node.attribute for part in attribute.g.node)
    return {*node.input}.union(*map(_read, inner))
