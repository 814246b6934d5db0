"""Replaying a model's check on the very session that will serve it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...runtime.check import Check
from ...runtime.errors import Disagreement
from .session import Program


def replay(check: Check, program: Program, layers: Callable[[Sequence[str]], Program]) -> None:
    """Runs the recorded input and compares what comes out.

    ``layers`` opens a program that answers with the named layers, in that order; it is asked only
    to find where a difference begins, and refuses what it does not know by a ``KeyError``.

    Raises:
        Disagreement: an output is missing or differs; the message names the first layer that does.
    """
    names = [spec.name for spec in program.outputs]
    if missing := [name for name in check.outputs if name not in names]:
        raise Disagreement(f"its check expects an output {missing[0]!r}; it has {', '.join(names)}")
    outputs = dict(zip(names, program.run(check.inputs, names), strict=True))
    for name, difference in check.differing_outputs(outputs):
        raise Disagreement(
            f"output {name!r} differs from its check by {difference.relative:.1e} of its scale, "
            f"allowed are {check.tolerance:.1e}; {_where(check, layers)}"
        )


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
