"""Training steps of plans against eager PyTorch: forward and backward, float32, the same weights.

    python benchmarks/runtime.py [--rounds 21]

Both run in turns, a little of each in every round; the ratio is the median of the rounds' ratios.
First the gradients of the two are compared. The exit code is 1 if a row misses its bar.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cortex.runtime.ir import Graph, Node
from cortex.runtime.losses import CrossEntropy, Loss, MeanSquaredError, Term
from cortex.runtime.op import Operation
from cortex.runtime.ops import Convolution, Dense, Flatten, MaxPooling, Relu, Softmax
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.shard import split
from cortex.runtime.team import Team
from cortex.runtime.tensor import Tensor

torch: Any = importlib.import_module("torch")  # a peer, in benchmarks/requirements.txt

Array = NDArray[Any]
Step = Callable[[], object]
SECONDS = 0.1  # of each of the two in a round
REST = 0.01  # seconds for the other's threads to stop spinning


@dataclass(frozen=True)
class Case:
    """A network both can train.

    Attributes:
        operations: one after the other; a dense layer or a convolution takes its PyTorch weights
            from ``to_torch``, by the number of the parameter.
        loss: on the last value, or on a softmax of it.
    """

    name: str
    input: tuple[int, ...]
    operations: Sequence[Operation]
    modules: Callable[[], Any]
    loss: Loss
    torch_loss: Callable[[], Any]
    to_torch: Mapping[int, Callable[[Array], Array]]
    image: bool = False


def mlp() -> Case:
    """64-128-128-1."""
    nn = torch.nn
    return Case(
        "MLP 64-128-128-1",
        (64,),
        [Dense(128), Relu(), Dense(128), Relu(), Dense(1)],
        lambda: nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1)
        ),
        MeanSquaredError(),
        nn.MSELoss,
        dict.fromkeys((0, 2, 4), np.transpose),
    )


def convnet() -> Case:
    """The convnet for MNIST that cortex came with."""
    nn = torch.nn

    def kernel(array: Array) -> Array:
        return array.transpose(3, 2, 0, 1)

    def flattened(array: Array) -> Array:
        """PyTorch flattens with the channels first."""
        return array.reshape(4, 4, 50, 1000).transpose(3, 2, 0, 1).reshape(1000, 800)

    return Case(
        "MNIST convnet",
        (28, 28, 1),
        [
            Convolution(20, (5, 5)), MaxPooling((2, 2)), Relu(),
            Convolution(50, (5, 5)), MaxPooling((2, 2)), Relu(),
            Flatten(), Dense(1000), Relu(), Dense(10), Softmax(),
        ],
        lambda: nn.Sequential(
            nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(800, 1000), nn.ReLU(), nn.Linear(1000, 10),
        ),
        CrossEntropy(),
        nn.CrossEntropyLoss,
        {0: kernel, 2: kernel, 4: flattened, 6: np.transpose},
        image=True,
    )  # fmt: skip


def graph_of(case: Case) -> Graph:
    """The operations as a chain."""
    inputs, nodes, value = {"x": Tensor(("N", *case.input))}, list[Node](), "x"
    for i, op in enumerate(case.operations):
        types = Graph(inputs, tuple(nodes), {}).types
        params = {local: f"{i}/{local}" for local in op.params(types[value])}
        nodes.append(Node(f"{op.kind}{i}", op, (value,), params))
        value = nodes[-1].name
    return Graph(inputs, tuple(nodes), {"y": value})


class Ours:
    """A step of a plan for each thread, and the sum of their gradients."""

    def __init__(self, case: Case, arrays: Mapping[str, Array], x: Array, t: Array, threads: int):
        graph = graph_of(case)
        self.parameters = Parameters(graph, arrays)
        terms = [Term(case.loss, graph.outputs["y"])]
        self._team = Team.of(threads)
        self._x, self._t = x, t
        self._plans = [
            Plan(graph, self.parameters, {"N": n}, training=True, terms=terms, shard=shard)
            for shard, n in split(len(x), threads, self._team.meet)
        ]

    def _run(self, index: int) -> None:
        plan = self._plans[index]
        rows = slice(plan.shard.first_row, plan.shard.first_row + len(plan.v["x"]))
        plan.v["x"][...], plan.v["target"][...] = self._x[rows], self._t[rows]
        plan.run()

    def _step(self) -> None:
        self._team.run(self._run)
        first, *others = self._plans
        for plan in others:
            np.add(first.grad, plan.grad, out=first.grad)

    def repeat(self, steps: int) -> None:
        """Runs so many steps; those of one thread without handing each over."""

        def alone(index: int) -> None:
            for _ in range(steps):
                self._run(index)

        if len(self._plans) == 1:
            self._team.run(alone)
            return
        for _ in range(steps):
            self._step()

    def gradients(self) -> list[Array]:
        """Of a step, in the order of the parameters."""
        self.repeat(1)
        return list(self.parameters.views(self._plans[0].grad).values())


class Theirs:
    """A step of eager PyTorch."""

    def __init__(self, case: Case, arrays: Mapping[str, Array], x: Array, t: Array, threads: int):
        self._threads, self._case = threads, case
        self._module, self._loss = case.modules(), case.torch_loss()
        for i, (weight, array) in enumerate(zip(self._weights(), arrays.values(), strict=True)):
            turned = case.to_torch.get(i, np.asarray)(array)
            weight.data = torch.from_numpy(np.ascontiguousarray(turned))
        x = x.transpose(0, 3, 1, 2) if case.image else x
        # A copy: with one channel a turned array passes for channels last, which is another kernel.
        self._x, self._t = (
            torch.empty(a.shape).copy_(torch.from_numpy(np.ascontiguousarray(a))) for a in (x, t)
        )

    def _weights(self) -> list[Any]:
        return list(self._module.parameters())

    def repeat(self, steps: int) -> None:
        """Runs so many steps."""
        torch.set_num_threads(self._threads)
        for _ in range(steps):
            self._module.zero_grad(set_to_none=True)
            self._loss(self._module(self._x), self._t).backward()

    def gradients(self) -> list[Array]:
        """Of a step, in the order of the parameters."""
        self.repeat(1)
        return [weight.grad.numpy() for weight in self._weights()]


def weights_of(case: Case) -> Mapping[str, Array]:
    """Random ones, of the size that keeps a signal's."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    for name, spec in graph_of(case).parameters.items():
        shape = tuple(int(n) for n in spec.shape)
        scale = np.sqrt(2 / max(1, np.prod(shape[:-1])))
        arrays[name] = (rng.normal(size=shape) * scale).astype(np.float32)
    return arrays


def batch_of(case: Case, rows: int) -> tuple[Array, Array]:
    """Inputs and targets."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, *case.input)).astype(np.float32)
    if isinstance(case.loss, MeanSquaredError):
        return x, rng.normal(size=(rows, 1)).astype(np.float32)
    return x, np.eye(10, dtype=np.float32)[rng.integers(0, 10, rows)]


def disagreement(case: Case, ours: Ours, theirs: Theirs) -> float:
    """The largest difference of the gradients, relative to each one's largest element."""
    worst = 0.0
    for i, (a, b) in enumerate(zip(ours.gradients(), theirs.gradients(), strict=True)):
        turned = case.to_torch.get(i, np.asarray)(a)
        worst = max(worst, float(np.abs(turned - b).max() / np.abs(b).max()))
    return worst


def seconds(repeat: Callable[[int], None], steps: int) -> float:
    """What a step takes."""
    time.sleep(REST)
    start = time.perf_counter()
    repeat(steps)
    return (time.perf_counter() - start) / steps


def enough(repeat: Callable[[int], None]) -> int:
    """Steps that take about as long as a turn should."""
    repeat(3)
    return max(3, int(SECONDS / seconds(repeat, 5)))


def main() -> None:
    """Measures every row and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    table = Table(title=f"steps a second, median of {rounds} rounds; torch {torch.__version__}")
    for column in ("network", "batch", "threads", "plan", "torch", "ratio", "from–to", "bar"):
        table.add_column(column, justify="left" if column == "network" else "right")
    missed = False
    for case, rows, threads, bar in (
        (mlp(), 1, 1, 4.0),
        (mlp(), 32, 1, 0.0),
        (convnet(), 128, 1, 0.0),
        (convnet(), 128, 2, 0.0),
    ):
        arrays, batch = weights_of(case), batch_of(case, rows)
        ours, theirs = Ours(case, arrays, *batch, threads), Theirs(case, arrays, *batch, threads)
        apart = disagreement(case, ours, theirs)
        if not apart < 1e-4:
            sys.exit(f"{case.name}, batch {rows}: the gradients disagree by {apart:.1e}")
        counts = enough(ours.repeat), enough(theirs.repeat)
        pairs = [
            (seconds(ours.repeat, counts[0]), seconds(theirs.repeat, counts[1]))
            for _ in range(rounds)
        ]
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        ratio = statistics.median(ratios)
        missed = missed or ratio < bar
        table.add_row(
            case.name,
            str(rows),
            str(threads),
            *(f"{1 / statistics.median(times):,.0f}" for times in zip(*pairs, strict=True)),
            f"{ratio:.2f}",
            f"{ratios[0]:.2f}–{ratios[-1]:.2f}",
            f"{bar:.1f}" if bar else "",
        )
    Console().print(table)
    sys.exit(missed)


if __name__ == "__main__":
    main()
