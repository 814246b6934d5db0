"""Generative adversarial networks: Goodfellow et al. 2014, and Wasserstein's: Arjovsky et al. 2017.

gan = nn.Adversaries(generator, discriminator)
gan.train(images, epochs=20, batch_size=64)
gan.generate(16)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GraphError
from ..ir import Graph, Layer, Node
from ..losses import Inner, Term
from ..network import Network
from ..optim import Adam, Optimizer, Progress
from ..training.model import Model
from ..training.trainer import Trainer
from .feed import Data, fed

Array = Any
MAKER, JUDGE = "generator", "discriminator"


class Adversaries:
    """A network that makes examples of noise, and one that tells them from real ones.

    The discriminator's own loss is used, with 1 for real and 0 for made; the generator is to get 1
    (the form whose gradient does not vanish). With ``wasserstein`` it is the mean of the
    discriminator's output, which then needs no activation, and its weights are kept in ±``clip``.

    Args:
        generator: one input, the noise; one output.
        discriminator: one input, an example; one output.
        optimizer: of both.
        judge_optimizer: the discriminator's, where it is another.
        turns: steps of the discriminator for one of the generator.
        seed: of the noise and of all else that is random.
        options: what else a ``Trainer`` takes.

    Attributes:
        generator: the network that makes examples, as it now is.
        judge, maker: the trainers of the discriminator, and of the generator before it.

    Raises:
        GraphError: the two do not fit.
    """

    def __init__(
        self,
        generator: Model,
        discriminator: Model,
        optimizer: Optimizer | None = None,
        *,
        judge_optimizer: Optimizer | None = None,
        turns: int = 1,
        wasserstein: bool = False,
        clip: float | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self._noise_type = generator.network.graph.inputs[_only_input(generator, MAKER)]
        self._example = _only_input(discriminator, JUDGE)
        (term, *others) = discriminator.terms
        if others or term.loss.target(discriminator.network.graph.types[term.on]) is None:
            raise GraphError(f"the {JUDGE} must have one loss, and that a target")
        if wasserstein:
            term, clip = replace(term, loss=Inner()), clip or 0.01
        self._real, self._made = (-1.0, 1.0) if wasserstein else (1.0, 0.0)
        self._term, self._clip, self._turns = term, clip, turns
        self._rng = np.random.default_rng(seed)
        optimizer = optimizer or Adam(2e-4, beta1=0.5)
        judge_optimizer = judge_optimizer or optimizer
        judge = replace(discriminator, terms=(term,))
        self.judge = Trainer(judge, judge_optimizer, seed=seed, **options)
        self.maker = Trainer(_joined(generator, judge), optimizer, seed=seed + 1, **options)
        self.generator = Network(
            generator.network.graph, self._views(MAKER, self.maker.parameters.of)
        )

    def step(self, real: Array) -> tuple[float, float]:
        """Both learn from a batch of real examples; the losses of discriminator and generator."""
        rows, judged = len(real), 0.0
        for _ in range(self._turns):
            both = np.concatenate([real, self.generate(rows)])
            labels = np.repeat((self._real, self._made), rows)
            judged = self._learn(self.judge, self._example, both, labels)
            if self._clip is not None:
                flat = self.judge.parameters.flat[: self.judge.parameters.trainable]
                np.clip(flat, -self._clip, self._clip, out=flat)
        for name, array in self._views(JUDGE, self.maker.parameters.of).items():
            array[...] = self.judge.parameters.of[name]
        labels = np.full(rows, self._real)
        noise = next(iter(self.maker.model.network.graph.inputs))
        return judged, self._learn(self.maker, noise, self._noise(rows), labels)

    def train(
        self, data: Data, *, epochs: int = 10, batch_size: int = 64
    ) -> Sequence[tuple[float, float]]:
        """Trains both; the mean losses of discriminator and generator of each epoch."""
        source = fed(data, self.judge.model, targets=False)
        history: list[tuple[float, float]] = []
        for epoch in range(epochs):
            losses = [
                self.step(batch[self._example]) for batch in source.batches(batch_size, epoch)
            ]
            judged, made = np.mean(losses, axis=0)
            history.append((float(judged), float(made)))
        return history

    def generate(self, count: int) -> Array:
        """So many examples, as the generator now makes them, of noise drawn anew."""
        (noise,) = self.generator.graph.inputs
        found = self.generator.run({noise: self._noise(count)})
        return next(iter(found.values()))

    def _noise(self, rows: int) -> Array:
        sizes = (int(size) for size in self._noise_type.shape[1:])
        return self._rng.standard_normal((rows, *sizes), np.float32)

    def _learn(self, trainer: Trainer, name: str, x: Array, labels: Array) -> float:
        term = trainer.model.terms[0]
        shape = trainer.model.network.graph.types[term.on].shape[1:]
        target = np.broadcast_to(
            labels.reshape(-1, *[1] * len(shape)), (len(x), *(int(n) for n in shape))
        )
        batch = {name: x, term.target: target.astype(np.float32)}
        return float(np.sum(trainer.step(batch, Progress())))

    def _views(self, part: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of one of the two, by the names it has for them."""
        prefix = f"{part}/"
        return {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }


def _only_input(model: Model, what: str) -> str:
    graph = model.network.graph
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or not model.terms:
        raise GraphError(f"the {what} must have one input, one output and a loss")
    return next(iter(graph.inputs))


def _joined(generator: Model, judge: Model) -> Model:
    """The generator and behind it the discriminator, which does not learn."""
    maker, critic = generator.network.graph, judge.network.graph
    (made,) = maker.outputs.values()
    (example,) = critic.inputs
    noise = {name: name for name in maker.inputs}
    first = _prefixed(maker, MAKER, noise)
    second = _prefixed(critic, JUDGE, {example: f"{MAKER}/{made}"})
    if maker.types[made].shape[1:] != critic.inputs[example].shape[1:]:
        raise GraphError(
            f"the {MAKER} makes {maker.types[made].shape[1:]}, "
            f"but the {JUDGE} is given {critic.inputs[example].shape[1:]}"
        )
    (output,) = critic.outputs.values()
    term = judge.terms[0]
    on = f"{JUDGE}/{term.on}"
    nodes = (*first, *second)
    layers = {node.name: Layer(node.name, node.op.kind) for node in nodes}
    graph = Graph(maker.inputs, nodes, {JUDGE: f"{JUDGE}/{output}"}, layers)
    arrays = {
        f"{part}/{name}": array
        for part, model in ((MAKER, generator), (JUDGE, judge))
        for name, array in model.network.parameters.items()
    }
    treatments = {f"{MAKER}/{name}": at for name, at in generator.treatments.items()}
    frozen = {f"{MAKER}/{name}" for name in generator.frozen} | {node.name for node in second}
    terms = (Term(term.loss, on, f"{on}:target", term.weight),)
    return Model(Network(graph, arrays), terms, treatments, frozenset(frozen))


def _prefixed(graph: Graph, part: str, known: Mapping[str, str]) -> list[Node]:
    """The nodes under names of their own; ``known`` says what its inputs are."""

    def renamed(value: str) -> str:
        return known.get(value, f"{part}/{value}") if value else ""

    return [
        Node(
            f"{part}/{node.name}",
            node.op,
            tuple(renamed(value) for value in node.inputs),
            {local: f"{part}/{full}" for local, full in node.params.items()},
            f"{part}/{node.layer or node.name}",
        )
        for node in graph.nodes
    ]
