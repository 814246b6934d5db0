"""A training in one file: the network as it is, and all that the steps to come depend on.

It is a network's file, which ``Network.load`` opens, with more arrays and a word on how far
training has come: a run that takes it up ends with the same bits as one that never stopped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import weights
from ..device import to_numpy
from ..errors import GraphError, UnreadableFile, UsageError, problem
from ..files import replacing
from ..ir import Graph
from ..network import GRAPH
from ..parameters import matching
from .loop import Epoch, Run

Array = Any
TRAINING = "cortex.training"
"""The key of the metadata under which a ``Standing`` is, as JSON, and the prefix of its arrays."""
OPTIMIZER = "optimizer/"
"""What the names of an optimiser's vectors begin with, after that of its part of the network."""
BATCH_SIZE = "batch_size"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a training has come.

    Attributes:
        optimizer: what kind it is.
        steps, updates: how many batches were seen, and how often the parameters were changed.
        settings: what else decides the bits of the steps to come.
        history: the epochs done.
        losses, sums: of the batches of the epoch under way, and of each term over them.
    """

    optimizer: str
    steps: int
    updates: int
    settings: dict[str, int | str]
    history: list[Epoch]
    losses: list[float]
    sums: list[float] = field(default_factory=list[float])

    @classmethod
    def of(cls, run: Run) -> Standing:
        """Where a run is."""
        trainer = run.trainer
        return cls(
            type(trainer.update.optimizer).__name__,
            trainer.steps,
            trainer.update.steps,
            {**trainer.settings, BATCH_SIZE: run.batch_size},
            run.history,
            run.losses,
            run.sums,
        )


def save(run: Run, path: Path) -> None:
    """Writes a run as one file, in the place of an older one, all of it or nothing.

    Raises:
        UnwritableFile: the disk will not have it; an older file is untouched.
    """
    graph = run.trainer.network.graph
    parameters = {name: run.trainer.parameters.of[name] for name in graph.parameters}
    state = {f"{TRAINING}/{name}": array for name, array in run.trainer.state().items()}
    metadata = {GRAPH: graph.to_json(), TRAINING: json.dumps(asdict(Standing.of(run)))}
    arrays = {name: to_numpy(array) for name, array in {**parameters, **state}.items()}
    with replacing(path) as stage:
        weights.write(stage, arrays, metadata, digest=True)


def resume(run: Run, path: Path) -> None:
    """Takes up in ``run``, which has not begun, what ``save`` wrote.

    With other settings (shards, a seed, a batch size) it goes on, but not to the same bits; a
    warning in the log tells which.

    Raises:
        UnreadableFile: not such a file, or not as it was written.
        UsageError: it holds another network than the run's, or was trained with an optimiser of
            another kind.
    """
    file = weights.WeightsFile.open(path)
    file.verify()
    standing, stored = _standing(file), file.arrays()
    _check_network(path, run.trainer.network.graph, _graph(file), stored)
    prefix = f"{TRAINING}/"
    state = {name[len(prefix) :]: a for name, a in stored.items() if name.startswith(prefix)}
    _check_optimizer(path, run, standing, state)
    _check_settings(path, Standing.of(run), standing)
    run.trainer.restore(stored, state, standing.steps, standing.updates)
    run.history = list(standing.history)
    run.losses = list(standing.losses)
    if len(standing.sums) == len(run.trainer.terms):  # a penalty may have come or gone
        run.sums = list(standing.sums)


def is_of(run: Run, path: Path) -> bool:
    """Whether there is a file at ``path`` that this very training has saved on its way here.

    Epochs tell how long they took, so that no two trainings have the same.
    """
    try:
        theirs = _standing(weights.WeightsFile.open(path))
    except UnreadableFile:
        return False
    done, begun = len(theirs.history), len(theirs.losses)
    if _epochs(theirs.history) != _epochs(run.history[:done]):
        return False
    if done == len(run.history):
        return bool(done or begun) and theirs.losses == run.losses[:begun]
    return done > 0


def _epochs(history: Sequence[Epoch]) -> str:
    """As text, in which what is no number is alike, too."""
    return json.dumps([asdict(epoch) for epoch in history])


def _standing(file: weights.WeightsFile) -> Standing:
    from pydantic import TypeAdapter, ValidationError  # slow to import

    if TRAINING not in file.metadata:
        raise UnreadableFile(f"{file.path}: it holds no training that could go on, only a network")
    try:
        # json reads a float as it was written to the last bit, and one that is not finite
        return TypeAdapter(Standing).validate_python(json.loads(file.metadata[TRAINING]))
    except ValidationError as error:
        raise UnreadableFile(f"{file.path}: a damaged checkpoint: {problem(error)}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{file.path}: a damaged checkpoint: {error}") from None


def _graph(file: weights.WeightsFile) -> Graph:
    try:
        return Graph.from_json(file.metadata[GRAPH])
    except (KeyError, GraphError) as error:
        raise UnreadableFile(f"{file.path}: a damaged checkpoint: {error}") from None


def _check_network(path: Path, ours: Graph, theirs: Graph, stored: Mapping[str, Array]) -> None:
    """The two must be the same but for what layers are called in tables."""
    for name in [*ours.parameters, *theirs.parameters]:
        found, wanted = theirs.parameters.get(name), ours.parameters.get(name)
        if found != wanted:
            raise UsageError(
                f"{path}: it holds another network: {name!r} is "
                f"{found.shape if found else 'missing'} there, "
                f"{wanted.shape if wanted else 'missing'} here"
            )
    for found, wanted in zip(theirs.nodes, ours.nodes, strict=False):
        if found != wanted:
            raise UsageError(
                f"{path}: it holds another network: {found.title} there, {wanted.title} here: "
                f"{found.op} and {wanted.op}"
            )
    if (theirs.inputs, len(theirs.nodes), theirs.outputs) != (
        ours.inputs,
        len(ours.nodes),
        ours.outputs,
    ):
        raise UsageError(f"{path}: it holds another network: other inputs, outputs or layers")
    for name, spec in ours.parameters.items():
        try:
            matching(name, spec, stored)
        except GraphError as error:
            raise UnreadableFile(f"{path}: a damaged checkpoint: {error}") from None


def _check_optimizer(path: Path, run: Run, standing: Standing, state: Mapping[str, Array]) -> None:
    ours, own = Standing.of(run).optimizer, run.trainer.state()
    stored, vectors = (sorted(at for at in each if OPTIMIZER in at) for each in (state, own))
    if standing.optimizer != ours or stored != vectors:
        raise UsageError(
            f"{path}: it was trained with {_told(standing.optimizer, stored)}, "
            f"and cannot go on with {_told(ours, vectors)}"
        )
    size = (run.trainer.parameters.trainable,)
    gathered = {name: size for name in state if name.startswith("sum/")}
    for name, shape in (gathered | {name: own[name].shape for name in vectors}).items():
        if state[name].shape != shape:
            raise UnreadableFile(
                f"{path}: a damaged checkpoint: {name} is {state[name].shape}, expected {shape}"
            )


def _told(optimizer: str, vectors: Sequence[str]) -> str:
    names = ", ".join(name.replace(OPTIMIZER, "") for name in vectors)
    return f"{optimizer} ({names or 'without a state'})"


def _check_settings(path: Path, ours: Standing, theirs: Standing) -> None:
    before, now = theirs.settings, ours.settings
    if theirs.losses and before.get(BATCH_SIZE) != now[BATCH_SIZE]:
        raise UsageError(
            f"{path}: it was stopped within an epoch of batches of {before.get(BATCH_SIZE)}; "
            "go on with that batch size"
        )
    changed = [
        f"{name} {before.get(name)} before, {value} now"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if changed:
        logger.warning(
            "%s: goes on, but not as if it had never stopped: %s", path, "; ".join(changed)
        )
