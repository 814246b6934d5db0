"""One step of an optimiser over all parameters: reduce, penalise, clip, decay, apply, constrain.

The gradients of all shards are added block by block where they are used, so that a block is in the
cache for everything that is done with it, and each thread of a team has its own stretch of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..op import Step
from ..parameters import Parameters
from .rules import Now, Optimizer
from .schedules import Progress, rate_at

Array = Any
BLOCK = 32_768
"""Elements worked on at a time: five vectors of them fit a core's second cache."""


@dataclass(frozen=True)
class Treatment:
    """How single parameters differ from the others.

    Attributes:
        optimizer: one of its own; its state is its own, too.
        factor: what their rate is multiplied by; 0 leaves them as they are.
        l1, l2: λ of the penalties λ·sum|w| and λ/2·sum w², which join the loss.
        max_norm: the most a unit's weights may be long, the last axis counting the units.
        max_value: the largest that an element may be, with either sign.
    """

    optimizer: Optimizer | None = None
    factor: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    max_value: float | None = None


USUAL = Treatment()


@dataclass(slots=True)
class _Stretch:
    """Neighbouring parameters that are treated alike."""

    optimizer: Optimizer
    treatment: Treatment
    begin: int
    end: int
    now: Now = field(default_factory=Now)


class Update:
    """An optimiser bound to parameters and to the gradients of all shards.

    Attributes:
        state: the optimiser's vectors by name, laid out as the trainable parameters.
        steps: how many were made.
        rate: the optimiser's in the last step, before any treatment.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Parameters,
        gradients: Sequence[Array],
        *,
        treatments: Mapping[str, Treatment] | None = None,
        xp: Any = np,
    ) -> None:
        self.optimizer, self.steps, self.rate = optimizer, 0, 0.0
        self._xp, self._gradients = xp, gradients
        self._parts = len(gradients)
        treatments = treatments or {}
        self._stretches = _stretches(optimizer, parameters, treatments)
        names = {name for each in self._stretches for name in each.optimizer.vectors}
        size, dtype = parameters.trainable, parameters.dtype
        self.state = {name: xp.zeros(size, dtype) for name in sorted(names)}
        self._norms = {each.optimizer: [0.0] * self._parts for each in self._stretches}
        self._scale = 1.0
        self._blocks = [self._bind(parameters, part) for part in range(self._parts)]
        self._constraints = [
            step
            for name, at in treatments.items()
            if at.factor
            for step in _constraints(xp, parameters.of[name], at)
        ]

    def begin(self, progress: Progress, scale: float = 1.0) -> None:
        """Sets the rates of the step that comes; the gradient is multiplied by ``scale``."""
        self.steps += 1
        self.rate = rate_at(self.optimizer.rate, progress)
        self._scale = scale
        for at in self._stretches:
            at.now.rate = at.treatment.factor * rate_at(at.optimizer.rate, progress)
            at.now.step = self.steps

    def reduce(self, part: int) -> None:
        """Measures one part of the gradient, added up over all shards, where ``meets`` is true.

        Elsewhere ``apply`` adds up each block where it is used, and there is nothing to do before.
        """
        reduce, _ = self._blocks[part]
        for step in reduce:
            step()

    def apply(self, part: int) -> None:
        """Changes the parameters of one part."""
        _, apply = self._blocks[part]
        for step in apply:
            step()

    def constrain(self) -> None:
        """Brings weights that have grown too long back; all parts must have been applied."""
        for step in self._constraints:
            step()

    @property
    def meets(self) -> bool:
        """Whether ``apply`` needs what every part has reduced: the length of the gradient."""
        return any(each.clip_norm is not None for each in self._norms)

    def _bind(self, parameters: Parameters, part: int) -> tuple[list[Step], list[Step]]:
        xp, total = self._xp, parameters.trainable
        begin, end = (total * i // self._parts for i in (part, part + 1))
        scratch = xp.empty(min(BLOCK, max(1, total)), parameters.dtype)
        reduce: list[Step] = []
        apply: list[Step] = []
        for optimizer, norms in self._norms.items():
            if optimizer.clip_norm is not None:
                reduce.append(partial(norms.__setitem__, part, 0.0))
        for at in self._stretches:
            for first in range(max(at.begin, begin), min(at.end, end), BLOCK):
                block = slice(first, min(first + BLOCK, at.end, end))
                reduction = self._reduction(at, parameters, block, scratch, part)
                (reduce if at.optimizer.clip_norm is not None else apply).extend(reduction)
                apply += self._application(at, parameters, block, scratch)
        return reduce, apply

    def _reduction(
        self, at: _Stretch, parameters: Parameters, block: slice, scratch: Array, part: int
    ) -> list[Step]:
        """What makes a block of the gradient whole: only what there is to do."""
        xp, (first, *others) = self._xp, [gradient[block] for gradient in self._gradients]
        l1, l2, norms = at.treatment.l1, at.treatment.l2, self._norms[at.optimizer]
        value, w = at.optimizer.clip_value, parameters.flat[block]
        t, square = scratch[: w.size], xp.empty((), w.dtype)

        def scale() -> None:
            if self._scale != 1.0:
                xp.multiply(first, self._scale, out=first)

        def measure() -> None:
            xp.dot(first, first, out=square)
            norms[part] += float(square)

        steps: list[Step] = [partial(xp.add, first, other, out=first) for other in others]
        steps.append(scale)
        if l2:
            steps += [partial(xp.multiply, w, l2, out=t), partial(xp.add, first, t, out=first)]
        if l1:
            steps += [partial(xp.sign, w, out=t), partial(xp.multiply, t, l1, out=t)]
            steps.append(partial(xp.add, first, t, out=first))
        if value is not None:
            steps.append(partial(xp.clip, first, -value, value, out=first))
        return steps if at.optimizer.clip_norm is None else [*steps, measure]

    def _application(
        self, at: _Stretch, parameters: Parameters, block: slice, scratch: Array
    ) -> list[Step]:
        """What changes a block of the parameters."""
        xp, optimizer, now = self._xp, at.optimizer, at.now
        w, g = parameters.flat[block], self._gradients[0][block]
        t = scratch[: w.size]
        state = {name: self.state[name][block] for name in optimizer.vectors}
        norm, decay = optimizer.clip_norm, optimizer.weight_decay
        norms = self._norms[optimizer]

        def shorten() -> None:
            length = sum(norms) ** 0.5
            if length > (norm or 0.0):
                xp.multiply(g, (norm or 0.0) / length, out=g)

        steps: list[Step] = [shorten] if norm is not None else []
        if decay and optimizer.decoupled:
            steps.append(lambda: xp.multiply(w, 1 - now.rate * decay, out=w))
        elif decay:
            steps += [partial(xp.multiply, w, decay, out=t), partial(xp.add, g, t, out=g)]
        return [*steps, optimizer.bind(xp, w, g, state, t, now)]


def _stretches(
    optimizer: Optimizer, parameters: Parameters, treatments: Mapping[str, Treatment]
) -> list[_Stretch]:
    """The trainable parameters in order, neighbours that are treated alike together."""
    found: list[_Stretch] = []
    offset = 0
    for name, spec in parameters.specs.items():
        if not spec.trainable:
            break
        at = treatments.get(name, USUAL)
        last = found[-1] if found else None
        if last and last.treatment == at:
            last.end += spec.size
        else:
            own = at.optimizer or optimizer
            found.append(_Stretch(own, at, offset, offset + spec.size))
        offset += spec.size
    return [at for at in found if at.treatment.factor]


def _constraints(xp: Any, w: Array, at: Treatment) -> list[Step]:
    """What keeps a parameter within its bounds."""
    found = [_shortening(xp, w, at.max_norm)] if at.max_norm is not None else []
    if at.max_value is not None:
        found.append(partial(xp.clip, w, -at.max_value, at.max_value, out=w))
    return found


def _shortening(xp: Any, w: Array, longest: float) -> Step:
    """Scales each unit's weights down to ``longest``: Srebro & Shraibman 2005, as in dropout."""
    flat = w.reshape(-1, w.shape[-1])
    squares = xp.empty_like(flat)
    lengths = xp.empty(flat.shape[-1], flat.dtype)

    def step() -> None:
        xp.multiply(flat, flat, out=squares)
        xp.add.reduce(squares, axis=0, out=lengths)
        xp.sqrt(lengths, out=lengths)
        xp.maximum(lengths, longest, out=lengths)
        xp.divide(longest, lengths, out=lengths)
        xp.multiply(flat, lengths, out=flat)

    return step
