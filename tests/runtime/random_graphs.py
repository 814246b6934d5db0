"""Random graphs with all that makes plans difficult.

Views of views, values read by many, by one node twice, or by none, shared parameters, operations
that write in place, several outputs, inputs left out, frozen nodes, dropout, batch statistics,
several losses on one value, on inputs, and on a softmax with and without company.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from cortex.runtime.ir import Graph
from cortex.runtime.losses import CrossEntropy, Inner, Loss, MeanSquaredError, Term
from cortex.runtime.op import Operation
from cortex.runtime.ops import (
    Add,
    Average,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Maximum,
    Multiply,
    Prelu,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Subtract,
    Tanh,
    Transpose,
    ZeroPadding,
)
from cortex.runtime.tensor import Size, Tensor

from .networks import Chain, Halves


@dataclass(frozen=True)
class Case:
    """A graph and what is asked of it."""

    graph: Graph
    terms: tuple[Term, ...]
    wrt: tuple[str, ...]
    frozen: tuple[str, ...]
    training: bool


def random_case(seed: int) -> Case:
    """The same for the same seed."""
    random = Random(seed)
    chain = Chain(x=Tensor(("N", 4)), z=Tensor(("N", 2, 4)))
    types = dict(chain.inputs)
    for _ in range(random.randint(4, 14)):
        op, inputs = _drawn(random, types)
        name = chain.add(op, *inputs, shares=_shared(random, chain, op, inputs, types))
        types = dict(chain.graph().types)
        assert name in types
    values = list(types)
    outputs = {values[-1], *random.sample(values, random.randint(0, 2))}
    nodes = [node.name for node in chain.nodes]
    return Case(
        chain.graph(*sorted(outputs)),
        tuple(_terms(random, chain, values)),
        tuple(random.sample(values, min(len(values), random.randint(0, 4)))),
        tuple(random.sample(nodes, random.choice([0, 0, 1, 2]))),
        random.random() < 0.5,
    )


def _drawn(random: Random, types: dict[str, Tensor]) -> tuple[Operation, tuple[str, ...]]:
    """An operation and the values it is applied to."""
    x = random.choice([*types, *list(types)[-3:]])  # the latest more often: graphs grow deep
    shape = types[x].shape
    alike = [name for name, tensor in types.items() if tensor.shape == shape]
    mates = [name for name, tensor in types.items() if _broadcasts(tensor.shape, shape)]
    others = [random.choice([*alike, *mates]), *random.choices(alike, k=random.choice([0, 0, 1]))]
    fours = [name for name, tensor in types.items() if tensor.shape[-1] == 4]
    width = math.prod(n for n in shape if isinstance(n, int))
    activations = [Relu(), Relu(), Tanh(), Sigmoid(), Softmax(), Prelu()]
    choices: list[tuple[Operation, tuple[str, ...]]] = [
        (random.choice(activations), (x,)),
        (random.choice(activations), (x,)),
        (random.choice([Dropout(0.4), BatchNormalization(momentum=0.8)]), (x,)),
        (random.choice([Dropout(0.4), GaussianNoise(0.3), Tanh()]), (x,)),
        (Dense(random.choice([2, 4])), (x,)),
        (Dense(4), (random.choice(fours),)),
        (random.choice([Add(), Add(), Multiply(), Average(), Maximum()]), (x, *others)),
        (Subtract(), (x, others[0])),
        (random.choice([Flatten(), Reshape((1, -1))]), (x,)),
    ]
    if width < 20:
        choices.append((Concatenate(), (x, random.choice(alike))))
    if width % 2 == 0:
        choices.append((Reshape((2, -1)), (x,)))
    if len(shape) == 3:
        choices.append((random.choice([Transpose((0, 2, 1)), ZeroPadding(((1, 0),))]), (x,)))
    if isinstance(shape[-1], int) and shape[-1] % 2 == 0:
        choices.append((Halves(), random.choice([(x,), (x, ""), (x, others[0])])))
    return random.choice(choices)


def _broadcasts(one: tuple[Size, ...], other: tuple[Size, ...]) -> bool:
    """Whether the two have as many axes, and a size of 1 where they differ."""
    pairs = list(zip(one, other, strict=False))
    return len(one) == len(other) and all(n == m or 1 in (n, m) for n, m in pairs)


def _shared(
    random: Random, chain: Chain, op: Operation, inputs: tuple[str, ...], types: dict[str, Tensor]
) -> dict[str, str]:
    """Often the parameters of an earlier dense layer of the same sizes."""
    width = types[inputs[0]].shape[-1]
    for node in chain.nodes:
        alike = isinstance(op, Dense) and node.op == op
        if alike and types[node.inputs[0]].shape[-1] == width and random.random() < 0.7:
            return dict(node.params)
    return {}


def _terms(random: Random, chain: Chain, values: list[str]) -> list[Term]:
    positive = [n.name for n in chain.nodes if isinstance(n.op, Softmax | Sigmoid)]
    terms: list[Term] = []
    for i in range(random.randint(1, 4)):
        loss: Loss = random.choice([MeanSquaredError(), Inner()])
        on = random.choice([*values, *values[-3:]])
        if positive and random.random() < 0.6:
            loss, on = CrossEntropy(), random.choice(positive)
        terms.append(Term(loss, on, f"target {i}", random.choice([1.0, 0.3, 2.0])))
    return terms
