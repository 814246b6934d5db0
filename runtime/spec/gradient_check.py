"""Whether the gradient that training follows is the slope of the loss it makes small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from ..errors import Disagreement
from ..network import sizes_of
from ..parameters import Parameters
from ..plan import Plan
from ..training.model import Model
from .batch import a_batch
from .schema import Spec

Array = Any
STEP = 1e-6
"""How far an element is moved: little enough that curvature is not taken for a kink."""
TOLERANCE = 1e-5
KINK = 1e-3
"""Slopes on both sides that differ more lie on both sides of a kink, as of a rectifier at zero."""
ROWS, SAMPLES = 4, 30
AWAY = 1e-2
"""Deviation of what parameters are moved by first: a bias of zero may lie just at a kink."""


@dataclass(frozen=True)
class Checked:
    """A parameter's gradient against central differences.

    Attributes:
        samples: elements compared; those at a kink of the loss are passed over.
        error: the largest difference, relative to the largest slope, at least 1e-3.
    """

    name: str
    samples: int
    error: float


def check(
    model: Model, batch: Mapping[str, Array], *, samples: int = SAMPLES, seed: int = 0
) -> Sequence[Checked]:
    """Compares some elements of every parameter that learns, dropout and all, in float64.

    It looks a little away from where the model is, which stays as it is.
    """
    graph = model.network.graph
    parameters = Parameters(graph, model.network.parameters, np.float64)
    sizes = sizes_of(graph.inputs, {name: batch[name] for name in graph.inputs})
    plan = Plan(
        graph, parameters, sizes, training=True, terms=model.terms, frozen=model.frozen, seed=seed
    )
    plan.put(batch)
    views, rng = parameters.views(np.arange(parameters.trainable)), np.random.default_rng(seed)
    parameters.flat[: parameters.trainable] += rng.normal(scale=AWAY, size=parameters.trainable)
    begin = parameters.flat.copy()
    plan.run()
    slopes = plan.grad.copy()

    def loss(place: int, moved: float) -> float:
        parameters.flat[...] = begin  # statistics and centres move with every forward pass
        parameters.flat[place] += moved
        for step in plan.forward:
            step()
        return float(np.sum(plan.losses))

    here, found = loss(0, 0.0), list[Checked]()
    learning = {
        full for node in graph.nodes if node.name not in model.frozen
        for full in node.params.values()
    }  # fmt: skip
    for name in (name for name in views if name in learning):
        places = views[name].reshape(-1)
        places = rng.choice(places, min(samples, places.size), replace=False)
        sides = np.array([[loss(at, STEP) - here, here - loss(at, -STEP)] for at in places]) / STEP
        scale = max(float(np.abs(sides).max()), 1e-3)
        smooth = np.abs(sides[:, 0] - sides[:, 1]) < KINK * scale
        errors = np.abs(sides.mean(axis=1) - slopes[places])[smooth]
        error = float(errors.max(initial=0)) / scale
        found.append(Checked(name, int(smooth.sum()), error))
    parameters.flat[...] = begin
    return found


def show(spec: Spec) -> None:
    """Prints each parameter's error.

    Raises:
        Disagreement: a gradient is wrong.
    """
    model, batch = a_batch(spec, ROWS)
    found = check(model, batch, seed=spec.seed)
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        outcome = f"error {each.error:.1e}" if each.samples else "every one of them at a kink"
        click.echo(f"{each.name:{width}}  {each.samples:3} elements  {outcome}")
    wrong = [each for each in found if not each.error < TOLERANCE]
    if wrong:
        raise Disagreement(
            f"parameter {wrong[0].name!r}: its gradient is off by {wrong[0].error:.1e} of the "
            f"largest, which is more than {TOLERANCE:g}"
        )
