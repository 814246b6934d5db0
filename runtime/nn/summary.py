"""The table of a network's layers: what goes in, what comes out, and every parameter's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..ir import Graph, Node
from ..tensor import Size
from ..training.model import Model

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Shape = tuple[Size, ...]
HEAD = ("layer", "type", "input", "output", "parameters")


@dataclass(frozen=True)
class Row:
    """A layer.

    Attributes:
        inputs: what it reads, an example's shape each.
        output: an example's shape.
        parameters: the shape of each that is its own, by the name it has in the layer.
        frozen: none of them learns.
    """

    name: str
    kind: str
    inputs: Sequence[Shape]
    output: Shape
    parameters: Mapping[str, Shape]
    frozen: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in the table's columns."""
        own = ", ".join(f"{name} {_sizes(shape)}" for name, shape in self.parameters.items())
        return (
            self.name,
            self.kind,
            ", ".join(_described(shape) for shape in self.inputs),
            _described(self.output),
            own + (" (frozen)" if self.frozen and own else ""),
        )


@dataclass(frozen=True)
class Table:
    """All layers of a network; as text, and as a table of rich.

    Attributes:
        count: elements of all parameters, statistics and the centres of losses among them.
    """

    rows: Sequence[Row]
    count: int

    @property
    def last_line(self) -> str:
        """The number of parameters."""
        return f"Parameter count: {self.count:,}"

    def __str__(self) -> str:
        lines = [HEAD, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        rule = "-" * max(map(len, texts))
        return "\n".join([texts[0], rule, *texts[1:], rule, self.last_line])

    def __rich__(self) -> RichTable:
        from rich.table import Table as RichTable  # slow to import

        made = RichTable(*HEAD, caption=self.last_line, caption_justify="left")
        for row in self.rows:
            made.add_row(*row.cells)
        return made


def table(model: Model) -> Table:
    """The layers of a model in the order in which they run."""
    graph = model.network.graph
    nodes: dict[str, list[Node]] = {}
    for node in graph.nodes:
        nodes.setdefault(node.layer or node.name, []).append(node)
    inputs = [name for name in graph.inputs if name not in graph.states and name not in nodes]
    names = dict.fromkeys([*inputs, *nodes])
    seen: set[str] = set()
    rows = [_row(graph, name, nodes.get(name, []), seen, model.frozen) for name in names]
    return Table(rows, sum(param.size for param in graph.parameters.values()))


def _row(
    graph: Graph, name: str, nodes: Sequence[Node], seen: set[str], frozen: frozenset[str]
) -> Row:
    """A layer's row; a parameter is that of the first layer that uses it."""
    made = {value for node in nodes for value in graph.values(node)}
    read = dict.fromkeys(
        value for node in nodes for value in node.inputs if value and value not in made
    )
    own: dict[str, Shape] = {}
    for node in nodes:
        for local, full in node.params.items():
            if full not in seen:
                part = node.name[len(name) + 1 :]
                own[f"{part}/{local}" if local in own else local] = graph.parameters[full].shape
                seen.add(full)
    layer = graph.layers.get(name)
    value = layer.value if layer else nodes[-1].name if nodes else name
    kind = layer.kind if layer and layer.kind else nodes[-1].op.kind if nodes else "input"
    learns = [node for node in nodes if node.params and node.name not in frozen]
    return Row(
        name,
        kind,
        [graph.types[value].shape[1:] for value in read if value not in graph.states],
        graph.types[value].shape[1:],
        own,
        not learns,
    )


def _sizes(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "1"


def _described(shape: Shape) -> str:
    """Sizes, and how many elements these are."""
    if len(shape) < 2 or any(isinstance(size, str) for size in shape):
        return _sizes(shape)
    return f"{_sizes(shape)} - {prod(int(size) for size in shape)}"
