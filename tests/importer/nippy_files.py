"""Files of thinktopic/cortex made without Clojure: Nippy's bytes, and the map of a network."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cramjam import lz4, snappy
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]

SERIAL_NUMBERS = {"[D": "3ea68c14ab635a1e", "[F": "0b9c818922e00c42", "[I": "4dba602676eab2a5"}
HEADER = b"\xac\xed\x00\x05"


class Keyword(str):
    """A keyword of Clojure, without its colon."""

    __slots__ = ()


class Seq(list[Any]):
    """A seq, where a list is a vector."""


def freeze(value: Any) -> bytes:
    """A value as Nippy 2.13 freezes it."""
    match value:
        case None:
            return b"\x03"
        case bool():
            return b"\x08" if value else b"\x09"
        case Keyword():
            return b"\x6a" + struct.pack(">b", len(value.encode())) + value.encode()
        case str():
            return b"\x69" + struct.pack(">b", len(value.encode())) + value.encode()
        case int():
            return b"\x2b" + struct.pack(">q", value)
        case float():
            return b"\x3d" + struct.pack(">d", value)
        case np.ndarray() if value.ndim == 1:
            return b"\x2e\x02[D" + java(value)
        case np.ndarray():
            return freeze(Seq(list(value)))
        case Seq():
            return b"\x18" + struct.pack(">i", len(value)) + b"".join(map(freeze, value))
        case list():
            return b"\x15" + struct.pack(">i", len(value)) + b"".join(map(freeze, value))
        case dict():
            pairs = b"".join(freeze(key) + freeze(one) for key, one in value.items())
            return b"\x1e" + struct.pack(">i", len(value)) + pairs
        case _:
            raise TypeError(type(value))


def java(numbers: Array, name: str = "[D", dtype: str = ">f8") -> bytes:
    """An array as Java's ObjectOutputStream writes it."""
    return HEADER + b"\x75" + described(name) + elements(numbers, dtype)


def described(name: str) -> bytes:
    """The class of an array."""
    number = bytes.fromhex(SERIAL_NUMBERS.get(name, "00" * 8))
    return b"\x72" + struct.pack(">H", len(name)) + name.encode() + number + b"\x02\0\0\x78\x70"


def elements(numbers: Array, dtype: str = ">f8") -> bytes:
    """How many, and the numbers."""
    return struct.pack(">i", len(numbers)) + numbers.astype(dtype).tobytes()


def packed(data: bytes, method: int = 0) -> bytes:
    """The container, with what was frozen compressed as its fourth byte says."""
    size = struct.pack(">i", len(data))
    bodies = {
        1: lambda: bytes(snappy.compress_raw(data)),
        8: lambda: size + bytes(lz4.compress_block(data, store_size=False)),
        11: lambda: size + lzma.compress(data, lzma.FORMAT_XZ),
    }
    return b"NPY" + bytes([method]) + bodies.get(method, lambda: data)()


def keyed(value: Any) -> Any:
    """The same with keywords for the keys of maps."""
    if isinstance(value, Mapping):
        pairs: Any = value.items()
        return {Keyword(key): keyed(one) for key, one in pairs}
    if isinstance(value, list | tuple):
        items: Any = value
        return type(items)(map(keyed, items)) if isinstance(items, Seq) else list(map(keyed, items))
    return value


def keyword(value: str) -> Keyword:
    return Keyword(value)


def dimensions(shape: Shape) -> dict[str, int]:
    """The shape of an example as cortex writes it."""
    sizes = (1,) * (3 - len(shape)) + tuple(shape)
    return dict(zip(("channels", "height", "width"), sizes, strict=True))


@dataclass
class Graph:
    """A network as it grows; ``map`` is what cortex would freeze."""

    nodes: dict[str, Any] = field(default_factory=dict[str, Any])
    edges: list[Any] = field(default_factory=list[Any])
    buffers: dict[str, Any] = field(default_factory=dict[str, Any])
    streams: dict[str, Any] = field(default_factory=dict[str, Any])

    def input(self, name: str, *shape: int) -> str:
        """An input of that shape, fed by the stream of its name."""
        self.streams[name] = dimensions(shape)
        sizes = [{**dimensions(shape), "stream": keyword(name)}]
        self.nodes[name] = {
            "type": keyword("input"),
            "id": keyword(name),
            "input": {"stream": keyword(name)},
            "input-dimensions": sizes,
            "output-dimensions": sizes,
        }
        return name

    def add(self, kind: str, name: str, *parents: str, **options: Any) -> str:
        """A node; arrays among its options become buffers."""
        node: dict[str, Any] = {"type": keyword(kind), "id": keyword(name)}
        for option, value in options.items():
            option = option.replace("_", "-")
            if isinstance(value, np.ndarray):
                buffer = keyword(f"{name}-{option}-1")
                self.buffers[buffer] = {"buffer": value}
                value = {"buffer-id": buffer}
            node[option] = value
        self.nodes[name] = node
        self.edges += [[keyword(parent), keyword(name)] for parent in parents]
        return name

    def loss(self, kind: str, name: str, of: str, **options: Any) -> None:
        """A loss of a node's output, held against the stream "label"."""
        self.add(
            kind,
            name,
            of,
            output={"type": keyword("node-output"), "node-id": keyword(of)},
            labels={"type": keyword("stream"), "stream": keyword("label")},
            **options,
        )

    def map(self, **facts: Any) -> Any:
        """The network as a Clojure map."""
        graph = {
            "nodes": self.nodes,
            "edges": Seq(self.edges),
            "buffers": self.buffers,
            "streams": self.streams,
        }
        return keyed({"compute-graph": graph, "epoch-count": 7, **facts})

    def write(self, path: Path, method: int = 0, **facts: Any) -> Path:
        """Writes the network to a file."""
        path.write_bytes(packed(freeze(self.map(**facts)), method))
        return path


def small(path: Path, method: int = 0, **facts: Any) -> Path:
    """A network of two layers and a loss, of two inputs and one output."""
    rng = np.random.default_rng(1)
    graph = Graph()
    graph.input("data", 2)
    shapes: Sequence[Any] = ((4, 2), 4, (1, 4), 1)
    weights, bias, last, offset = (rng.normal(size=shape) for shape in shapes)
    graph.add("linear", "linear-1", "data", output_size=4, weights=weights, bias=bias)
    graph.add("tanh", "tanh-1", "linear-1")
    # cortex stores a matrix of one row as one array
    graph.add("linear", "label", "tanh-1", output_size=1, weights=last.reshape(-1), bias=offset)
    graph.loss("mse-loss", "mse-loss-1", "label")
    return graph.write(path, method, **facts)
