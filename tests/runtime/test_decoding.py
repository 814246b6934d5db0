"""Sequence to sequence: a step at a time is the whole, and decoding finds what was learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim
from cortex.runtime.errors import GraphError, UsageError
from cortex.runtime.training.model import Model

VOCABULARY, LENGTH, BEGIN, END = 6, 4, 0, 1
RNG = np.random.default_rng(0)
SOURCE = RNG.integers(2, VOCABULARY, (600, LENGTH))
WANTED = SOURCE[:, ::-1]


def translator(layer: Any = nn.lstm, **options: Any) -> Model:
    return nn.sequential(
        [
            nn.input(shape=("S",), dtype="int64", name="source"),
            nn.embedding(vocabulary=VOCABULARY, units=8),
            layer(24, name="encoder"),
            nn.input(shape=("T",), dtype="int64", name="target"),
            nn.embedding(vocabulary=VOCABULARY, units=8),
            layer(24, states_from="encoder", return_sequences=True, **options),
            layer(12, return_sequences=True),
            nn.linear(VOCABULARY, flatten=False),
            nn.softmax(),
        ]
    )


@pytest.fixture(scope="module")
def trained() -> Model:
    model = translator()
    begins, ends = (np.full((len(SOURCE), 1), word) for word in (BEGIN, END))
    said = {
        "source": SOURCE,
        "target": np.concatenate([begins, WANTED], 1),
        "labels": np.concatenate([WANTED, ends], 1),
    }
    nn.train(model, said, optim.adam(0.02), epochs=12, batch_size=50)
    return model


def test_it_learns_to_reverse(trained: Model) -> None:
    decoder = nn.Decoder(trained, target="target", begin=BEGIN, end=END)
    found = decoder.greedy({"source": SOURCE[:40]}, longest=8)
    right = [one.ids == tuple(words) for one, words in zip(found, WANTED, strict=False)]
    assert np.mean(right) > 0.8
    beams = decoder.beam({"source": SOURCE[:40]}, width=3, longest=8)
    for one, wide in zip(found, beams, strict=True):  # a wider search finds no worse a sentence
        assert wide.score / (len(wide.ids) + 1) >= one.score / (len(one.ids) + 1) - 1e-6


@pytest.mark.parametrize("layer", [nn.recurrent, nn.gru, nn.lstm])
def test_a_score_is_that_of_the_whole_network(layer: Any) -> None:
    model = translator(layer)
    decoder = nn.Decoder(model, target="target", begin=BEGIN, end=-1)
    (one,) = decoder.greedy({"source": SOURCE[:1]}, longest=5)
    said = np.array([[BEGIN, *one.ids[:-1]]])
    found = nn.predict(model, {"source": SOURCE[:1], "target": said})
    assert one.score == pytest.approx(np.log(found[0, range(5), one.ids]).sum(), rel=1e-4)


def test_errors() -> None:
    with pytest.raises(GraphError, match="no input is called 'x'"):
        nn.Decoder(translator(), target="x", begin=0, end=1)
    with pytest.raises(GraphError, match="layer 'lstm-1': it reads backwards"):
        nn.Decoder(translator(reverse=True), target="target", begin=0, end=1)
    with pytest.raises(UsageError, match="the input 'source' is missing"):
        nn.Decoder(translator(), target="target", begin=0, end=1).greedy({})
