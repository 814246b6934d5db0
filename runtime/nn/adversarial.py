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
from ..optim import Adam, Optimizer, Progress, Treatment
from ..training.loop import Epoch, Listener, Run
from ..training.model import Model
from ..training.trainer import Trainer
from ..training.treatments import treated
from .feed import Data, fed

Array = Any
MAKER, JUDGE = "generator", "discriminator"
COUNTS = f"{JUDGE}/counts"
"""The state that says how many steps and updates the discriminator has made."""


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
        trainer: of both; what a ``Run`` and its checkpoints hold.

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
        _only_input(generator, MAKER)
        self._example = _only_input(discriminator, JUDGE)
        (term, *others) = discriminator.terms
        if others or term.loss.target(discriminator.network.graph.types[term.on]) is None:
            raise GraphError(f"the {JUDGE} must have one loss, and that a target")
        if wasserstein:
            term, clip = replace(term, loss=Inner()), clip or 0.01
        judge = replace(discriminator, terms=(term,))
        if clip is not None:
            judge = treated(judge, {"*": Treatment(max_value=clip)})
        optimizer = optimizer or Adam(2e-4, beta1=0.5)
        self.trainer = Duel(
            generator,
            Trainer(judge, judge_optimizer or optimizer, seed=seed, **options),
            optimizer,
            labels=(-1.0, 1.0) if wasserstein else (1.0, 0.0),
            turns=turns,
            seed=seed + 1,
            **options,
        )
        self.generator = self.trainer.generator
        self._rng = np.random.default_rng(seed)

    def run(
        self,
        data: Data,
        *,
        epochs: int | None = 10,
        batch_size: int = 64,
        listeners: Sequence[Listener] = (),
    ) -> Run:
        """A training of both that can be resumed, as any other: ``checkpoint.resume(run, path)``.

        What it saves is the generator with the discriminator behind it. No epoch of a game is
        better than another: use ``Checkpoints``, for what ``Best`` keeps means nothing.
        """
        source = fed(data, self.trainer.judge.model, targets=False)
        return Run(self.trainer, source, None, epochs, batch_size, listeners=listeners)

    def train(
        self,
        data: Data,
        *,
        epochs: int = 10,
        batch_size: int = 64,
        listeners: Sequence[Listener] = (),
    ) -> Sequence[Epoch]:
        """Trains both; of each epoch ``terms`` has the losses of generator and discriminator."""
        options: Any = {"epochs": epochs, "batch_size": batch_size, "listeners": listeners}
        return self.run(data, **options).train()

    def step(self, real: Array) -> tuple[float, float]:
        """Both learn from a batch of real examples; the losses of generator and discriminator."""
        made, judged = self.trainer.step({self._example: real}).tolist()
        return made, judged

    def generate(self, count: int) -> Array:
        """So many examples, as the generator now makes them, of noise drawn anew."""
        return self.trainer.made(noise(self.generator, count, self._rng))


class Duel(Trainer):
    """The trainer of a generator, before each of whose steps the discriminator learns.

    Its network is the generator and behind it the discriminator as it last was. The noise of a
    step follows from the seed and the number of the step, so that nothing of it is to be saved.

    Args:
        generator: what makes examples.
        judge: the trainer of the discriminator.
        optimizer: the generator's.
        labels: what the discriminator is to say of real examples, and of made ones.
        turns: the discriminator's steps for one of the generator.
        options: what else a ``Trainer`` takes.
    """

    def __init__(
        self,
        generator: Model,
        judge: Trainer,
        optimizer: Optimizer,
        *,
        labels: tuple[float, float],
        turns: int,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(_joined(generator, judge.model), optimizer, seed=seed, **options)
        self.judge, self._labels, self._turns = judge, labels, turns
        self.generator = Network(generator.network.graph, _views(MAKER, self.parameters.of))
        (self._example,) = judge.model.network.graph.inputs
        self._game = seed

    def step(self, batch: Mapping[str, Array], progress: Progress | None = None) -> Array:
        """Both learn from a batch of real examples; the losses of generator and discriminator."""
        real, (true, false) = batch[self._example], self._labels
        rows, judged = len(real), 0.0
        for turn in range(self._turns):
            made = self.made(self._noise(rows, turn))
            both, labels = np.concatenate([real, made]), np.repeat((true, false), rows)
            fed = {self._example: both, **_targets(self.judge, labels)}
            judged = float(np.sum(self.judge.step(fed, progress)))
        for name, array in _views(JUDGE, self.parameters.of).items():
            array[...] = self.judge.parameters.of[name]
        (into,) = self.generator.graph.inputs
        fed = {into: self._noise(rows, self._turns), **_targets(self, np.full(rows, true))}
        return np.array([float(np.sum(super().step(fed, progress))), judged])

    @property
    def terms(self) -> Sequence[str]:
        return MAKER, JUDGE

    def made(self, noise: Array) -> Array:
        """Examples of noise."""
        (into,) = self.generator.graph.inputs
        return next(iter(self.generator.run({into: noise}).values()))

    @property
    def settings(self) -> Mapping[str, int | str]:
        return {**super().settings, "turns": self._turns}

    def state(self) -> Mapping[str, Array]:
        judged = {f"{JUDGE}/{name}": array for name, array in self.judge.state().items()}
        counts = np.array([self.judge.steps, self.judge.update.steps])
        return {**super().state(), **judged, COUNTS: counts}

    def restore(
        self,
        parameters: Mapping[str, Array],
        state: Mapping[str, Array],
        steps: int,
        updates: int,
    ) -> None:
        super().restore(parameters, state, steps, updates)
        judged, done = state[COUNTS].tolist()
        self.judge.restore(_views(JUDGE, parameters), _views(JUDGE, state), judged, done)

    def _noise(self, rows: int, turn: int) -> Array:
        rng = np.random.default_rng((self._game, self.steps, turn))
        return noise(self.generator, rows, rng)


def noise(generator: Network, rows: int, rng: np.random.Generator) -> Array:
    """What a generator makes so many examples of, N(0, 1)."""
    (tensor,) = generator.graph.inputs.values()
    return rng.standard_normal((rows, *(int(size) for size in tensor.shape[1:])), np.float32)


def _targets(trainer: Trainer, labels: Array) -> Mapping[str, Array]:
    """A label a row, in the shape of the trainer's only target."""
    (term,) = trainer.model.terms
    sizes = [int(size) for size in trainer.model.network.graph.types[term.on].shape[1:]]
    rows = labels.reshape(-1, *[1] * len(sizes)).astype(np.float32)
    return {term.target: np.broadcast_to(rows, (len(labels), *sizes))}


def _views(part: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
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
    outputs = {MAKER: f"{MAKER}/{made}", JUDGE: f"{JUDGE}/{output}"}
    graph = Graph(maker.inputs, nodes, outputs, layers)
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
