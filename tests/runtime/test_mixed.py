"""Training with values in float16: as good, careful with what overflows, resumed to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim
from cortex.runtime.device import array_module, to_numpy
from cortex.runtime.errors import UsageError
from cortex.runtime.mixed import Scale
from cortex.runtime.training import checkpoint
from cortex.runtime.training.saving import Checkpoints
from cortex.runtime.training.trainer import NotFinite, Trainer

from .learning import arrays, model, run

HALF: Any = {"precision": "float16"}


def trained(precision: str, layers: Any, data: Any) -> float:
    net = nn.sequential([*layers, nn.linear(2), nn.softmax()])
    options: Any = {"precision": precision}
    nn.train(net, data, optim.adam(0.01, clip_norm=1.0), epochs=15, batch_size=32, **options)
    return nn.evaluate(net, data)


def images() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(256, 8, 8, 1)).astype(np.float32)
    return x, (x[:, :4].mean((1, 2, 3)) > x[:, 4:].mean((1, 2, 3))).astype(int)


def sequences() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(256, 6, 3)).astype(np.float32)
    return x, (x[:, :, 0].sum(1) > 0).astype(int)


def convnet() -> list[Any]:
    return [
        nn.input(height=8, width=8, channels=1),
        nn.convolutional(3, filters=6),
        nn.max_pooling(2),
        nn.batch_normalization(),
        nn.relu(),
        nn.dropout(rate=0.1),
    ]


@pytest.mark.parametrize(
    ("layers", "data"),
    [(convnet, images), (lambda: [nn.input(shape=(6, 3)), nn.lstm(8)], sequences)],
    ids=["convnet", "lstm"],
)
def test_it_learns_as_much(layers: Any, data: Any) -> None:
    single, half = (trained(dtype, layers(), data()) for dtype in ("float32", "float16"))
    assert single > 0.9
    assert half == pytest.approx(single, abs=0.03)


def test_what_layers_hand_on_is_float16_and_what_learns_is_not() -> None:
    trainer = Trainer(model(), optim.adam(), **HALF)
    trainer.step(arrays())
    (plan,) = next(iter(trainer._plans.values()))  # pyright: ignore[reportPrivateUsage]
    assert {name: array.dtype.name for name, array in plan.v.items()} == {
        "x": "float32",
        "softmax-1": "float16",
        "softmax-1:target": "float32",
    }
    assert plan.grad.dtype == trainer.parameters.flat.dtype == np.float32
    assert all(array.dtype == np.float32 for array in trainer.update.state.values())


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_that_overflows_is_left_out(shards: int, accumulate: int) -> None:
    trainer = Trainer(model(), optim.adam(1e-2), shards=shards, accumulate=accumulate, **HALF)
    assert trainer.scale
    trainer.scale.value = 2.0**40  # float16 ends before 2**16
    before, batch, halvings = trainer.parameters.flat.copy(), arrays(), 0
    before[trainer.parameters.trainable :] = 0  # moving averages have moved
    while not trainer.update.steps:
        for _ in range(accumulate):
            trainer.step(batch)
        halvings += 1
        moved = trainer.parameters.flat.copy()
        moved[trainer.parameters.trainable :] = 0
        assert np.array_equal(moved, before) == (trainer.update.steps == 0)
        assert np.isfinite(moved).all()
    assert halvings > 10
    assert trainer.scale.value == 2.0 ** (41 - halvings)
    assert trainer.scale.good == 1


def test_the_scale_grows_again() -> None:
    scale = Scale(8.0, growth=3)
    for _ in range(5):
        scale.keep()
    assert (scale.value, scale.good) == (16.0, 2)
    scale.halve()
    assert (scale.value, scale.good) == (8.0, 0)


def test_a_gradient_that_is_never_finite_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(model(), optim.sgd(0.1), **HALF)
    assert trainer.scale
    trainer.scale.value = 2.0**-24

    def of_losses(number: Any) -> bool:
        return not isinstance(number, np.ndarray)

    monkeypatch.setattr("cortex.runtime.training.trainer.isfinite", of_losses)
    with pytest.raises(NotFinite, match="however small the loss is scaled"):
        trainer.step(arrays())


@pytest.mark.parametrize("shards", [1, 2])
def test_small_gradients_are_not_lost(shards: int) -> None:
    """Below 6e-8, float16 has no number but 0: without a scale nothing would be learnt."""
    found: list[Any] = []
    for precision in ("float32", "float16"):
        made = model(bias=False)
        terms = [term.__class__(term.loss, term.on, term.target, 1e-8) for term in made.terms]
        weak = made.__class__(made.network, terms)
        options: Any = {"precision": precision}
        trainer = Trainer(weak, optim.sgd(1e7), shards=shards, **options)
        before = trainer.parameters.flat.copy()
        for _ in range(3):
            trainer.step(arrays())
        found.append(trainer.parameters.flat - before)
    assert np.abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[1], found[0], atol=0.02 * np.abs(found[0]).max())


@pytest.mark.parametrize("options", [{}, {"shards": 2}, {"accumulate": 2}], ids=str)
def test_a_resumed_run_is_one_that_never_stopped(tmp_path: Path, options: Any) -> None:
    path = tmp_path / "run.safetensors"

    def made(*listeners: Any, epochs: int) -> Any:
        one = run(*listeners, epochs=epochs, **HALF, **options)
        assert one.trainer.scale
        one.trainer.scale.value = 2.0**24  # some steps are left out
        one.trainer.scale.growth = 3
        return one

    made(Checkpoints(path), epochs=2).train()
    whole, resumed = made(epochs=5), made(epochs=5)
    whole.train()
    checkpoint.resume(resumed, path)
    resumed.train()
    np.testing.assert_array_equal(resumed.trainer.parameters.flat, whole.trainer.parameters.flat)
    for name, vector in whole.trainer.update.state.items():
        np.testing.assert_array_equal(resumed.trainer.update.state[name], vector)
    assert resumed.trainer.scale == whole.trainer.scale
    assert resumed.trainer.update.steps == whole.trainer.update.steps
    assert whole.trainer.update.steps < whole.trainer.steps // options.get("accumulate", 1)


def test_other_precisions_are_refused() -> None:
    with pytest.raises(UsageError, match="precision 'float8': it is float32 or float16"):
        Trainer(model(), optim.sgd(0.1), precision="float8")  # pyright: ignore[reportArgumentType]


@pytest.mark.gpu
@pytest.mark.parametrize("layers", [convnet, lambda: [nn.input(shape=(6, 3)), nn.lstm(8)]])
def test_cupy_learns_the_same(layers: Any) -> None:
    cupy = array_module("cuda")
    found: list[Any] = []
    data = images() if layers is convnet else sequences()
    for xp in (np, cupy):
        net = nn.sequential([*layers(), nn.linear(2), nn.softmax()])
        history = nn.train(net, data, optim.adam(0.01), epochs=2, shards=1, xp=xp, **HALF)
        found.append(to_numpy(history.trainer.parameters.flat))
    np.testing.assert_allclose(found[1], found[0], atol=2e-2)
