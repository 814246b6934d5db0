"""A character LSTM: it reads a licence until it can go on writing it.

    python examples/characters.py [FILE] [--epochs N]

Any text in UTF-8 will do. The network keeps its state from batch to batch, and is trained on 50
characters at a time. Expected of the LICENSE in this repository after 60 epochs: a loss below 0.4
(nats a character; a guess by frequency has 3.1), and a continuation in the words of a licence.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from cortex.runtime import data, nn, optim

LICENCE = Path(__file__).parent.parent / "LICENSE"
LENGTH, LANES = 50, 8


def network(characters: int) -> Any:
    """The probability of each next character, for a stretch of any length."""
    return nn.sequential(
        [
            nn.input(shape=("T",), dtype="int32", name="text"),
            nn.embedding(vocabulary=characters, units=32),
            nn.lstm(128, return_sequences=True, stateful=True, name="lstm"),
            nn.linear(characters, flatten=False),
            nn.softmax(name="next"),
        ]
    )


def written(net: Any, alphabet: data.Alphabet, begin: str, length: int) -> str:
    """The text that the network goes on with, each character drawn as probable as it says."""
    rng = np.random.default_rng(0)
    state = {name: np.zeros((1, 128), np.float32) for name in net.network.graph.states}
    ids = alphabet.encode(begin)
    found: list[int] = []
    for _ in range(length):
        outputs = net.network.run({"text": ids[None], **state})
        state = {held: outputs[kept] for held, kept in net.network.graph.states.items()}
        chances = outputs["next"][0, -1].astype(np.float64)
        ids = rng.choice(len(alphabet), 1, p=chances / chances.sum()).astype(np.int32)
        found.append(int(ids[0]))
    return alphabet.decode(found)


def main(file: Path = LICENCE, epochs: int = 60) -> tuple[float, str]:
    """The loss of the last epoch, and what the network writes."""
    text = data.read_text(file, LENGTH, stateful=True)
    net = network(len(text.alphabet))
    rate = optim.adam(rate=optim.cosine(1e-2), clip_norm=5.0)
    history = nn.train(net, text, rate, epochs=epochs, batch_size=LANES)
    whole = file.read_text("utf-8")
    begin = whole[len(whole) // 2 :][:100]
    return history[-1].loss, begin + written(net, text.alphabet, begin, 300)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=LICENCE)
    parser.add_argument("--epochs", type=int, default=60)
    given = parser.parse_args()
    loss, continuation = main(given.file, given.epochs)
    print(f"loss {loss:.2f}\n{continuation}")
