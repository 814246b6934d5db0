"""A deep belief network on MNIST: machines that learn without labels, and then a classifier.

    CORTEX_DATA=FOLDER python examples/dbn.py [--examples N] [--epochs N]

FOLDER/mnist has MNIST's files; without them scikit-learn's digits stand in. Two restricted
Boltzmann machines are trained by contrastive divergence, one upon the other. Expected of the pair
t10k-*, whose last 1,500 digits are kept from training: at least 92 % right where only a softmax on
top of the machines learns from the labels, and at least 96 % once all layers are fine-tuned with
it, which is more than the same layers reach from a random start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from cortex.runtime import data, nn, optim

UNITS = (256, 128)


class Right(NamedTuple):
    """The part of the test digits that is right."""

    head_only: float
    fine_tuned: float
    from_scratch: float


def digits(part: Literal["train", "test"], count: int) -> tuple[Any, Any]:
    """Pixels from 0 to 1, as a machine's visible units, and one-hot classes."""
    whole = data.load_mnist(part, digits=True)
    pixels, classes = whole.column(data.INPUT), whole.column(data.TARGET)
    return pixels[:count].reshape(-1, 784) + 0.5, classes[:count]


def classified(layers: Sequence[nn.LayerSpec], train: Any, test: Any) -> float:
    """The part of the test digits that layers and a softmax on top of them get right."""
    net = nn.sequential([nn.input(784), *layers, nn.linear_softmax(10)])
    nn.train(net, train, optim.adam(2e-3), epochs=10, batch_size=64)
    return nn.evaluate(net, test)


def main(examples: int = 8500, epochs: int = 5) -> Right:
    """Trains the machines on so many digits, and three classifiers."""
    train, test = digits("train", examples), digits("test", 1500)
    rate = optim.sgd(rate=0.1, momentum=0.5)
    machines = nn.pretrain(train[0], 784, UNITS, rate, epochs=epochs, batch_size=32)
    frozen = [replace(layer, frozen=True) for layer in machines]
    fresh = [nn.linear_logistic(units) for units in UNITS]
    return Right(*(classified(layers, train, test) for layers in (frozen, machines, fresh)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=8500)
    parser.add_argument("--epochs", type=int, default=5)
    right = main(**vars(parser.parse_args()))
    print(f"only the head: {right.head_only:.1%}")
    print(f"fine-tuned: {right.fine_tuned:.1%}, from scratch: {right.from_scratch:.1%}")
