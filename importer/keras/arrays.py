"""The arrays of layers: found by name where the file names them, in order where it only counts.

Three ways of storing them come together here. Keras 2 lists, for each layer, variables with paths
(``bidirectional_1/forward_lstm_1/kernel:0``); Keras 3 numbers the variables of a tree of objects
(``bidirectional/forward_layer/cell/vars/0``); Keras 0 numbers all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...runtime.errors import Unsupported
from ..deferred import Deferred

Place = tuple[str, ...]
Nested = Mapping[str, Any]
"""Arrays by name; those of a layer inside are a mapping in their turn."""

NUMBERED = "vars"
TREES = ("layers", "_layer_checkpoint_dependencies")
"""Where a model's tree of objects has its layers; the second is tf.keras's."""


@dataclass
class Arrays:
    """Arrays in the order Keras lists them, each with its path below a layer or a model.

    An array's own name is its place in the file. ``taken`` remembers, for this layer and those
    inside it, what was read.
    """

    stored: list[tuple[Place, Deferred]] = field(default_factory=list[tuple[Place, Deferred]])
    taken: set[str] = field(default_factory=set[str])

    @classmethod
    def named(cls, arrays: Nested) -> Arrays:
        """Arrays whose names are known."""
        return cls(list(_flat((), arrays)))

    def __bool__(self) -> bool:
        return bool(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def again(self) -> Arrays:
        """The same arrays for another call of the layer: nothing is taken."""
        return Arrays(self.stored)

    def below(self, *names: str) -> Arrays:
        """What lies below these names, with the rest of the paths."""
        found = [(path[1:], array) for path, array in self.stored if path[0] in names and path[1:]]
        return Arrays(found, self.taken)

    def part(self, *names: str) -> Arrays:
        """What lies below these names; where nothing does, below them further down the paths."""
        if direct := self.below(*names):
            return direct
        found: list[tuple[Place, Deferred]] = []
        for path, array in self.stored:
            position = next((i for i, name in enumerate(path[:-1]) if name in names), None)
            if position is not None:
                found.append((path[position + 1 :], array))
        return Arrays(found, self.taken)

    def half(self, index: int) -> Arrays:
        """The first or the second half, for two layers stored one after the other."""
        middle = len(self.stored) // 2
        return Arrays(self.stored[:middle] if index == 0 else self.stored[middle:], self.taken)

    def take(self, wanted: str) -> Deferred | None:
        """The array of a name (``a|b``: or another one), or the next if they have only numbers."""
        names = wanted.split("|")
        free = [(path, array) for path, array in self.stored if array.name not in self.taken]
        # The shortest path first: a layer's own array before one of a layer inside it.
        for path, array in sorted(free, key=lambda entry: len(entry[0])):
            if path[-1] in names:
                return self._claim(array)
        own = [(path, array) for path, array in free if _is_number(path)]
        return self._claim(own[0][1]) if own else None

    def hand_over(self) -> Arrays:
        """The same arrays for somebody who sees to it that none is lost: here all are taken."""
        self.taken.update(array.name for _, array in self.stored)
        return self.again()

    def find(self, *names: str) -> Deferred | None:
        """As ``take``, but nothing is taken, and a number is no name."""
        found = (array for path, array in self.stored if path[-1] in names)
        return next(found, None)

    def names(self) -> Iterator[str]:
        """What the arrays are called, taken or not."""
        return ("/".join(path) for path, _ in self.stored)

    def left(self) -> Iterator[str]:
        """The names of the arrays that nobody took."""
        for path, array in self.stored:
            if array.name not in self.taken:
                yield "/".join(path)

    def _claim(self, array: Deferred) -> Deferred:
        self.taken.add(array.name)
        return array


def _flat(path: Place, arrays: Nested) -> Iterator[tuple[Place, Deferred]]:
    for name, value in arrays.items():
        if isinstance(value, Deferred):
            yield (*path, name), replace(value, name="/".join((*path, name)))
        else:
            yield from _flat((*path, name), value)


def _is_number(path: Place) -> bool:
    last = path[-1].removeprefix("param_")
    return last.isdigit() and (len(path) == 1 or path[-2] == NUMBERED)


class Shelf:
    """The arrays of a model's layers.

    ``groups`` are named after layers. If the model has a layer of each of these names, a layer's
    arrays are the group of its name. If not, the model was built again under other names, and each
    layer that asks for arrays is given the next group: so does Keras.
    """

    def __init__(self, groups: Mapping[str, Arrays], layers: Iterable[str]) -> None:
        self._groups = {name: arrays for name, arrays in groups.items() if arrays}
        self.by_order = not self._groups.keys() <= set(layers)
        self._given: dict[str, Arrays] = {}

    def arrays(self, layer: str) -> Arrays:
        """Those of a layer, for one call of it; to be called only for a layer that wants some."""
        if layer not in self._given:
            if self.by_order:
                unclaimed = next(iter(self._groups), None)
                found = self._groups.pop(unclaimed) if unclaimed is not None else Arrays()
            else:
                found = self._groups.get(layer, Arrays())
            self._given[layer] = found
        return self._given[layer].again()

    def check_empty(self) -> None:
        """After the last layer.

        Raises:
            Unsupported: a group that no layer took.
        """
        left = [name for name in self._groups if self.by_order or name not in self._given]
        if left:
            raise Unsupported(f"the arrays of {left[0]!r} would be lost: no layer asks for them")


def listed(arrays: Arrays, layers: Mapping[str, str]) -> Shelf:
    """A model inside a layer of Keras 1 or 2: one list, whose paths name the layers inside.

    ``layers`` maps each layer, however deep inside, to the layer of the model that it is in.
    """
    names = sorted(layers, key=len, reverse=True)
    groups: dict[str, Arrays] = {}
    for path, array in arrays.stored:
        name, rest = _owner(path, names)
        if layers.get(name, name) != name:  # it is for a model inside to find its way
            name, rest = layers[name], path
        groups.setdefault(name, Arrays()).stored.append((rest, array))
    return Shelf(groups, layers.values())


def _owner(path: Place, names: Iterable[str]) -> tuple[str, Place]:
    """The layer a path names, and what follows it; what it is called if it names none."""
    joined = "/".join(path)
    matches: Iterable[Callable[[str], int]] = (
        lambda name: 0 if joined.startswith((f"{name}/", f"{name}_")) else -1,
        lambda name: joined.find(f"/{name}/") + 1 or -1,
    )
    for at in matches:
        for name in names:
            if (start := at(name)) >= 0:
                rest = joined[start + len(name) + 1 :]
                return name, tuple(rest.split("/"))
    return "/".join(path[:-1]), path[-1:]


def of_layers(arrays: Arrays) -> Mapping[str, Arrays]:
    """The groups of a whole file of Keras 1 or 2, whose paths begin with the layer's name."""
    groups: dict[str, Arrays] = {}
    for (layer, *rest), array in arrays.stored:
        groups.setdefault(layer, Arrays()).stored.append((tuple(rest), array))
    return groups


CLASSES = {"GroupQueryAttention": "GroupedQueryAttention"}
"""Classes of Keras 3 whose own name, which its trees have, is not the one they are known by."""


def in_tree(arrays: Arrays, layers: Iterable[tuple[str, str]]) -> Shelf:
    """A model of Keras 3, whose layers (name, class) are counted class by class.

    ``dense``, ``dense_1``, …: the name of a layer plays no part.
    """
    inside = arrays.below(*TREES)
    counts: dict[str, int] = {}
    groups: dict[str, Arrays] = {}
    names: list[str] = []
    for name, kind in layers:
        snake = snake_case(CLASSES.get(kind, kind))
        number = counts[snake] = counts.get(snake, -1) + 1
        groups[name] = inside.below(f"{snake}_{number}" if number else snake)
        names.append(name)
    return Shelf(groups, names)


def snake_case(name: str) -> str:
    """A class as Keras 3 names its variables: Conv2DTranspose is conv2d_transpose."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
