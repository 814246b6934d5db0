"""Layers into a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import CortexError, GraphError
from ..losses import CrossEntropy, MeanSquaredError, NegativeLogLikelihood, Term
from ..training.model import Model
from .layers import Input, LayerSpec
from .net import Net
from .terms import resolve

USUAL = {"softmax": CrossEntropy, "log_softmax": NegativeLogLikelihood}
"""The losses that suit what an operation puts out; the mean squared error suits any other."""


def sequential(layers: Iterable[Any], *, seed: int = 0, terms: Sequence[Term] = ()) -> Model:
    """A network of layers, one after the other unless their ``inputs`` say otherwise.

    Lists within the list are flattened. Without ``terms`` each output has the loss that suits it:
    cross-entropy for a softmax and a log_softmax, the mean squared error for any other, a logistic
    among them, against a target of the output's name.

    Raises:
        GraphError: a layer that does not fit; the message names it.
    """
    net = Net()
    append(net, layers)
    if not net.layers:
        raise GraphError("there are no layers")
    return finished(net, terms, seed)


def append(net: Net, layers: Iterable[Any], before: str = "", prefix: str = "") -> str:
    """Adds layers to a network, the first after the value ``before``; the last one's value.

    ``prefix`` is what the names they get begin with.

    Raises:
        GraphError: a layer that does not fit; the message names it.
    """
    for spec in _flat(layers):
        name = prefix + (spec.name or _fresh(net, spec.kind, prefix))
        if name in net.layers or name in net.types or net.has_parameter(name):
            raise GraphError(f"layer {name!r}: the name is used twice")
        x = _inputs(net, spec, name, before, prefix)
        net.layer = name
        try:
            before = spec.build(net, name, *x)
            unknown = set(spec.initial) - net.parts(name)
            if unknown:
                raise ValueError(f"it has no parameter {min(unknown)!r} to begin with something")
        except (ValueError, TypeError) as error:
            if isinstance(error, CortexError):
                raise
            raise GraphError(f"layer {name!r} ({spec.kind}): {error}") from None
        finally:
            net.layer = ""
        net.named(name, before, spec.kind)
    return before


def finished(net: Net, terms: Sequence[Term] = (), seed: int = 0) -> Model:
    """The network with the losses given, or on each output the usual one.

    An output is a layer that no other reads.
    """
    outputs = _outputs(net)
    net.terms += terms or [
        usual(net, name, value)
        for name, value in outputs.items()
        if net.types[value].dtype == "float" and not net.is_learnt(value)
    ]
    net.terms = resolve(net, net.terms, outputs)
    return net.model(outputs, seed)


def usual(net: Net, name: str, value: str) -> Term:
    """The loss of an output that was given none: it depends on the operation it comes from."""
    op = net.source(value)
    kind = USUAL.get(op.kind, MeanSquaredError) if op else MeanSquaredError
    return Term(kind(), value, f"{name}:target")


def _flat(layers: Iterable[Any]) -> Iterator[LayerSpec]:
    for each in layers:
        if isinstance(each, LayerSpec):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from _flat(each)  # type: ignore[arg-type]
        else:
            raise GraphError(f"{each!r} is no layer")


def _fresh(net: Net, kind: str, prefix: str) -> str:
    """The kind and the first number that is free."""
    number = 1
    while f"{prefix}{kind}-{number}" in net.layers:
        number += 1
    return f"{kind}-{number}"


def _inputs(net: Net, spec: LayerSpec, name: str, before: str, prefix: str) -> list[str]:
    """The values a layer reads; one it names may be beside it in the same branch."""
    if isinstance(spec, Input):
        return []
    if not spec.inputs:
        if not before:
            raise GraphError(f"layer {name!r}: nothing comes before it; begin with an input")
        return [before]
    beside = [prefix + each if prefix + each in net.layers else each for each in spec.inputs]
    if unknown := [each for each in beside if each not in net.layers]:
        raise GraphError(f"layer {name!r}: no layer before it is called {unknown[0]!r}")
    return [net.layers[each].value for each in beside]


def _outputs(net: Net) -> Mapping[str, str]:
    """What no layer reads: outputs it had before, and layers added, of one value the last."""
    read = net.read()
    old = {name: value for name, value in net.outputs.items() if value not in read}
    ends = {
        layer.value: name
        for name, layer in net.layers.items()
        if layer.value not in read and name not in net.inherited
    }
    return old | {name: value for value, name in ends.items()}
