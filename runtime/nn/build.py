"""Layers into a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import CortexError, GraphError
from ..losses import CrossEntropy, MeanSquaredError, Term
from ..training.model import Model
from .layers import Input, LayerSpec
from .net import Net


def sequential(layers: Iterable[Any], *, seed: int = 0, terms: Sequence[Term] = ()) -> Model:
    """A network of layers, one after the other unless their ``inputs`` say otherwise.

    Lists within the list are flattened. Without ``terms`` each output has the loss that suits it:
    cross-entropy for a softmax, the mean squared error for any other, against a target of the
    output's name.

    Raises:
        GraphError: a layer that does not fit; the message names it.
    """
    net, made, before = Net(), Counter[str](), ""
    values: dict[str, str] = {}
    for spec in _flat(layers):
        made[spec.kind] += 1
        name = spec.name or f"{spec.kind}-{made[spec.kind]}"
        if name in values:
            raise GraphError(f"layer {name!r}: the name is used twice")
        x = _inputs(spec, name, before, values)
        try:
            values[name] = spec.build(net, name, *x)
        except (ValueError, TypeError) as error:
            if isinstance(error, CortexError):
                raise
            raise GraphError(f"layer {name!r} ({spec.kind}): {error}") from None
        net.named(name, values[name], spec.kind)
        before = name
    if not values:
        raise GraphError("there are no layers")
    outputs = _outputs(net, values)
    net.terms += terms or [_usual(net, name, value) for name, value in outputs.items()]
    return net.model(outputs, seed)


def _flat(layers: Iterable[Any]) -> Iterable[LayerSpec]:
    for each in layers:
        if isinstance(each, LayerSpec):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from _flat(each)  # type: ignore[arg-type]
        else:
            raise GraphError(f"{each!r} is no layer")


def _inputs(spec: LayerSpec, name: str, before: str, values: dict[str, str]) -> list[str]:
    if isinstance(spec, Input):
        return []
    names = spec.inputs or ((before,) if before else ())
    if not names:
        raise GraphError(f"layer {name!r}: nothing comes before it; begin with an input")
    if unknown := [each for each in names if each not in values]:
        raise GraphError(f"layer {name!r}: no layer before it is called {unknown[0]!r}")
    return [values[each] for each in names]


def _outputs(net: Net, values: dict[str, str]) -> dict[str, str]:
    """The layers that no other reads."""
    read = net.read()
    return {name: value for name, value in values.items() if value not in read}


def _usual(net: Net, name: str, value: str) -> Term:
    loss = CrossEntropy() if net.kind(value) == "softmax" else MeanSquaredError()
    return Term(loss, value, f"{name}:target")
