"""Steps of training: a batch in, parameters changed in place.

A batch is cut into shards, one a thread, each with a plan of its own over parameters they share.
The same seed and number of shards give the same bits, run after run.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any, Literal

import numpy as np

from ..errors import CortexError, UsageError
from ..losses.penalties import Penalties
from ..losses.term import names
from ..mixed import Scale
from ..network import BATCH, Network, sizes_of
from ..optim import Optimizer, Progress
from ..optim.update import Treatment, Update
from ..parameters import Parameters, Weights
from ..plan import Plan
from ..shard import split
from ..team import Team, worth_sharing
from .model import Model
from .states import States

Array = Any
PLANS_KEPT = 4
LEFT = Treatment(factor=0)
START = Progress()
SCALE = "scale"
LEAST_SCALE = 2.0**-24
"""Smaller than this, and no gradient that float16 has would be left."""


class NotFinite(CortexError):
    """A loss or a value has become infinite or not a number."""


class Trainer:
    """A model being trained.

    Args:
        model: what to train.
        optimizer: how.
        shards: threads that share a batch; None: the cores, if a step is long enough.
        accumulate: steps whose gradients are averaged before the parameters change. They are
            counted on from epoch to epoch, as in Keras; those that end a run incomplete are lost.
        seed: of the random numbers of dropout and the like.
        dtype: float32, or float64 to check.
        precision: "float16" stores what layers compute in half of that, and leaves out steps whose
            gradients are not finite: see ``mixed``.
        xp: numpy or cupy.

    Attributes:
        parameters: the arrays that change.
        update: the optimiser and its state.
        scale: of the losses, where values are stored in float16.
        steps: how many batches were seen.
        states, evaluated: what a stateful network carries from step to step, and from one call of
            ``evaluate`` to the next; ``forget`` them where a sequence ends.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        *,
        shards: int | None = None,
        accumulate: int = 1,
        seed: int = 0,
        dtype: Any = np.float32,
        precision: Literal["float32", "float16"] = "float32",
        xp: Any = np,
    ) -> None:
        if precision not in ("float32", "float16"):
            raise UsageError(f"precision {precision!r}: it is float32 or float16")
        if np.dtype(dtype).name not in ("float32", "float64"):
            raise UsageError(f"dtype {np.dtype(dtype)}: it is float32 or float64")
        if precision == "float16" and np.dtype(dtype) != np.float32:
            raise UsageError("precision 'float16' goes with dtype float32; leave one of them out")
        for what, count in (("shards", shards), ("accumulate", accumulate)):
            if count is not None and count < 1:
                raise UsageError(f"{what} is {count}, and must be 1 or more")
        if not callable(getattr(optimizer, "bind", None)):
            raise UsageError(f"optimizer {optimizer!r}: give one, such as optim.adam()")
        self.scale = Scale() if precision == "float16" else None
        self.model, self.steps = model, 0
        self._graph, self._terms = model.network.graph, tuple(model.terms)
        self._seed, self._xp, self._accumulate = seed, xp, accumulate
        self.parameters = Parameters(self._graph, model.network.parameters, dtype, xp)
        self._shards = shards or self._fitting()
        self._team = Team.of(self._shards)
        self._gradients = [self.parameters.gradient() for _ in range(self._shards)]
        self._sums, self._finite = self._gradients, [True] * self._shards
        self._ends: list[Any] = [xp.empty((), self.parameters.dtype) for _ in self._gradients]
        if accumulate > 1:
            self._sums = [self.parameters.gradient() for _ in range(self._shards)]
        ways = {**model.treatments, **dict.fromkeys(_frozen(model), LEFT)}
        self.update = Update(optimizer, self.parameters, self._sums, treatments=ways, xp=xp)
        self._penalties = Penalties(self.parameters, ways, xp)
        self._plans: OrderedDict[Any, Sequence[Plan]] = OrderedDict()
        dtype = self.parameters.dtype
        self.states, self.evaluated = (States(self._graph, dtype, xp) for _ in range(2))

    @property
    def network(self) -> Network:
        """The network as it is now; its arrays go on changing."""
        return Network(self._graph, self.parameters.of)

    @property
    def terms(self) -> Sequence[str]:
        """What ``step`` gives the losses of, in its order: ``mse of answer``."""
        layers = {layer.value: name for name, layer in self._graph.layers.items()}
        return [*names(self._terms, layers), *["penalties"] * bool(self._penalties)]

    def step(self, batch: Mapping[str, Array], progress: Progress | None = None) -> Array:
        """Learns from a batch: an array for each input and target, rows first.

        Returns each term's loss, its weight included, and last, if parameters have penalties, what
        these come to.

        Raises:
            NotFinite: a loss is no number; names the first layer whose output is not.
            UsageError: the arrays do not fit.
        """
        batch = self.states.join(batch)
        plans, penalty = self._plans_for(batch), self._penalties.total()
        updates = (self.steps + 1) % self._accumulate == 0
        if updates:
            scale = self.scale.value if self.scale else 1.0
            self.update.begin(progress or START, 1 / (self._accumulate * scale))

        def work(index: int) -> None:
            self._run(plans, index, batch)
            if updates:
                self._update(index, plans)

        self._team.run(work)
        self.states.keep(plans)
        if updates:
            self.update.constrain()
        self.steps += 1
        losses = self._losses(plans, penalty)
        if not all(map(isfinite, losses.tolist())):
            raise NotFinite(self._first_not_finite(plans))
        if updates and self.scale:
            self._rescale(self.scale)
        return losses

    def evaluate(
        self, batch: Mapping[str, Array], values: Collection[str] = ()
    ) -> tuple[Array, Mapping[str, Array]]:
        """The losses on a batch, as ``step``'s, and the named values, as inference computes them.

        The values are the plans' own arrays: copy what is to outlive the next call.
        """
        batch = self.evaluated.join(batch)
        plans = self._plans_for(batch, evaluating=tuple(sorted(values)))

        def work(index: int) -> None:
            if index < len(plans):
                plans[index].put(batch)
                for step in plans[index].forward:
                    step()

        self._team.run(work)
        self.evaluated.keep(plans)
        kept = {name: np.concatenate([plan.v[name] for plan in plans]) for name in values}
        return self._losses(plans, self._penalties.total()), kept

    @property
    def gradients(self) -> Mapping[str, Array]:
        """By parameter what the last update came from, in arrays that are in use.

        An optimiser may write over them: Adadelta leaves the change that it made.
        """
        return self.parameters.views(self._sums[0])

    @property
    def settings(self) -> Mapping[str, int | str]:
        """What else decides the bits of the steps to come, for a given model and optimiser."""
        return {
            "seed": self._seed,
            "shards": self._shards,
            "accumulate": self._accumulate,
            "dtype": "float16" if self.scale else self.parameters.dtype.name,
        }

    def state(self) -> Mapping[str, Array]:
        """What the steps to come need beside the parameters, to be saved; the arrays are in use.

        The optimiser's vectors, the gradients gathered so far where steps accumulate, and what a
        stateful network carries.
        """
        found = {f"optimizer/{name}": array for name, array in self.update.state.items()}
        if self.steps % self._accumulate:
            found |= {f"sum/{i}": total for i, total in enumerate(self._sums)}
        if self.scale:
            found[SCALE] = np.array([self.scale.value, self.scale.good], np.float64)
        return found | {f"carried/{name}": array for name, array in self.states.arrays.items()}

    def restore(
        self,
        parameters: Mapping[str, Array],
        state: Mapping[str, Array],
        steps: int,
        updates: int,
    ) -> None:
        """Takes up what ``state`` gave after so many steps and updates of the parameters."""
        self.steps, self.update.steps = steps, updates
        for name, array in self.parameters.of.items():
            array[...] = self._xp.asarray(parameters[name])
        for name, array in self.update.state.items():
            array[...] = self._xp.asarray(state[f"optimizer/{name}"])
        if self.scale and SCALE in state:
            value, good = state[SCALE].tolist()
            self.scale.value, self.scale.good = value, int(good)
        gathered = [array for name, array in state.items() if name.startswith("sum/")]
        for total in self._sums:
            total.fill(0)
        for i, array in enumerate(gathered):  # shards may be fewer now
            self._sums[i % self._shards] += self._xp.asarray(array)
        carried = {name: array for name, array in state.items() if name.startswith("carried/")}
        self.states.take({name.partition("/")[2]: array for name, array in carried.items()})

    def _losses(self, plans: Sequence[Plan], penalty: float) -> Array:
        """Each term's over all shards, and the penalty if there are any."""
        first, *others = [plan.losses.tolist() for plan in plans]
        for other in others:
            first = [a + b for a, b in zip(first, other, strict=True)]
        if self._penalties:
            first.append(penalty)
        return self._xp.array(first, self.parameters.dtype)

    def _run(self, plans: Sequence[Plan], index: int, batch: Mapping[str, Array]) -> None:
        """One shard's forward and backward pass."""
        gradient = self._gradients[index]
        if index < len(plans):
            plan = plans[index]
            plan.put(batch)
            plan.step = self.steps
            with np.errstate(all="ignore"):  # what comes of it is looked at
                plan.run()
        else:
            gradient.fill(0)
        if self._accumulate > 1:
            total = self._sums[index]
            if self.steps % self._accumulate == 0:
                total[...] = gradient
            else:
                self._xp.add(total, gradient, out=total)
        if self.scale:
            end = self._ends[index]
            with np.errstate(all="ignore"):
                self._xp.add.reduce(self._sums[index], out=end)
            self._finite[index] = isfinite(end)

    def _update(self, index: int, plans: Sequence[Plan]) -> None:
        """One thread's part of the parameters, once every gradient is there.

        Nothing where a loss is no number: what it came from is to be seen as it was. Nothing either
        where values in float16 made a gradient infinite.
        """
        self._team.meet()
        if not all(self._finite):
            return
        for plan in plans:
            if not all(map(isfinite, plan.losses.tolist())):
                return
        self.update.reduce(index)
        if self.update.meets:
            self._team.meet()
        self.update.apply(index)

    def _rescale(self, scale: Scale) -> None:
        """Changes the scale after a step; one that was left out does not count as an update."""
        if all(self._finite):
            scale.keep()
            return
        self.update.steps -= 1
        scale.halve()
        if scale.value < LEAST_SCALE:
            raise NotFinite("the gradient is no longer finite, however small the loss is scaled")

    def _plans_for(
        self, batch: Mapping[str, Array], evaluating: tuple[str, ...] | None = None
    ) -> Sequence[Plan]:
        inputs = {name: batch[name] for name in self._graph.inputs if name in batch}
        key = (tuple(array.shape for array in inputs.values()), evaluating)
        if key not in self._plans or len(inputs) < len(self._graph.inputs):
            self._plans[key] = self._bound(sizes_of(self._graph.inputs, inputs), evaluating)
            if len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _bound(
        self, sizes: Mapping[str, int], evaluating: tuple[str, ...] | None
    ) -> Sequence[Plan]:
        learns = evaluating is None
        # All threads have a shard or only one has: else those without would be missed at a meet.
        most = self._shards if sizes[BATCH] >= self._shards else 1
        weights = Weights(self._graph, self.parameters.of, self.parameters.dtype, self._xp)
        return [
            Plan(
                self._graph,
                self.parameters if learns else weights,
                {**sizes, BATCH: rows},
                training=learns,
                terms=self._terms,
                keep=evaluating or (),
                frozen=self.model.frozen if learns else (),
                grad=self._gradients[shard.index] if learns else None,
                shard=shard,
                xp=self._xp,
                seed=self._seed,
                scale=self.scale if learns else None,
            )
            for shard, rows in split(sizes[BATCH], most, self._team.meet)
        ]

    def _fitting(self) -> int:
        sizes = {
            size: 32
            for tensor in self._graph.inputs.values()
            for size in tensor.shape
            if isinstance(size, str)
        }
        return (os.cpu_count() or 1) if worth_sharing(self._graph, sizes) else 1

    def _first_not_finite(self, plans: Sequence[Plan]) -> str:
        """The first layer whose output is no number; the plans still have the batch's inputs."""
        found: dict[str, int] = {}

        def work(index: int) -> None:
            values = plans[index].walk() if index < len(plans) else ()
            with np.errstate(all="ignore"):
                for place, (name, array) in enumerate(values):
                    if array.dtype.kind == "f" and not self._xp.isfinite(array).all():
                        found.setdefault(name, place)

        self._team.run(work)
        if not found:
            return (
                "the loss is no longer finite, every layer's output is: "
                "look at the targets, or lower the learning rate"
            )
        name = min(found, key=found.__getitem__)
        if name in self._graph.inputs and name not in self._graph.states:
            return f"input {name!r}: the data have a value there that is not finite"
        layer = next((at for at, layer in self._graph.layers.items() if layer.value == name), name)
        return (
            f"layer {layer!r}: its output is no longer finite; "
            "lower the learning rate, clip the gradient, or look at the data"
        )


def _frozen(model: Model) -> set[str]:
    """The parameters that only frozen nodes have."""
    users: dict[bool, set[str]] = {True: set(), False: set()}
    for node in model.network.graph.nodes:
        users[node.name in model.frozen].update(node.params.values())
    return users[True] - users[False]
