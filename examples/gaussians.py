"""Which of two bell curves did a point come from? go-neuron's network, trained as there.

    python examples/gaussians.py [--epochs N]

An MLP 64-128-128-1 with a margin loss and plain SGD, an example a step. Expected of 500 points that
it has not seen: at least 95 % right after one epoch of 2,000; nothing can do better than 97.7 %.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from cortex.runtime import losses, nn, optim

SIZE = 64


def points(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Float32 [count, 64], around -¼ or ¼ in every coordinate, and which of them: -1 or 1."""
    sign = rng.choice([-1.0, 1.0], (count, 1))
    return (rng.normal(size=(count, SIZE)) + sign / 4).astype(np.float32), sign


def network() -> Any:
    """Small even weights, hidden units that begin a little above zero, no activation at the end."""
    weights = nn.initializers.uniform(-0.01, 0.01)
    hidden = {"kernel": weights, "bias": nn.initializers.constant(0.1)}
    return nn.sequential(
        [
            nn.input(SIZE, name="point"),
            nn.linear_relu(128, initial=hidden),
            nn.linear_relu(128, initial=hidden),
            nn.linear(1, name="score", initial={"kernel": weights}),
        ],
        terms=[losses.Term(losses.Hinge(), "score", "side")],
    )


def main(epochs: int = 1) -> float:
    """Trains; the part of new points on whose right side the score is."""
    rng = np.random.default_rng(0)
    net = network()
    nn.train(net, points(2000, rng), optim.sgd(rate=0.05), epochs=epochs, batch_size=1)
    x, side = points(500, rng)
    return float(np.mean(np.sign(nn.predict(net, x)) == side))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1)
    print(f"right: {main(parser.parse_args().epochs):.1%}")
