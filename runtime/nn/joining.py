"""Several values into one, and branches that part and meet again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Literal

from .. import ops
from ..op import Operation
from ..tensor import Tensor
from .layers import Layers, LayerSpec, layer
from .net import Net

Joined = Literal["+", "*", "average", "maximum", "minimum"]
JOINS: dict[str, Operation] = {
    "+": ops.Add(),
    "*": ops.Multiply(),
    "average": ops.Average(),
    "maximum": ops.Maximum(),
    "minimum": ops.Minimum(),
}


@layer("join", "merge")
class Join(LayerSpec):
    """Its inputs element by element: their sum, product, mean, largest or smallest.

    Vectors may differ in length: a sum is as long as the longest, a product as the shortest.
    """

    operation: Joined = "+"

    def build(self, net: Net, name: str, *x: str) -> str:
        types = [net.types[value] for value in x]
        if self.operation in "+*" and all(tensor.rank == 2 for tensor in types):
            x = tuple(self._fitted(net, name, x, types))
        return self.add(net, self.op(), name, *x)

    def op(self, *x: Tensor) -> Operation:
        if self.operation not in JOINS:
            raise ValueError(f"operation {self.operation!r} is none of {', '.join(JOINS)}")
        return JOINS[self.operation]

    def _fitted(
        self, net: Net, name: str, x: Sequence[str], types: Sequence[Tensor]
    ) -> Sequence[str]:
        """The vectors made as long as each other."""
        lengths = [tensor.shape[-1] for tensor in types]
        if not all(isinstance(n, int) for n in lengths) or len(set(lengths)) == 1:
            return x
        sizes = [int(n) for n in lengths]
        wanted = max(sizes) if self.operation == "+" else min(sizes)
        fitted: list[str] = []
        for i, (value, size) in enumerate(zip(x, sizes, strict=True)):
            if size < wanted:
                op = ops.Pad(((0, 0), (0, wanted - size)))
                value = net.add(op, value, name=f"{name}/longer-{i + 1}")
            elif size > wanted:
                op = ops.StridedSlice((None, None), (None, wanted), (None, None))
                value = net.add(op, value, name=f"{name}/shorter-{i + 1}")
            fitted.append(value)
        return fitted


@layer("concatenate")
class Concatenate(LayerSpec):
    """Its inputs one after the other along an axis; ``flat`` makes a vector of each first."""

    axis: int = field(default=-1, kw_only=True)
    flat: bool = field(default=False, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        if self.flat:
            x = tuple(
                net.add(ops.Flatten(), value, name=f"{name}/flat-{i}")
                for i, value in enumerate(x, 1)
            )
        return self.add(net, ops.Concatenate(self.axis), name, *x)


@layer("branch", "broadcast")
class Branch(LayerSpec):
    """Lists of layers that all begin with its input, and what joins their ends.

    An empty list is the input itself. Their layers are called ``NAME/…``. ``axis`` is what they
    are concatenated along.
    """

    branches: Sequence[Layers]
    operation: Joined | Literal["concatenate"] = "concatenate"
    axis: int = field(default=-1, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        from .build import append  # which knows every layer, this one among them

        if len(x) != 1:
            raise ValueError(f"needs one input, not {len(x)}")
        if not self.branches:
            raise ValueError("it has no branches")
        scope = net.layer
        ends = [append(net, branch, before=x[0], prefix=f"{name}/") for branch in self.branches]
        net.layer = scope
        if len(ends) == 1:
            raise ValueError("one branch has nothing to be joined with")
        if self.operation == "concatenate":
            return self.add(net, ops.Concatenate(self.axis), name, *ends)
        # Not Join.build: a branch of another length is a mistake.
        return self.add(net, Join(self.operation).op(), name, *ends)


@layer("residual")
class Residual(LayerSpec):
    """Its layers' output plus its input."""

    layers: Layers

    def build(self, net: Net, name: str, *x: str) -> str:
        return Branch([[], self.layers], "+").build(net, name, *x)
