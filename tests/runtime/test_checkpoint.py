"""Checkpoints: a run that is resumed is one that never stopped, and nothing saved is ever lost."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn, optim, weights
from cortex.runtime.data import Arrays
from cortex.runtime.errors import CortexError, UnreadableFile, UnwritableFile, UsageError
from cortex.runtime.network import GRAPH, Network
from cortex.runtime.optim import Optimizer
from cortex.runtime.training import checkpoint
from cortex.runtime.training.checkpoint import TRAINING
from cortex.runtime.training.loop import Listener, Run
from cortex.runtime.training.measures import Accuracy
from cortex.runtime.training.saving import Best, Checkpoints
from cortex.runtime.training.trainer import Trainer

from .learning import INPUT, TARGET, arrays, model, run

OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.sgd(optim.step(0.1, every=1), momentum=0.9, nesterov=True),
    "adam": optim.adam(optim.warm_up(optim.cosine(1e-2))),
    "adamw": optim.adamw(1e-2, clip_norm=0.5),
    "rmsprop": optim.rmsprop(1e-2),
    "adagrad": optim.adagrad(optim.polynomial(1e-1)),
    "adadelta": optim.adadelta(),
    "plateau": optim.sgd(optim.plateau(0.1, patience=0, threshold=0.2), momentum=0.5),
}


class StopAt(Listener):
    """Stops after so many steps in all."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def batch(self, run: Run, batch: Any, loss: float) -> None:
        run.stop = run.stop or run.trainer.steps == self._steps


def assert_same(found: Run, wanted: Run) -> None:
    """The same parameters, statistics and optimiser, bit for bit, and the same history."""
    np.testing.assert_array_equal(found.trainer.parameters.flat, wanted.trainer.parameters.flat)
    for name, vector in wanted.trainer.update.state.items():
        np.testing.assert_array_equal(found.trainer.update.state[name], vector, err_msg=name)
    facts = [
        [(each.loss, each.rate, each.best, each.terms, dict(each.metrics)) for each in one.history]
        for one in (found, wanted)
    ]
    assert facts[0] == facts[1]


def resumed(path: Path, make: Callable[[], Run]) -> Run:
    one = make()
    checkpoint.resume(one, path)
    one.train()
    return one


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [3, 5])  # at the end of an epoch, and within one
def test_a_resumed_run_is_one_that_never_stopped(tmp_path: Path, name: str, steps: int) -> None:
    path = tmp_path / "run.safetensors"
    stopped = run(StopAt(steps), Checkpoints(path), optimizer=OPTIMIZERS[name])
    stopped.train()
    assert stopped.trainer.steps == steps
    whole = run(optimizer=OPTIMIZERS[name])
    whole.train()
    assert_same(resumed(path, lambda: run(optimizer=OPTIMIZERS[name])), whole)


@pytest.mark.parametrize(
    "options",
    [
        {"penalties": True},
        {"shards": 2},
        {"accumulate": 2},
        {"accumulate": 3, "shards": 2},
        {"dtype": np.float64},
    ],
    ids=str,
)
def test_so_is_one_with_other_settings(tmp_path: Path, options: Any) -> None:
    path = tmp_path / "run.safetensors"
    run(StopAt(4), Checkpoints(path), **options).train()
    whole = run(**options)
    whole.train()
    assert_same(resumed(path, lambda: run(**options)), whole)


def test_so_is_one_that_stops_again_and_again(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.safetensors", run()
    whole.train()
    run(StopAt(1), Checkpoints(path)).train()
    for steps in range(2, 9):
        resumed(path, lambda steps=steps: run(StopAt(steps), Checkpoints(path)))
    assert_same(resumed(path, run), whole)


def stateful(*listeners: Listener) -> Run:
    """A run whose batches go on where the last one ended."""
    made = nn.sequential(
        [nn.input(shape=(5, 2), name=INPUT), nn.lstm(3, stateful=True), nn.linear(3), nn.softmax()]
    )
    rng = np.random.default_rng(0)
    data = {
        INPUT: rng.normal(size=(12, 5, 2)).astype(np.float32),
        TARGET: np.eye(3, dtype=np.float32)[rng.integers(0, 3, 12)],
    }
    return Run(
        Trainer(made, optim.adam()), Arrays(data, shuffle=False), None, 3, 4, (), "loss", listeners
    )


def test_what_a_stateful_network_carries_is_resumed(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.safetensors", stateful()
    whole.train()
    stateful(StopAt(5), Checkpoints(path)).train()
    assert any("carried" in name for name in weights.WeightsFile.open(path).stored)
    assert_same(resumed(path, stateful), whole)


def test_a_checkpoint_is_a_network(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    one = run(Checkpoints(path), epochs=1)
    one.train()
    network = Network.load(path)
    x = {INPUT: arrays()[INPUT]}
    wanted = one.trainer.network.run(x)["softmax-1"]
    np.testing.assert_array_equal(network.run(x)["softmax-1"], wanted)


def test_the_best_is_kept_and_an_older_file_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "best.safetensors"
    path.parent.mkdir()
    path.write_text("dear")
    (path.parent / "best.1.safetensors").write_text("dearer")
    one, told = run(Best(path), epochs=6), list[str]()
    one.say = told.append  # type: ignore[method-assign]
    one.train()
    assert one.best
    best = Network.load(path)
    fresh = run()
    checkpoint.resume(fresh, path)
    assert fresh.history[-1].number == one.best.number
    assert best.parameters.keys() >= one.trainer.parameters.of.keys()
    assert (path.parent / "best.2.safetensors").read_text() == "dear"
    assert (path.parent / "best.1.safetensors").read_text() == "dearer"
    assert told[0] == (
        f"saved {path}: new best; the older file is now {path.parent / 'best.2.safetensors'}"
    )
    assert all(text == f"saved {path}: new best" for text in told[1:])
    assert len(told) == sum(each.best for each in one.history)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, ["run.st"]),
        ({"every": 2}, ["run.st"]),
        ({"history": 2}, ["run-4.st", "run-5.st"]),
        ({"every": 2, "history": 2}, ["run-4.st", "run-5.st"]),  # the last is of the end
        ({"every": 2, "history": None}, ["run-2.st", "run-4.st", "run-5.st"]),
        ({"every": 100}, ["run.st"]),
    ],
    ids=str,
)
def test_checkpoints_are_kept_as_asked(tmp_path: Path, options: Any, found: list[str]) -> None:
    run(Checkpoints(tmp_path / "run.st", **options), epochs=5).train()
    assert names(tmp_path) == found
    last = run()
    checkpoint.resume(last, tmp_path / found[-1])
    assert len(last.history) == 5


def test_the_history_of_a_resumed_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    run(Checkpoints(path, history=2), epochs=3).train()
    last = path.with_stem("run-3")
    resumed(last, lambda: run(Checkpoints(path, history=2), epochs=4))
    assert names(tmp_path) == ["run-3.st", "run-4.st"]


def test_a_checkpoint_of_another_run_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    run(Checkpoints(path), epochs=1).train()
    before = path.read_bytes()
    run(Checkpoints(path), epochs=2).train()
    assert names(tmp_path) == ["run.1.st", "run.st"]
    assert path.with_stem("run.1").read_bytes() == before
    resumed(path, lambda: run(Checkpoints(path)))
    assert names(tmp_path) == ["run.1.st", "run.st"]


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        (Checkpoints, ["run-1.st", "run-2.st", "run.1.st", "run.st"]),
        (
            partial(Checkpoints, history=2),
            ["run-1.st", "run-2.st", "run-3.st", "run-4.st", "run.st"],
        ),
        (Best, ["run-1.st", "run-2.st", "run.1.st", "run.st"]),
    ],
    ids=["one", "several", "best"],
)
def test_a_resumed_run_keeps_what_is_of_another(
    tmp_path: Path, listen: Callable[[Path], Listener], found: list[str]
) -> None:
    path, ours = tmp_path / "run.st", tmp_path / "ours" / "run.st"
    run(Checkpoints(path), epochs=2).train()
    run(Checkpoints(path, history=None), epochs=2).train()
    others = {file.read_bytes() for file in tmp_path.glob("*.st")}
    run(Checkpoints(ours), epochs=2, goal="loss").train()
    resumed(ours, lambda: run(listen(path), epochs=4, goal="loss"))
    assert names(tmp_path) == ["ours", *found]
    assert others < {file.read_bytes() for file in tmp_path.glob("*.st")}


def test_several_that_are_kept_and_those_set_aside_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    for options in ({}, {}, {"history": 2}, {"history": 2}, {}):
        run(Checkpoints(path, **options), epochs=3).train()
    wanted = {"run.st", "run.1.st", "run.2.st", "run-2.st", "run-3.st", "run-2.1.st", "run-3.1.st"}
    assert {*names(tmp_path)} >= wanted


class FailAt(Listener):
    """Fails after so many steps."""

    def batch(self, run: Run, batch: Any, loss: float) -> None:
        if run.trainer.steps == 4:
            raise RuntimeError("broken")


def test_what_was_learnt_before_a_listener_failed_is_kept(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.st", run()
    whole.train()
    with pytest.raises(RuntimeError, match="broken"):
        run(Checkpoints(path), FailAt()).train()
    assert_same(resumed(path, run), whole)


def test_what_a_failed_step_left_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    one = run(Checkpoints(path), optimizer=optim.sgd(1e30))
    with pytest.raises(CortexError):
        one.train()
    assert names(tmp_path) == []


def full(*args: Any, **_: Any) -> None:
    """A disk that is full half way."""
    args[0].write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.st"
    one = run(epochs=1)
    one.train()
    checkpoint.save(one, path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(weights, "write", full)
        with pytest.raises(UnwritableFile, match=r"run.st: cannot be written: No space left") as at:
            checkpoint.save(one, path)
        assert "what was there before is untouched" in str(at.value)
        with pytest.raises(UnwritableFile):
            run(Checkpoints(path), epochs=1).train()
    assert path.read_bytes() == before  # the run that failed had set it aside, and put it back
    assert names(tmp_path) == ["run.st"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_is_not_ours_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UnwritableFile, match="Permission denied"):
        checkpoint.save(run(), tmp_path / "run.st")


KILLED = """
import os, signal, sys
from pathlib import Path
from cortex.runtime import files, weights
from cortex.runtime.training import checkpoint
from tests.runtime.learning import run

one, path, when = run(epochs=1), Path(sys.argv[1]), sys.argv[2]
one.train()
checkpoint.save(one, path)
print(path.stat().st_size, flush=True)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if when == "writing":
    weights._bytes = die
else:
    files.sync = die
one.epochs = 2
one.train()
checkpoint.save(one, path)
"""


@pytest.mark.parametrize("when", ["writing", "flushing"])
def test_a_kill_while_saving_loses_nothing(tmp_path: Path, when: str) -> None:
    path = tmp_path / "run.st"
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", KILLED, path, when], capture_output=True, text=True, cwd=root
    )
    assert found.returncode == -signal.SIGKILL, found.stderr
    assert path.stat().st_size == int(found.stdout)
    one = run()
    checkpoint.resume(one, path)
    assert len(one.history) == 1
    assert names(tmp_path) == [".run.st.part", "run.st"]
    checkpoint.save(one, path)  # the next to save takes away what the killed one left
    assert names(tmp_path) == ["run.st"]


def saved(tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "run.st"
    run(StopAt(4), Checkpoints(path), **options).train()
    return path


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(
        UsageError,
        match=r"another network: 'linear-1/kernel' is \(4, 6\) there, \(4, 7\) here",
    ):
        checkpoint.resume(run(width=7), path)
    layers = [nn.input(4, name=INPUT), nn.linear(3), nn.softmax()]
    other = Run(Trainer(nn.sequential(layers), optim.adam()), Arrays(arrays()), None, 1, 16)
    with pytest.raises(UsageError, match=r"'linear-1/kernel' is \(4, 6\) there, \(4, 3\) here"):
        checkpoint.resume(other, path)
    made = model().network.graph
    tanh = [
        nn.input(4, name=INPUT), nn.linear(6), nn.batch_normalization(), nn.tanh(),
        nn.dropout(rate=0.2), nn.linear(3), nn.softmax(),
    ]  # fmt: skip
    same = nn.sequential(tanh)
    assert same.network.graph.parameters == made.parameters
    other = Run(Trainer(same, optim.adam()), Arrays(arrays()), None, 1, 16)
    with pytest.raises(UsageError, match=r"it holds another network: .*Relu.* and Tanh"):
        checkpoint.resume(other, path)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (optim.sgd(0.1), r"with Adam \(mean, square\), and cannot go on with SGD \(without a"),
        (optim.adamw(0.1), r"with Adam \(mean, square\), and cannot go on with AdamW"),
    ],
    ids=["sgd", "adamw"],
)
def test_another_optimizer_is_refused(tmp_path: Path, optimizer: Optimizer, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checkpoint.resume(run(optimizer=optimizer), saved(tmp_path))


def test_another_rate_is_not(tmp_path: Path) -> None:
    one = run(optimizer=optim.adam(0.5))
    checkpoint.resume(one, saved(tmp_path))
    one.train()
    assert one.history[-1].rate == 0.5


def test_other_settings_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(tmp_path, accumulate=3)  # one gradient is gathered, in one shard
    one = run(shards=2, seed=9, accumulate=3)
    with caplog.at_level(logging.WARNING):
        checkpoint.resume(one, path)
    assert "seed 3 before, 9 now; shards 1 before, 2 now" in caplog.text
    one.train()
    assert len(one.history) == 3


def test_another_batch_size_within_an_epoch_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    one = run()
    one.batch_size = 8
    with pytest.raises(UsageError, match="within an epoch of batches of 16; go on with that"):
        checkpoint.resume(one, path)


def damaged(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Writes a checkpoint again, its standing changed."""
    file = weights.WeightsFile.open(path)
    held = {name: np.array(array) for name, array in file.arrays().items()}
    standing = change(json.loads(file.metadata[TRAINING]))
    text = standing if isinstance(standing, str) else json.dumps(standing)
    weights.write(path, held, {**undigested(file), TRAINING: text})


def undigested(file: weights.WeightsFile) -> dict[str, str]:
    """The metadata of a file that somebody wrote without a digest."""
    return {key: text for key, text in file.metadata.items() if key != weights.DIGEST}


NOTHING: dict[str, Any] = {}
DAMAGES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda at: "{", "a damaged checkpoint"),
    (lambda at: "[" * 100_000, "a damaged checkpoint"),
    (lambda at: NOTHING, "a damaged checkpoint: optimizer: Field required"),
    (lambda at: {**at, "steps": "many"}, "a damaged checkpoint: steps: "),
    (lambda at: {**at, "history": [NOTHING]}, "a damaged checkpoint: history.0.number: "),
]


@pytest.mark.parametrize(("change", "message"), DAMAGES)
def test_a_damaged_checkpoint_is_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = saved(tmp_path)
    damaged(path, change)
    with pytest.raises(UnreadableFile, match=message):
        checkpoint.resume(run(), path)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.99])  # of the file: the header, and arrays
@pytest.mark.parametrize("load", [Network.load, partial(checkpoint.resume, run())])
def test_a_byte_that_was_changed_is_told(tmp_path: Path, place: float, load: Any) -> None:
    path = saved(tmp_path)
    load(path)
    held = bytearray(path.read_bytes())
    held[int(place * len(held))] ^= 1
    path.write_bytes(held)
    with pytest.raises(UnreadableFile, match=r"run\.st: "):
        load(path)


def test_an_array_that_was_changed_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path)
    stored = weights.WeightsFile.open(path).stored["linear-1/kernel"]
    with path.open("r+b") as file:
        file.seek(stored.offset)
        file.write(bytes(8))
    for load in (Network.load, partial(checkpoint.resume, run())):
        with pytest.raises(UnreadableFile, match=r"run\.st: damaged: its SHA-256 is \w+…, when it"):
            load(path)


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    with pytest.raises(UnreadableFile, match="no such file"):
        checkpoint.resume(run(), path)
    path.write_text("hello, world")
    with pytest.raises(UnreadableFile, match="not a safetensors file"):
        checkpoint.resume(run(), path)
    model().network.save(path)
    with pytest.raises(UnreadableFile, match="no training that could go on, only a network"):
        checkpoint.resume(run(), path)
    file = weights.WeightsFile.open(saved(tmp_path / "other"))
    held = {name: np.array(array) for name, array in file.arrays().items()}
    short = {**held, f"{TRAINING}/optimizer/mean": np.zeros(3, np.float32)}
    weights.write(path, short, undigested(file))
    with pytest.raises(UnreadableFile, match=r"optimizer/mean is \(3,\), expected"):
        checkpoint.resume(run(), path)
    held.pop("linear-1/bias")
    weights.write(path, held, undigested(file))
    with pytest.raises(UnreadableFile, match="'linear-1/bias': no array of that name"):
        checkpoint.resume(run(), path)
    weights.write(path, held, {TRAINING: file.metadata[TRAINING], GRAPH: "{"})
    with pytest.raises(UnreadableFile, match="a damaged checkpoint: not the JSON of a graph"):
        checkpoint.resume(run(), path)


def test_a_measure_that_is_not_finite_is_kept(tmp_path: Path) -> None:
    class Never(Accuracy):
        usual = "never"

        def of(self, found: Any, wanted: Any) -> float:
            return float("nan")

    path, one = tmp_path / "run.st", run(Checkpoints(tmp_path / "run.st"), epochs=1)
    one.measures = [*one.measures, Never("softmax-1", TARGET)]
    one.train()
    again = run()
    checkpoint.resume(again, path)
    assert np.isnan(again.history[0].metrics["never"])
