"""How each optimiser descends on functions whose minima are known.

    python examples/optimise.py [FUNCTION]

Prints the steps that each takes, and how high and how far from the nearest minimum it ends; of one
FUNCTION how high it is on its way. Expected: momentum, Nesterov, RMSProp and Adam come within 0.01
of a minimum of every function in 5,000 steps; plain descent, Adagrad and Adadelta are then still on
their way in Rosenbrock's valley, 0.1 or more from its end.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.runtime import optim
from cortex.runtime.optim.rules import Now
from cortex.runtime.optim.schedules import Progress, rate_at

Array = Any
STEPS, FLAT = 5000, 1e-6
"""Where a descent ends: after so many steps, or where the slope is no more than this."""


@dataclass(frozen=True)
class Surface:
    """A function of two numbers.

    Attributes:
        value: of x and y.
        slope: its gradient.
        start: where descents begin.
        minima: the lowest points, where it is 0.
    """

    value: Callable[[float, float], float]
    slope: Callable[[float, float], tuple[float, float]]
    start: tuple[float, float]
    minima: Sequence[tuple[float, float]]

    def distance(self, x: float, y: float) -> float:
        """From the nearest minimum."""
        return min(float(np.hypot(x - a, y - b)) for a, b in self.minima)


def beale_slope(x: float, y: float) -> tuple[float, float]:
    """Of Beale's function, a sum of three squares."""
    parts = [(c - x + x * y**n, y**n - 1, n * x * y ** (n - 1)) for n, c in enumerate(BEALE, 1)]
    return sum(2 * e * dx for e, dx, _ in parts), sum(2 * e * dy for e, _, dy in parts)


BEALE = (1.5, 2.25, 2.625)
SURFACES: Mapping[str, Surface] = {
    "bowl": Surface(
        lambda x, y: x**2 + 10 * y**2, lambda x, y: (2 * x, 20 * y), (-4.0, 2.0), [(0, 0)]
    ),
    "booth": Surface(
        lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
        lambda x, y: (10 * x + 8 * y - 34, 8 * x + 10 * y - 38),
        (-4.0, -3.0),
        [(1, 3)],
    ),
    "rosenbrock": Surface(
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        lambda x, y: (2 * (x - 1) - 400 * x * (y - x**2), 200 * (y - x**2)),
        (-1.2, 1.0),
        [(1, 1)],
    ),
    "beale": Surface(
        lambda x, y: sum((c - x + x * y**n) ** 2 for n, c in enumerate(BEALE, 1)),
        beale_slope,
        (1.0, 1.5),
        [(3, 0.5)],
    ),
    "himmelblau": Surface(
        lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
        lambda x, y: (
            4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7),
            2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7),
        ),
        (0.0, 0.0),
        [(3, 2), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127)],
    ),
    "saddle": Surface(
        lambda x, y: x**2 + (y**2 - 1) ** 2,
        lambda x, y: (2 * x, 4 * y * (y**2 - 1)),
        (1.5, 1e-3),
        [(0, 1), (0, -1)],
    ),
}
OPTIMIZERS: Mapping[str, optim.Optimizer] = {
    "descent": optim.sgd(rate=1e-3),
    "momentum": optim.sgd(rate=1e-3, momentum=0.9),
    "nesterov": optim.sgd(rate=1e-3, momentum=0.9, nesterov=True),
    "rmsprop": optim.rmsprop(rate=optim.exponential(1e-2, 0.999)),
    "adagrad": optim.adagrad(rate=0.1),
    "adadelta": optim.adadelta(),
    "adam": optim.adam(rate=0.02),
}


@dataclass(frozen=True)
class Descent:
    """One way down.

    Attributes:
        points: where it was, the start first.
        heights: the function's values there.
    """

    points: list[tuple[float, float]]
    heights: list[float]


def descend(surface: Surface, optimizer: optim.Optimizer, steps: int = STEPS) -> Descent:
    """Follows an optimiser until it is flat, or for so many steps."""
    point, slope, scratch = np.array(surface.start), np.zeros(2), np.empty(2)
    state, now, found = {name: np.zeros(2) for name in optimizer.vectors}, Now(), Descent([], [])
    step = optimizer.bind(np, point, slope, state, scratch, now)
    while True:
        x, y = map(float, point)
        found.points.append((x, y))
        found.heights.append(surface.value(x, y))
        slope[...] = surface.slope(x, y)
        if now.step == steps or np.linalg.norm(slope) <= FLAT:
            return found
        now.rate, now.step = rate_at(optimizer.rate, Progress(now.step)), now.step + 1
        step()


def main(steps: int = STEPS) -> Mapping[tuple[str, str], Descent]:
    """Every optimiser on every function; prints a line for each."""
    print(f"{'function':12}{'optimiser':12}{'steps':>6}{'height':>11}{'distance':>11}")
    found: dict[tuple[str, str], Descent] = {}
    for name, surface in SURFACES.items():
        for how, optimizer in OPTIMIZERS.items():
            way = found[name, how] = descend(surface, optimizer, steps)
            far = surface.distance(*way.points[-1])
            line = f"{len(way.points) - 1:6}{way.heights[-1]:11.2e}{far:11.2e}"
            print(f"{name:12}{how:12}{line}")
    return found


def follow(surface: Surface, at: Sequence[int] = (0, 1, 10, 100, 1000, STEPS)) -> None:
    """Prints how high each optimiser is after so many steps."""
    print(f"{'steps':12}" + "".join(f"{n:11}" for n in at))
    for how, optimizer in OPTIMIZERS.items():
        heights = descend(surface, optimizer).heights
        print(f"{how:12}" + "".join(f"{heights[min(n, len(heights) - 1)]:11.2e}" for n in at))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("function", nargs="?", choices=SURFACES)
    given = parser.parse_args()
    if given.function:
        follow(SURFACES[given.function])
    else:
        main()
