"""Networks that try every operation in the forms of other formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cortex.importer.export.keras.writer import has_form, keras_model
from cortex.runtime.errors import Unsupported
from cortex.runtime.ir import Graph, Layer, Node
from cortex.runtime.network import Network
from cortex.runtime.op import OPERATIONS, Example
from cortex.runtime.tensor import Param, Tensor

KINDS = sorted(
    kind for kind, op in OPERATIONS.items() if op.__module__.startswith("cortex.runtime.ops.")
)
"""The operations that there are; tests declare some more."""


def of_examples(examples: Sequence[Example]) -> Network:
    """The examples side by side: as many inputs and outputs as they have together."""
    inputs: dict[str, Tensor] = {}
    nodes: list[Node] = []
    outputs: dict[str, str] = {}
    for number, (op, given) in enumerate(examples):
        names = ["" if x is None else f"x{number}_{i}" for i, x in enumerate(given)]
        for name, x in zip(names, given, strict=True):
            if x is not None:
                sizes = (f"{n}{number}" if isinstance(n, str) and n != "N" else n for n in x.shape)
                inputs[name] = Tensor(tuple(sizes), x.dtype)
        node = f"n{number}"
        params = {local: f"{node}/{local}" for local in op.params(*given)}
        nodes.append(Node(node, op, tuple(names), params, node))
        results = op.infer(*given)
        count = len(results) if isinstance(results, tuple) else 1
        outputs |= {f"y{number}_{i}": f"{node}:{i}" if i else node for i in range(count)}
    layers = {node.name: Layer(node.name, node.op.kind) for node in nodes}
    graph = Graph(inputs, tuple(nodes), outputs, layers)
    rng = np.random.default_rng(0)
    drawn = {n: rng.uniform(0.2, 1, sizes_of(p)) for n, p in graph.parameters.items()}
    return Network(graph, {name: array.astype(np.float32) for name, array in drawn.items()})


def sizes_of(param: Param) -> tuple[int, ...]:
    """The shape of a parameter, none of whose sizes is open."""
    return tuple(int(n) for n in param.shape)


def inputs_of(network: Network) -> dict[str, Any]:
    """Something to run it on: numbers that every function takes."""
    rng = np.random.default_rng(1)
    found: dict[str, Any] = {}
    for name, tensor in network.graph.inputs.items():
        first = 2 if isinstance(tensor.shape[0], str) else tensor.shape[0]
        shape = [first, *(4 if isinstance(n, str) else n for n in tensor.shape[1:])]
        if tensor.dtype == "float":
            users = [node.op for node in network.graph.nodes if name in node.inputs]
            low, high = next((op.domain for op in users if op.domain), (-1.0, 1.0))
            found[name] = rng.uniform(low, high, shape).astype(np.float32)
        else:
            found[name] = rng.integers(0, 2, shape).astype(tensor.dtype)
    return found


def written(kind: str, most: int = 100) -> Network | None:
    """The examples of an operation that Keras has a form for, together; None if it has none.

    Those whose inputs have no batch are left out: Keras knows none.
    """
    chosen: list[Example] = []
    for op, given in OPERATIONS[kind].examples():
        plain = all(x is None or x.shape[:1] == ("N",) for x in given)
        if has_form(op) and plain and given and len(chosen) < most:
            try:
                keras_model(of_examples([(op, given)]), "m")
            except Unsupported:
                continue
            chosen.append((op, given))
    return of_examples(chosen) if chosen else None


def refused() -> Iterator[str]:
    """The kinds of operations that Keras has no form for, whatever their options."""
    return (kind for kind in KINDS if written(kind, 1) is None)
