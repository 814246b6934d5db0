"""Training steps of nn's models against PyTorch's: forward, backward and update, float32.

    python benchmarks/train.py [--rounds 21] [--only convnet]

Each row's two run in turns, a little of each in every round, with as many threads; a ratio is the
median of the rounds' ratios, of wall time and of the CPU seconds of all threads. First one plain
step of each, from the same weights and without dropout, is compared. The exit code is 1 if a row
misses its bar.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cortex.runtime import nn, optim
from cortex.runtime.optim import Optimizer
from cortex.runtime.training.model import Model
from cortex.runtime.training.trainer import Trainer

torch: Any = importlib.import_module("torch")  # a peer, in benchmarks/requirements.txt

Array = Any
Batch = Mapping[str, Array]
SECONDS = 0.2  # of each of the two in a round
REST = 0.02  # seconds for the other's threads to stop spinning
AGREEMENT = 1e-3  # of a step, relative to the largest change of each parameter
NOTHING = 1e-3


@dataclass(frozen=True)
class Case:
    """A network both can train.

    Attributes:
        model: ours, with this part of dropout's rate.
        modules: theirs, likewise.
        to_torch: by the name of a parameter, how it becomes PyTorch's, in PyTorch's order.
    """

    name: str
    input: tuple[int, ...]
    classes: int
    model: Callable[[float], Model]
    modules: Callable[[float], Any]
    optimizer: Optimizer
    torch_optimizer: Callable[..., Any]
    to_torch: Mapping[str, Callable[[Array], Array]]


def mlp() -> Case:
    """64-128-128-1."""
    layers = torch.nn

    return Case(
        "MLP 64-128-128-1, SGD",
        (64,),
        0,
        lambda dropout: nn.sequential(
            [nn.input(64), nn.linear(128), nn.relu(), nn.linear(128), nn.relu(), nn.linear(1)]
        ),
        lambda dropout: layers.Sequential(
            layers.Linear(64, 128), layers.ReLU(), layers.Linear(128, 128), layers.ReLU(),
            layers.Linear(128, 1),
        ),
        optim.sgd(0.01),
        partial(torch.optim.SGD, lr=0.01),
        {**_linear("linear-1"), **_linear("linear-2"), **_linear("linear-3")},
    )  # fmt: skip


def convnet() -> Case:
    """The convnet for MNIST that cortex came with, without its center loss."""
    layers = torch.nn

    def kernel(array: Array) -> Array:
        return array.transpose(3, 2, 0, 1)

    def element(array: Array) -> Array:
        """PyTorch flattens with the channels first."""
        return array.reshape(4, 4, 50).transpose(2, 0, 1).reshape(800)

    def flattened(array: Array) -> Array:
        return array.reshape(4, 4, 50, 1000).transpose(3, 2, 0, 1).reshape(1000, 800)

    def model(dropout: float) -> Model:
        return nn.sequential([
            nn.input(height=28, width=28, channels=1),
            nn.convolutional(5, filters=20), nn.max_pooling(2), nn.dropout(rate=0.1 * dropout),
            nn.relu(),
            nn.convolutional(5, filters=50), nn.max_pooling(2),
            nn.batch_normalization(per_element=True),
            nn.linear(1000), nn.relu(), nn.dropout(rate=0.5 * dropout),
            nn.linear(10), nn.softmax(),
        ])  # fmt: skip

    return Case(
        "MNIST convnet, Adam",
        (28, 28, 1),
        10,
        model,
        lambda dropout: layers.Sequential(
            layers.Conv2d(1, 20, 5), layers.MaxPool2d(2), layers.Dropout(0.1 * dropout),
            layers.ReLU(),
            layers.Conv2d(20, 50, 5), layers.MaxPool2d(2), layers.Flatten(),
            layers.BatchNorm1d(800, eps=1e-4),
            layers.Linear(800, 1000), layers.ReLU(), layers.Dropout(0.5 * dropout),
            layers.Linear(1000, 10),
        ),
        optim.adam(),
        torch.optim.Adam,
        {
            "convolutional-1/kernel": kernel,
            "convolutional-1/bias": np.asarray,
            "convolutional-2/kernel": kernel,
            "convolutional-2/bias": np.asarray,
            "batch_normalization-1/gamma": element,
            "batch_normalization-1/beta": element,
            "linear-1/kernel": flattened,
            "linear-1/bias": np.asarray,
            **_linear("linear-2"),
        },
    )  # fmt: skip


def lstm() -> Case:
    """28 steps of 28, 128 units, the last state classified."""
    layers = torch.nn

    class Classifier(layers.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = layers.LSTM(28, 128, batch_first=True)
            layers.init.zeros_(self.lstm.bias_hh_l0)  # ours has one bias
            self.linear = layers.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.linear(self.lstm(x)[1][0][0])

    return Case(
        "LSTM 28-128, 28 steps, Adam",
        (28, 28),
        10,
        lambda dropout: nn.sequential(
            [nn.input(shape=(28, 28)), nn.lstm(128), nn.linear(10), nn.softmax()]
        ),
        lambda dropout: Classifier(),
        optim.adam(),
        torch.optim.Adam,
        {
            "lstm-1/kernel": np.transpose,
            "lstm-1/recurrent_kernel": np.transpose,
            "lstm-1/bias": np.asarray,
            "linear-1/kernel": np.transpose,
            "linear-1/bias": np.asarray,
        },
    )


def _linear(name: str) -> Mapping[str, Callable[[Array], Array]]:
    return {f"{name}/kernel": np.transpose, f"{name}/bias": np.asarray}


class Ours:
    """A trainer's steps."""

    def __init__(self, model: Model, batch: Batch, optimizer: Optimizer, threads: int) -> None:
        self.trainer = Trainer(model, optimizer, shards=threads)
        (value,) = model.network.graph.inputs
        self._batch = {value: batch["x"], model.terms[0].target: batch["target"]}

    def repeat(self, steps: int) -> None:
        """Takes so many steps."""
        for _ in range(steps):
            self.trainer.step(self._batch)


class Theirs:
    """Steps of eager PyTorch, or of its best setting for a CPU."""

    def __init__(
        self, module: Any, batch: Batch, optimizer: Callable[..., Any], threads: int, best: bool
    ) -> None:
        self._threads, self.module = threads, module
        classes = batch["target"].dtype == np.int64
        self._loss = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()
        x = batch["x"].transpose(0, 3, 1, 2) if batch["x"].ndim == 4 else batch["x"]
        # A copy: with one channel a transposed array would pass for channels_last.
        self._x = torch.empty(x.shape).copy_(torch.from_numpy(x))
        self._target = torch.from_numpy(batch["target"])
        if best:
            module.to(memory_format=torch.channels_last)
            self._x = self._x.contiguous(memory_format=torch.channels_last)
        options = {"fused": True} if best else {}
        self._optimizer = optimizer(list(module.parameters()), **options)

    def repeat(self, steps: int) -> None:
        """Takes so many steps."""
        torch.set_num_threads(self._threads)
        for _ in range(steps):
            self._optimizer.zero_grad(set_to_none=True)
            self._loss(self.module(self._x), self._target).backward()
            self._optimizer.step()


def batch_of(case: Case, rows: int) -> Batch:
    """Random inputs, and targets: classes, or numbers."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, *case.input)).astype(np.float32)
    if case.classes:
        return {"x": x, "target": rng.integers(0, case.classes, rows)}
    return {"x": x, "target": rng.normal(size=(rows, 1)).astype(np.float32)}


def give(case: Case, model: Model, module: Any) -> Mapping[str, Any]:
    """Gives PyTorch our weights; its own by our names."""
    theirs = [at for name, at in module.named_parameters() if not name.endswith("bias_hh_l0")]
    named = dict(zip(case.to_torch, theirs, strict=True))
    for name, weight in named.items():
        array = case.to_torch[name](model.network.parameters[name])
        weight.data = torch.from_numpy(np.array(array, order="C"))
    return named


def disagreement(case: Case, batch: Batch, threads: int) -> float:
    """How far a plain step of the two is apart, relative to each parameter's largest change."""
    model, module = case.model(0.0), case.modules(0.0)
    before = {name: np.array(model.network.parameters[name]) for name in case.to_torch}
    named = give(case, model, module)
    ours = Ours(model, batch, optim.sgd(1.0), threads)
    theirs = Theirs(module, batch, partial(torch.optim.SGD, lr=1.0), threads, False)
    ours.repeat(1)
    theirs.repeat(1)
    worst = 0.0
    for name, turned in case.to_torch.items():
        change = turned(ours.trainer.parameters.of[name] - before[name])
        other = named[name].detach().numpy() - turned(before[name])
        # The bias before a normalization has no gradient but rounding: NOTHING stands for its size.
        scale = max(NOTHING, float(np.abs(other).max()))
        worst = max(worst, float(np.abs(change - other).max()) / scale)
    return worst


@dataclass(frozen=True)
class Spent:
    """Seconds of a step: by the clock, and of all cores together."""

    wall: float
    cpu: float


def spent(repeat: Callable[[int], None], steps: int) -> Spent:
    """What a step takes."""
    time.sleep(REST)
    wall, cpu = time.perf_counter(), time.process_time()
    repeat(steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Spent(wall / steps, cpu / steps)


def enough(repeat: Callable[[int], None]) -> int:
    """Steps that take about as long as a turn should."""
    repeat(3)
    return max(2, int(SECONDS / spent(repeat, 5).wall))


@dataclass(frozen=True)
class Row:
    """A case, what it is set against, and the least ratio that will do."""

    case: Case
    rows: int
    threads: int
    bar: float
    best: bool = False
    pairs: list[tuple[Spent, Spent]] = field(default_factory=list[tuple[Spent, Spent]])

    def measure(self, rounds: int) -> None:
        """Runs both in turns, who begins alternating."""
        case, batch = self.case, batch_of(self.case, self.rows)
        ours = Ours(case.model(1.0), batch, case.optimizer, self.threads)
        module = case.modules(1.0)
        theirs = Theirs(module, batch, case.torch_optimizer, self.threads, self.best)
        turns = [(each.repeat, enough(each.repeat)) for each in (ours, theirs)]
        for i in range(rounds):
            order = turns if i % 2 else turns[::-1]
            times = [spent(*turn) for turn in order]
            self.pairs.append((times[0], times[1]) if i % 2 else (times[1], times[0]))

    @property
    def ratios(self) -> Sequence[float]:
        """Of wall time, in rising order."""
        return sorted(theirs.wall / ours.wall for ours, theirs in self.pairs)

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    def cells(self) -> Sequence[str]:
        """Its line of the table."""
        rates = (
            1 / statistics.median(each.wall for each in side)
            for side in zip(*self.pairs, strict=True)
        )
        cpu = statistics.median(theirs.cpu / ours.cpu for ours, theirs in self.pairs)
        return [
            self.case.name,
            "channels_last, fused" if self.best else "eager",
            str(self.rows),
            str(self.threads),
            *(f"{rate:,.0f}" for rate in rates),
            f"{self.ratio:.2f}",
            f"{self.ratios[0]:.2f}–{self.ratios[-1]:.2f}",
            f"{cpu:.2f}",
            f"{self.bar:.1f}" if self.bar else "",
        ]


def table_of(rounds: int) -> Table:
    """The table without its rows."""
    table = Table(title=f"steps a second, median of {rounds} rounds; torch {torch.__version__}")
    words = ("network", "torch as", "batch", "threads", "cortex", "torch", "ratio", "from–to")
    for i, column in enumerate((*words, "of CPU", "bar")):
        table.add_column(column, justify="right" if i > 1 else "left")
    return table


def main() -> None:
    """Measures every row and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", default="", help="rows whose network's name has this in it")
    given = parser.parse_args()
    every = [
        Row(mlp(), 1, 1, 6.0),
        Row(mlp(), 32, 1, 3.0),
        Row(convnet(), 128, 1, 0.0),
        Row(convnet(), 128, 1, 0.0, best=True),
        Row(convnet(), 128, 2, 1.4),
        Row(convnet(), 128, 2, 1.0, best=True),
        Row(lstm(), 128, 1, 0.0),
        Row(lstm(), 128, 2, 0.8),
    ]
    rows = [row for row in every if given.only.lower() in row.case.name.lower()]
    table = table_of(given.rounds)
    for row in rows:
        apart = disagreement(row.case, batch_of(row.case, row.rows), row.threads)
        if not apart < AGREEMENT:
            sys.exit(f"{row.case.name}, batch {row.rows}: a step differs by {apart:.1e}")
        row.measure(given.rounds)
        table.add_row(*row.cells())
    Console(width=120).print(table)
    sys.exit(any(row.ratio < row.bar for row in rows))


if __name__ == "__main__":
    main()
