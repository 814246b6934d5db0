"""Replaying a model's check on the very session that will serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from ...runtime.check import Check
from ...runtime.errors import Disagreement
from ..tensors import Array
from .session import Program

LONGEST = 2.0
"""Seconds that the largest batch tried may be expected to take: to start must not take minutes."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a replay showed.

    Attributes:
        evidence: who computed what is expected (see ``importer.reference``).
        largest: the largest difference of an output, relative to its scale.
        rows: the batch sizes that were tried.
    """

    evidence: str
    largest: float
    rows: Sequence[int]


def replay(
    check: Check,
    program: Program,
    layers: Callable[[Sequence[str]], Program],
    max_batch: int = 1,
) -> Proof:
    """Runs the recorded input and compares what comes out.

    Where requests may share a batch, it is run one row at a time too, and repeated to ``max_batch``
    rows, or as many as take ``LONGEST``. ``layers`` opens a program that answers with the named
    layers, in that order; it is asked only to find where a difference begins, and refuses what it
    does not know by a ``KeyError``.

    Raises:
        Disagreement: an output is missing or differs; the message names the first layer that does.
    """
    names = [spec.name for spec in program.outputs]
    if missing := [name for name in check.outputs if name not in names]:
        raise Disagreement(f"its check expects an output {missing[0]!r}; it has {', '.join(names)}")

    def compare(outputs: Sequence[Array], where: str = "") -> float:
        found = dict(zip(names, outputs, strict=True))
        for name, difference in check.differing_outputs(found):
            raise Disagreement(
                f"output {name!r} differs from its check by {difference.relative:.1e} of its "
                f"scale{where}, allowed are {check.tolerance:.1e}; {_where(check, layers)}"
            )
        return max(
            (at.difference(found[name]).relative for name, at in check.outputs.items()), default=0.0
        )

    began = perf_counter()
    largest = compare(program.run(check.inputs, names))
    seconds, tried = perf_counter() - began, list[int]()
    if program.batched(names) and (own := len(next(iter(check.inputs.values())))):
        most = max(1, min(max_batch, int(LONGEST * own / seconds)))
        tried = sorted({1, own, most})
        for rows in {1, most} - {own}:
            for outputs in _in_batches(check.inputs, own, rows, program, names):
                largest = max(largest, compare(outputs, f" in a batch of {rows} rows"))
    return Proof(check.evidence, largest, tried)


def _in_batches(
    inputs: Mapping[str, Array], own: int, rows: int, program: Program, names: Sequence[str]
) -> Iterator[list[Array]]:
    """The outputs for the check's ``own`` rows, computed ``rows`` at a time.

    Where a batch has more it holds the check's rows over and over, and gives an answer for each
    time; the last, where the rows do not come out even, begins before the one ahead of it ends.
    """
    numbers = np.arange(max(rows, own)) % own
    found = [
        program.run({name: array[part] for name, array in inputs.items()}, names)
        for part in (numbers[start : start + rows] for start in range(0, len(numbers), rows))
    ]
    outputs = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    for name, output in zip(names, outputs, strict=True):
        if len(output) != len(numbers):
            raise Disagreement(f"output {name!r} has {len(output)} rows for {len(numbers)} rows")
    last = len(numbers) - own
    for start in sorted({*range(0, last + 1, own), last}):
        order = start + (np.arange(own) - start) % own  # by the row of the check
        yield [output[order] for output in outputs]


def _where(check: Check, layers: Callable[[Sequence[str]], Program]) -> str:
    names = list(check.layers)
    if not names:
        return "no layers were recorded"
    try:
        program = layers(names)
    except KeyError as error:
        return f"where it begins is unknown: the graph does not name layer {error}"
    values = program.run(
        {spec.name: check.inputs[spec.name] for spec in program.inputs},
        [spec.name for spec in program.outputs],
    )
    found = dict(zip(names, values, strict=True))
    for name, difference in check.differing_layers(found.__getitem__):
        return f"the first layer that differs is {name!r}, by {difference.relative:.1e}"
    return "every recorded layer agrees"
