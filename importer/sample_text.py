"""Strings to check a model with: words that it knows, and one that it does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..runtime.check import Array
from ..runtime.ir import Graph
from ..runtime.op import Operation
from ..runtime.ops import CountWords, LookupText, SplitText
from ..runtime.tensor import STRING

LONGEST = 8
"""Words of a text."""
UNKNOWN = "unknown"


def strings_for(
    graph: Graph, name: str, shape: tuple[int, ...], generator: np.random.Generator
) -> Array:
    """Words of the vocabulary that the input is looked up in; sentences where it is split.

    The last word of all is in no vocabulary, unless the model has no number for such words.
    """
    readers = list(_readers(graph, name))
    tables = [op for op in readers if isinstance(op, LookupText | CountWords)]
    words = sorted({key for table in tables for key in table.keys if key})
    unknown = _unlike(words)
    words = words or [unknown]
    is_split = any(isinstance(op, SplitText | CountWords) for op in readers)
    longest, count = LONGEST if is_split else 1, int(np.prod(shape, dtype=np.int64))
    texts = [
        [words[n] for n in generator.integers(0, len(words), length)]
        for length in generator.integers(1, longest + 1, count)
    ]
    if all(table.default >= 0 for table in tables):
        texts[-1] = [*texts[-1][: longest - 1], unknown]
    strings = np.empty(count, object)
    strings[:] = [_sentence(text) if is_split else text[0] for text in texts]
    return strings.reshape(shape)


def _readers(graph: Graph, name: str) -> Iterator[Operation]:
    """The operations that read the input, or strings that are made of it."""
    strings = {name}
    for node in graph.nodes:
        if strings.intersection(node.inputs):
            yield node.op
            strings.update(v for v in graph.values(node) if graph.types[v].dtype == STRING)


def _unlike(words: list[str]) -> str:
    unknown = UNKNOWN
    while unknown in words:
        unknown += "?"
    return unknown


def _sentence(words: list[str]) -> str:
    """What a standardization has something to do with."""
    return f"{' '.join(words).capitalize()}."
