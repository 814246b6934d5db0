"""The order of a model's layers, in which Keras counts them when it loads their weights.

Keras takes it from the graph, not from the file: by depth, and where that is the same in the order
of a walk from the outputs (``map_graph`` of ``keras/src/ops/function.py``, 3.15).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .model import KerasLayer, Output

Call = tuple[KerasLayer, int]


def in_order(inputs: Sequence[Output], outputs: Sequence[Output]) -> list[KerasLayer]:
    """The layers that lead to the outputs, and every input, as Keras orders them."""
    walked, met = _walk(outputs)
    depths = _depths(walked)
    for given in inputs:
        depths.setdefault(given.layer, 0)
        met.setdefault(given.layer, -1)
    return sorted(depths, key=lambda layer: (-depths[layer], met[layer]))


def _walk(outputs: Sequence[Output]) -> tuple[list[Call], dict[KerasLayer, int]]:
    """Every call after those it needs, and when each layer was met first."""
    finished: list[Call] = []
    met: dict[KerasLayer, int] = {}
    done = set[Call]()
    for output in outputs:
        waiting: list[tuple[Call, Iterator[Output]]] = []
        _enter((output.layer, output.call), waiting, done, met)
        while waiting:
            call, needs = waiting[-1]
            needed = next(needs, None)
            if needed is None:
                finished.append(call)
                waiting.pop()
            else:
                _enter((needed.layer, needed.call), waiting, done, met)
    return finished, met


def _enter(
    call: Call,
    waiting: list[tuple[Call, Iterator[Output]]],
    done: set[Call],
    met: dict[KerasLayer, int],
) -> None:
    if call not in done:
        done.add(call)
        met.setdefault(call[0], len(met))
        waiting.append((call, iter(_needs(call))))


def _needs(call: Call) -> list[Output]:
    layer, number = call
    return layer.calls[number].outputs if layer.calls else []


def _depths(walked: Sequence[Call]) -> dict[KerasLayer, int]:
    """How many calls there are at most from each layer to an output."""
    calls: dict[Call, int] = {}
    layers: dict[KerasLayer, int] = {}
    for call in reversed(walked):
        layer = call[0]
        depth = max(calls.get(call, 0), layers.get(layer, 0))
        layers[layer] = calls[call] = depth
        for needed in _needs(call):
            before = needed.layer, needed.call
            calls[before] = max(depth + 1, calls.get(before, 0))
    return layers
