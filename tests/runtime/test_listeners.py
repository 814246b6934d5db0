"""Listeners: what people read, what tools read, what stops a run, what a server is given."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from cortex.runtime import digests, nn, optim, sessions, weights
from cortex.runtime.data import Ahead, Arrays, Augmented, Endless, Pictures, flip, split
from cortex.runtime.errors import (
    CortexError,
    Disagreement,
    RepositoryError,
    UnreadableFile,
    UnwritableFile,
)
from cortex.runtime.export import read
from cortex.runtime.network import Network
from cortex.runtime.report import Report
from cortex.runtime.repository import ModelConfig, read_check, versions, write_config
from cortex.runtime.training import checkpoint, publisher
from cortex.runtime.training.console import Console
from cortex.runtime.training.hdf5 import Hdf5History
from cortex.runtime.training.logs import CsvLog, JsonLog, figure
from cortex.runtime.training.loop import Epoch, Listener, Run
from cortex.runtime.training.publisher import Publisher, configured, publish
from cortex.runtime.training.saving import Best, Checkpoints
from cortex.runtime.training.stopping import EarlyStop, Interruptible, TimeLimit
from cortex.runtime.training.tensorboard import TensorBoard
from cortex.runtime.versions import Latest

from .learning import INPUT, arrays, run
from .test_checkpoint import StopAt

LINE = re.compile(
    r"epoch 1/3  loss \d\.\d{4}  validation loss \d\.\d{4}  accuracy \d\.\d{4}  "
    r"rate 0\.01  \d+\.\d s  new best"
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_an_epoch_is_printed(tmp_path: Path) -> None:
    out = io.StringIO()
    run(Console(stream=out), Best(tmp_path / "best.st")).train()
    lines = out.getvalue().splitlines()
    assert LINE.fullmatch(lines[0])
    assert lines[1] == f"saved {tmp_path / 'best.st'}: new best"
    assert "\x1b" not in out.getvalue()
    assert sum(line.startswith("epoch") for line in lines) == 3


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0.0000"), (0.98765, "0.9877"), (-123.45678, "-123.4568"), (2.1e-14, "2.1e-14"),
     (9.99e-4, "1.0e-03"), (float("nan"), "nan"), (float("inf"), "inf")],
)  # fmt: skip
def test_a_small_figure_does_not_look_like_nothing(value: float, told: str) -> None:
    assert figure(value) == told


@pytest.mark.parametrize("progress", [True, False])
def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, progress: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("cortex.runtime.training.console.REFRESH", 0)
    out = Terminal()
    run(Console(progress=progress, stream=out), epochs=2).train()
    assert ("━" in out.getvalue()) == progress
    assert ("1/3" in out.getvalue()) == progress
    assert out.getvalue().count("validation loss") == 2


def test_where_a_run_goes_on_is_printed(tmp_path: Path) -> None:
    path, out = tmp_path / "run.st", io.StringIO()
    run(StopAt(4), Checkpoints(path)).train()
    one = run(Console(stream=out))
    checkpoint.resume(one, path)
    one.train()
    assert out.getvalue().startswith("going on after epoch 1, batch 1\nepoch 2/3 ")


def test_quiet_is_no_listener(capsys: pytest.CaptureFixture[str]) -> None:
    run().train()
    assert capsys.readouterr() == ("", "")


def epoch(number: int, loss: float, best: bool) -> Epoch:
    return Epoch(number, loss, {"loss": loss}, 0.1, 1.0, best)


@pytest.mark.parametrize(("patience", "stopped"), [(1, [False, True]), (2, [False, False, True])])
def test_patience_ends(patience: int, stopped: list[bool]) -> None:
    stop, one, found = EarlyStop(patience), run(), list[bool]()
    for number in range(1, len(stopped) + 1):
        one.history.append(epoch(number, 1.0, number == 1))
        stop.epoch(one, one.history[-1])
        found.append(one.stop)
    assert found == stopped


def test_a_run_without_progress_ends_early() -> None:
    one = run(EarlyStop(2), epochs=100, goal="loss")
    one.evaluate = lambda: {"loss": 1.0}  # type: ignore[method-assign]
    assert len(one.train()) == 3


def test_time_ends() -> None:
    out, one = io.StringIO(), None
    began = time.monotonic()
    one = run(Console(stream=out), TimeLimit(0.3), epochs=None)
    one.train()
    assert 0.3 <= time.monotonic() - began < 10
    assert "stopped: 0.3 seconds are over" in out.getvalue()


INTERRUPTED = """
import sys, time
from pathlib import Path
from cortex.runtime.training.console import Console
from cortex.runtime.training.loop import Listener
from cortex.runtime.training.saving import Checkpoints
from cortex.runtime.training.stopping import Interruptible
from tests.runtime.learning import run

class Ready(Listener):
    def batch(self, run, batch, loss):
        if run.trainer.steps == 2:
            print("ready", flush=True)
            while not run.stop:
                time.sleep(0.01)
            print("asked", flush=True)
            if sys.argv[2] == "twice":
                time.sleep(60)

found = run(Console(), Interruptible(), Checkpoints(Path(sys.argv[1])), Ready(), epochs=None)
found.train()
print("done", found.trainer.steps, flush=True)
"""


def interrupted(path: Path, times: str, sign: signal.Signals) -> tuple[int, str, str]:
    """Starts a run without an end, and asks it to stop once or twice."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, path, times],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(sign)
    assert process.stdout.readline() == "asked\n"
    if times == "twice":
        process.send_signal(sign)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_saves_and_ends(tmp_path: Path, sign: signal.Signals) -> None:
    path = tmp_path / "run.st"
    code, out, err = interrupted(path, "once", sign)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"saved {path}: epoch 0",
        "interrupted after 2 batches of epoch 1",
        "done 2",
    ]
    one = run()
    checkpoint.resume(one, path)
    assert one.steps_done == 2


def test_a_second_interruption_ends_at_once(tmp_path: Path) -> None:
    code, out, err = interrupted(tmp_path / "run.st", "twice", signal.SIGINT)
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "done" not in out
    assert not list(tmp_path.iterdir())


class Long(Listener):
    """Within whose one call of NumPy's somebody asks twice."""

    def batch(self, run: Run, batch: Any, loss: float) -> None:
        def ask() -> None:
            for _ in range(2):
                time.sleep(0.02)
                os.kill(os.getpid(), signal.SIGINT)

        asking = threading.Thread(target=ask)
        numbers = np.random.default_rng(0).random(3_000_000)
        asking.start()
        numbers.sort()
        asking.join()


def test_a_second_interruption_within_one_call_is_noticed() -> None:
    one = run(Interruptible(), Long())
    with pytest.raises(KeyboardInterrupt):
        one.train()
    assert one.steps_done == 1


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)]
    files = len(os.listdir("/proc/self/fd"))
    run(Interruptible(), epochs=1).train()
    assert [signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert len(os.listdir("/proc/self/fd")) == files


def test_signals_are_left_alone_on_another_thread() -> None:
    one = run(Interruptible(), epochs=1)
    thread = threading.Thread(target=one.train)
    thread.start()
    thread.join()
    assert len(one.history) == 1


def test_a_table_is_logged(tmp_path: Path) -> None:
    one = run(CsvLog(tmp_path / "log.csv"), JsonLog(tmp_path / "log.json"))
    one.train()
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "loss", "validation loss", "accuracy", "rate", "seconds", "best",
    ]  # fmt: skip
    objects = [json.loads(line) for line in (tmp_path / "log.json").read_text().splitlines()]
    for row, found, wanted in zip(rows, objects, one.history, strict=True):
        assert (
            float(row["loss"]) == found["loss"] == wanted.loss
        )  # to the last bit: a log is for programs, too
        assert float(row["accuracy"]) == found["accuracy"] == wanted.metrics["accuracy"]
        assert float(row["validation loss"]) == found["validation loss"]
        assert int(row["epoch"]) == found["epoch"] == wanted.number
        assert bool(int(row["best"])) == found["best"] == wanted.best


def test_epochs_that_were_not_evaluated_have_blanks(tmp_path: Path) -> None:
    one = run(CsvLog(tmp_path / "log.csv"), epochs=2)
    one.evaluate_every = 2
    one.train()
    _, first, second = (tmp_path / "log.csv").read_text().splitlines()
    assert ",,," in first
    assert ",," not in second


@pytest.mark.parametrize("log", [CsvLog, JsonLog])
def test_the_log_of_a_resumed_run_has_every_epoch_once(tmp_path: Path, log: Any) -> None:
    path, file = tmp_path / "run.st", tmp_path / "log"
    run(log(file), Checkpoints(path, every=2), StopAt(7), epochs=4).train()
    with file.open("a") as more:
        more.write("what a run wrote before it was killed\n")
    one = run(log(file), epochs=4)
    checkpoint.resume(one, path)
    one.train()
    assert len(file.read_text().splitlines()) == 4 + (log is CsvLog)
    assert "killed" not in file.read_text()
    run(log(file), epochs=1).train()  # another run
    assert len((tmp_path / "log.1").read_text().splitlines()) == 4 + (log is CsvLog)


LISTENERS = [CsvLog, JsonLog, TensorBoard, Hdf5History, Best, Checkpoints]


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_file_that_cannot_be_is_told(tmp_path: Path, listener: Any) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    one = run(listener(tmp_path / "taken" / "file"), epochs=1)
    with pytest.raises(UnwritableFile, match="taken"):
        one.train()
    assert not one.trainer.steps


def events(folder: Path) -> Any:
    """What TensorBoard's own reader finds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), {"scalars": 0, "histograms": 0})
    found.Reload()
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    one = run(TensorBoard(tmp_path))
    one.train()
    found = events(tmp_path)
    assert set(found.Tags()["scalars"]) == {
        "metrics/train-loss", "metrics/test-loss", "metrics/accuracy", "rate",
    }  # fmt: skip
    for tag, wanted in (
        ("metrics/train-loss", [each.loss for each in one.history]),
        ("metrics/test-loss", [each.metrics["loss"] for each in one.history]),
        ("metrics/accuracy", [each.metrics["accuracy"] for each in one.history]),
    ):
        assert [at.step for at in found.Scalars(tag)] == [1, 2, 3]
        assert [at.value for at in found.Scalars(tag)] == pytest.approx(wanted, rel=1e-6)
    parameters = one.trainer.parameters.of
    assert set(found.Tags()["histograms"]) == {f"buffers/{name}" for name in parameters}
    for name, array in parameters.items():
        last = found.Histograms(f"buffers/{name}")[-1].histogram_value
        assert (last.min, last.max, last.num) == (array.min(), array.max(), array.size)
        assert last.sum == pytest.approx(array.sum(dtype=np.float64))
        assert last.sum_squares == pytest.approx(np.square(array, dtype=np.float64).sum())
        assert sum(last.bucket) == array.size
        assert last.bucket_limit[-1] == pytest.approx(array.max())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_tensorboard_has_every_batch(tmp_path: Path) -> None:
    losses: list[float] = []

    class Watch(Listener):
        def batch(self, run: Run, batch: Any, loss: float) -> None:
            losses.append(loss)

    run(TensorBoard(tmp_path), Watch(), optimizer=optim.adam(optim.exponential(0.1, 0.5))).train()
    found = events(tmp_path / "batches")
    assert set(found.Tags()["scalars"]) == {"loss", "rate"}
    assert [at.step for at in found.Scalars("loss")] == [*range(1, 10)]
    assert [at.value for at in found.Scalars("loss")] == pytest.approx(losses)
    rates = [at.value for at in found.Scalars("rate")]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_tensorboard_forgets_what_a_resumed_run_does_again(tmp_path: Path) -> None:
    path, folder = tmp_path / "run.st", tmp_path / "board"
    run(TensorBoard(folder, histograms=False), Checkpoints(path), epochs=2).train()
    ahead = run(TensorBoard(folder, histograms=False), epochs=4)
    checkpoint.resume(ahead, path)
    ahead.train()  # and is killed before it saves
    again = run(TensorBoard(folder, histograms=False), epochs=3)
    checkpoint.resume(again, path)
    again.train()
    assert [at.step for at in events(folder).Scalars("metrics/train-loss")] == [1, 2, 3]
    assert [at.step for at in events(folder / "batches").Scalars("loss")] == [*range(1, 10)]


def table(path: Path) -> dict[str, Any]:
    """Every dataset of a file by its path."""
    found: dict[str, Any] = {}

    def visit(name: str, at: Any) -> None:
        if isinstance(at, h5py.Dataset):
            found[name] = at[...]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_histories_are_as_neon_had_them(tmp_path: Path) -> None:
    path = tmp_path / "history.h5"
    losses: list[float] = []

    class Watch(Listener):
        def batch(self, run: Run, batch: Any, loss: float) -> None:
            losses.append(loss)

    one = run(Hdf5History(path), Watch())
    one.train()
    found = table(path)
    np.testing.assert_array_equal(found["cost/train"], losses)
    np.testing.assert_array_equal(found["time_markers/minibatch"], [3, 6, 9])
    for name, metric in (("metrics/accuracy", "accuracy"), ("cost/loss", "loss")):
        wanted = [each.metrics[metric] for each in one.history]
        np.testing.assert_array_equal(found[name], wanted)
    assert len(found["time/train"]) == len(found["rate"]) == 3
    with h5py.File(path) as file:
        assert dict(file["config"].attrs) == {"total_epochs": 3, "total_minibatches": 9}
        assert file["cost/train"].attrs["time_markers"] == "minibatch"
        assert file["cost/loss"].attrs["epoch_freq"] == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_history_goes_on(tmp_path: Path, lost: bool) -> None:
    path, history = tmp_path / "run.st", tmp_path / "history.h5"
    run(Hdf5History(history), Checkpoints(path), StopAt(4)).train()
    if lost:
        history.unlink()
    one = run(Hdf5History(history))
    checkpoint.resume(one, path)
    one.train()
    whole = run(Hdf5History(tmp_path / "whole.h5"))
    whole.train()
    found, wanted = table(history), table(tmp_path / "whole.h5")
    if lost:  # what the file knew of the first epoch's batches
        assert np.isnan(found["cost/train"][:3]).all()
        found["cost/train"][:3] = wanted["cost/train"][:3]
    for name in ("cost/train", "time_markers/minibatch", "cost/loss", "rate"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_what_is_no_history_is_told(tmp_path: Path) -> None:
    path, history = tmp_path / "run.st", tmp_path / "history.h5"
    run(Checkpoints(path), StopAt(4)).train()
    history.write_text("hello")
    one = run(Hdf5History(history))
    checkpoint.resume(one, path)
    with pytest.raises(UnreadableFile, match=r"history\.h5: not the history of a run"):
        one.train()


def test_each_new_best_is_published_with_its_check(tmp_path: Path) -> None:
    told: list[str] = []
    one = run(Publisher(tmp_path, "net", ("a", "b", "c")), epochs=6)
    one.say = told.append  # type: ignore[method-assign]
    one.train()
    found = versions(tmp_path)
    assert len(found) == sum(each.best for each in one.history) == len(told)
    assert told[-1] == f"published {found[-1].path}"
    assert found[-1].config().labels == ("a", "b", "c")
    check = read_check(found[-1].path / "check.safetensors")
    np.testing.assert_array_equal(check.inputs[INPUT], arrays(30, 1)[INPUT][:4])
    served = sessions.sessions(found[-1].model)(["softmax-1"], check.inputs)[0]
    assert not list(check.differing_outputs({"softmax-1": served}))
    network = Network.load(found[-1].path / "weights.safetensors")
    ours = network.run({INPUT: check.inputs[INPUT]})["softmax-1"]
    np.testing.assert_allclose(served, ours, rtol=1e-5, atol=1e-6)
    assert set(check.layers) == set(network.graph.layers)


def test_a_published_version_has_its_report(tmp_path: Path) -> None:
    one = run(Publisher(tmp_path, "net"), epochs=1)
    one.train()
    (version,) = versions(tmp_path)
    report = Report.model_validate_json((version.path / "report.json").read_bytes())
    assert (report.model, report.version, report.path) == ("net", 1, str(version.path))
    assert (report.verified, report.evidence, report.agrees) == (False, "engines", True)
    weights = (version.path / "weights.safetensors").read_bytes()
    assert report.source.sha256 == hashlib.sha256(weights).hexdigest()
    assert report.source.format == "cortex-train"
    layers = {layer.name: layer for layer in report.layers}
    assert list(layers) == list(one.trainer.network.graph.layers)
    assert (layers["linear-1"].class_, layers["linear-1"].parameters) == ("linear", 4 * 6 + 6)
    assert layers["relu-1"].output_shape == ("N", 6)
    assert 0 < report.largest < 1e-5
    assert [output.name for output in report.outputs] == ["softmax-1"]
    accuracy = one.history[0].metrics["accuracy"]
    assert report.notes[0].startswith("epoch 1 of a training: loss ")
    assert report.notes[0].endswith(f"accuracy {accuracy:.4g}")
    digests.verify(version.path / "report.json")


KEPT: list[tuple[int | None, Any, list[int], list[int]]] = [
    (None, None, [], [1, 2, 3, 4, 5, 6]),
    (2, None, [], [5, 6]),
    (1, None, [], [5, 6]),  # a server answers with 5 until it has loaded 6
    (3, None, [], [4, 5, 6]),
    (9, None, [], [1, 2, 3, 4, 5, 6]),
    (2, None, [1, 3], [1, 3, 5, 6]),  # not a training's
    (2, "all", [], [1, 2, 3, 4, 5, 6]),
    (2, Latest(latest=3), [], [3, 4, 5, 6]),
    (2, (1, 2), [], [1, 2, 5, 6]),
]


@pytest.mark.parametrize(("keep", "policy", "imported", "left"), KEPT)
def test_the_newest_versions_stay_and_what_is_served(
    tmp_path: Path, keep: int | None, policy: Any, imported: list[int], left: list[int]
) -> None:
    (tmp_path / "net").mkdir()
    if policy:
        write_config(tmp_path, "net", ModelConfig(version_policy=policy))
    one = run(Publisher(tmp_path, "net", keep=keep), epochs=1)
    one.train()
    (published,) = versions(tmp_path)
    for number in range(2, 7):
        shutil.copytree(published.path, tmp_path / "net" / str(number))
    for number in imported:
        (tmp_path / "net" / str(number) / "report.json").unlink()
    told: list[str] = []
    one.say = told.append  # type: ignore[method-assign]
    shutil.rmtree(tmp_path / "net" / "6")
    one.listeners[0].epoch(one, replace(one.history[0], best=True))
    assert [at.version for at in versions(tmp_path)] == left
    gone = sorted({*range(1, 7)} - {*left})
    assert told[1:] == [f"removed {tmp_path / 'net' / str(number)}" for number in gone]
    assert not list(tmp_path.glob(".staging-*"))


@pytest.mark.parametrize(
    ("labels", "known", "published"),
    [
        ((), ("a", "b", "c"), ("a", "b", "c")),
        (("x", "y", "z"), ("a", "b", "c"), ("x", "y", "z")),
        ((), ("a", "b"), ()),  # the network has three
        ((), (), ()),
    ],
)
def test_the_classes_are_called_as_the_data_call_them(
    tmp_path: Path, labels: Any, known: Any, published: Any
) -> None:
    one = run(Publisher(tmp_path, "net", labels), epochs=1)
    source = Arrays(arrays(), seed=5)
    source.classes = known
    one.data = Ahead(Endless(split(source, 30)[0], 32))
    one.train()
    assert versions(tmp_path)[0].config().labels == published


@pytest.mark.parametrize(("side", "known"), [(6, True), (5, False)])
def test_what_pictures_went_through_is_published(tmp_path: Path, side: int, known: bool) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 8)).save(tmp_path / name / "1.png")
    pictures = Pictures(tmp_path, height=6, width=6)
    layers = [nn.input(height=side, width=side, channels=3), nn.linear(2), nn.softmax()]
    network = nn.sequential(layers).network
    found = configured(network, Ahead(Augmented(pictures, [flip()])))
    assert found.labels == ("cats", "dogs")
    assert found.preprocessing == (pictures.preprocessing if known else None)
    assert configured(network, pictures, ("a", "b")).labels == ("a", "b")


def test_a_configuration_that_is_there_is_left(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    write_config(tmp_path, "net", ModelConfig(labels=("mine",)))
    run(Publisher(tmp_path, "net", ("a", "b", "c")), epochs=1).train()
    assert versions(tmp_path)[0].config().labels == ("mine",)


def test_what_two_engines_disagree_on_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: Path) -> Any:
        def ask(names: Any, inputs: Any) -> Any:
            found = sessions.sessions(model)(names, inputs)
            return [v + 0.1 * (name == "relu-1") for name, v in zip(names, found, strict=True)]

        return ask

    monkeypatch.setattr(publisher, "sessions", wrong)
    with pytest.raises(Disagreement, match=r"layer 'relu-1': two engines differ by 0\.1, of"):
        run(Publisher(tmp_path, "net"), epochs=1).train()
    assert not versions(tmp_path)


def test_a_repository_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "write", full)
    with pytest.raises(RepositoryError, match="cannot install the model: No space left on device"):
        run(Publisher(tmp_path, "net"), epochs=1).train()
    assert not versions(tmp_path)


@pytest.mark.parametrize(
    ("repository", "name", "message"),
    [
        ("taken", "net", "taken/net: cannot install the model: File exists"),
        ("taken/models", "net", "taken/models/net: cannot install the model: Not a directory"),
        ("", "taken", "taken: cannot install the model: File exists"),
        ("models", "-net", "model name '-net'"),
    ],
)
def test_what_cannot_be_published_is_told_before_training(
    tmp_path: Path, repository: str, name: str, message: str
) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    one = run(Publisher(tmp_path / repository, name), epochs=1)
    with pytest.raises(CortexError, match=message):
        one.train()
    assert not one.trainer.steps


def test_parameters_that_only_a_loss_needs_are_not_served(tmp_path: Path) -> None:
    layers = [nn.input(4, name=INPUT), nn.center_loss(classes=3), nn.linear(3), nn.softmax()]
    network = nn.sequential(layers).network
    place = publish(network, arrays(), tmp_path, "net")
    served = {weight.name for weight in read(place / "model.onnx").graph.initializer}
    stored = Network.load(place / "weights.safetensors").parameters
    assert stored.keys() - served == {"center_loss-1/centers"}


def test_a_run_in_float64_is_published_in_float32(tmp_path: Path) -> None:
    run(Publisher(tmp_path, "net"), epochs=1, dtype=np.float64).train()
    stored = weights.WeightsFile.open(versions(tmp_path)[0].path / "weights.safetensors").stored
    assert {at.dtype for at in stored.values()} == {"float32"}


def test_without_validation_data_the_check_is_of_training_data(tmp_path: Path) -> None:
    one = replace(run(Publisher(tmp_path, "net"), goal="loss", epochs=1), validation=None)
    one.data = Arrays(arrays(), seed=5)
    one.train()
    check = read_check(versions(tmp_path)[0].path / "check.safetensors")
    np.testing.assert_array_equal(check.inputs[INPUT], arrays()[INPUT][:4])


def test_event_files_are_named_as_tensorboard_expects(tmp_path: Path) -> None:
    run(TensorBoard(tmp_path, histograms=False), epochs=1).train()
    for folder in (tmp_path, tmp_path / "batches"):
        (name,) = (path.name for path in folder.iterdir() if path.is_file())
        assert name.startswith("events.out.tfevents.")
        assert name.endswith(socket.gethostname())
