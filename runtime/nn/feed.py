"""Data as people have them, as a model is fed: named after its inputs and targets, in their shapes.

nn.train(net, (x, y))        nn.train(net, {"x": x, "y": y})        nn.train(net, dataset)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..data import INPUT, Arrays, Batch, Dataset
from ..errors import UsageError
from ..ops import Embedding
from ..tensor import Tensor
from ..training.model import Model

Array: TypeAlias = Any
Data: TypeAlias = Dataset | Mapping[str, Array] | Sequence[Array] | Array
"""A dataset, arrays by name, arrays in order, or the one array there is."""


def fed(data: Data, model: Model, *, seed: int = 0, targets: bool = True) -> Dataset:
    """The data as the model needs them.

    Arrays that are not called as the model's inputs and targets are taken in order: inputs, then
    targets, then, where the arrays have no names, weights. A target or weights to which a loss
    gives a name of their own must be there by that name, if the arrays have names. Of data that
    have no targets the inputs are these, in an autoencoder.

    Args:
        data: what there is.
        model: what is to be fed.
        seed: of the order of arrays in memory.
        targets: whether targets are needed.

    Raises:
        UsageError: there are too few arrays; later, that one does not fit.
    """
    source = _dataset(data, seed)
    wanted = _wanted(model, targets)
    try:
        first: Batch = next(iter(source.batches(1)))
    except StopIteration:
        raise UsageError("the data are empty") from None
    given = _given(model) if source is data or isinstance(data, Mapping) else set[str]()
    return _Fed(source, _names(wanted, first, model, given), model)


class _Fed:
    """A dataset whose arrays have other names and shapes."""

    def __init__(self, of: Dataset, names: Mapping[str, str], model: Model) -> None:
        self.of, self._names, self._inputs = of, names, _inputs(model)
        self._vocabularies = _vocabularies(model)

    def __len__(self) -> int:
        return len(self.of)

    def batches(self, size: int, epoch: int | None = None) -> Iterator[Batch]:
        """The dataset's."""
        for batch in self.of.batches(size, epoch):
            yield {name: self._shaped(name, batch[held]) for name, held in self._names.items()}

    def _shaped(self, name: str, array: Array) -> Array:
        """An input in its shape; targets take theirs where the loss reads them."""
        tensor = self._inputs.get(name)
        if tensor is None:
            return array
        if name in self._vocabularies:
            _check_ids(name, array, self._vocabularies[name])
        sizes = tensor.shape[1:]
        if len(sizes) + 1 == array.ndim or any(isinstance(size, str) for size in sizes):
            return array
        if prod(array.shape[1:]) != prod(int(size) for size in sizes):
            raise UsageError(
                f"input {name!r}: an example's shape is {array.shape[1:]}, expected {sizes}"
            )
        return array.reshape(len(array), *sizes)


def _dataset(data: Data, seed: int) -> Dataset:
    if hasattr(data, "batches"):
        return data  # type: ignore[return-value]
    if isinstance(data, Mapping):
        return Arrays(data, seed=seed)  # type: ignore[arg-type]
    arrays = list(data) if isinstance(data, (tuple, list)) else [data]
    return Arrays({str(i): np.asarray(array) for i, array in enumerate(arrays)}, seed=seed)


def _inputs(model: Model) -> Mapping[str, Tensor]:
    graph = model.network.graph
    return {name: type_ for name, type_ in graph.inputs.items() if name not in graph.states}


def _vocabularies(model: Model) -> Mapping[str, int]:
    """By input how many ids it may have, where a table looks them up.

    A network takes the nearest row for any other, but whoever trains is told.
    """
    found: dict[str, int] = {}
    for node in model.network.graph.nodes:
        if isinstance(node.op, Embedding):
            (name,), size = node.inputs, node.op.vocabulary
            found[name] = min(size, found.get(name, size))
    return found


def _check_ids(name: str, ids: Array, size: int) -> None:
    if ids.size and not 0 <= ids.min() <= ids.max() < size:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise UsageError(f"input {name!r}: {wrong} is no id of its table; they are 0 to {size - 1}")


def _wanted(model: Model, targets: bool) -> Sequence[str]:
    """What a batch needs, inputs first."""
    graph = model.network.graph
    values = {value for node in graph.nodes for value in graph.values(node)}
    names = [*_inputs(model)]
    if targets:
        needy = [term for term in model.terms if term.loss.target(graph.types[term.on]) is not None]
        names += [term.target for term in needy]
        names += [term.weights for term in model.terms if term.weights]
    return [name for name in dict.fromkeys(names) if name not in values]


def _given(model: Model) -> set[str]:
    """The names of targets and weights that somebody chose: none but ``target`` and NAME:target."""
    chosen = {name for term in model.terms for name in (term.target, term.weights)}
    return {name for name in chosen if name.rpartition(":")[2] != "target"} - {*_inputs(model)}


def _names(
    wanted: Sequence[str], first: Batch, model: Model, given: Collection[str]
) -> Mapping[str, str]:
    """Which of the data's arrays each of the model's inputs and targets is.

    ``given``: those that no array of another name stands for.
    """
    names = {name: name for name in wanted if name in first}
    missing = [name for name in wanted if name not in first and name not in given]
    others = sorted((name for name in first if name not in names), key=lambda name: name != INPUT)
    names |= dict(zip(missing, others, strict=False))
    left = [name for name in wanted if name not in names]
    inputs = [*_inputs(model)]
    if left and len(inputs) == 1 and not set(left) & set(inputs):
        size = prod(first[names[inputs[0]]].shape[1:])
        own = [name for name in left if name not in given and _size(model, name) == size]
        names |= dict.fromkeys(own, names[inputs[0]])
        left = [name for name in left if name not in own]
    if left:
        raise UsageError(
            f"the network needs {', '.join(wanted)}, the data have {', '.join(first)}: "
            f"nothing is {left[0]!r}"
        )
    return names


def _size(model: Model, target: str) -> int | None:
    """Elements of an example's target; None: nobody knows."""
    graph = model.network.graph
    for term in model.terms:
        wanted = term.loss.target(graph.types[term.on]) if term.target == target else None
        if wanted and not any(isinstance(size, str) for size in wanted.shape[1:]):
            return prod(int(size) for size in wanted.shape[1:])
    return None
