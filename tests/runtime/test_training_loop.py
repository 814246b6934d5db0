"""The loop: what its listeners are told, what is the best, and how it stops."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cortex.runtime import optim
from cortex.runtime.data import Arrays
from cortex.runtime.errors import UsageError
from cortex.runtime.losses import L1, MeanSquaredError, Term
from cortex.runtime.losses.term import names
from cortex.runtime.training.evaluation import Evaluation
from cortex.runtime.training.hdf5 import Hdf5History
from cortex.runtime.training.logs import CsvLog
from cortex.runtime.training.loop import Epoch, Listener, Run
from cortex.runtime.training.measures import Accuracy, LogLoss
from cortex.runtime.training.trainer import NotFinite

from .learning import INPUT, TARGET, arrays, run


@dataclass
class Told(Listener):
    """Writes down what it is told."""

    words: list[str] = field(default_factory=list[str])
    stop_at: int = -1
    fail_at: str = ""

    def _hear(self, word: str) -> None:
        self.words.append(word)
        if word == self.fail_at:
            raise RuntimeError(word)

    def begin(self, run: Run) -> None:
        self._hear("begin")

    def batch(self, run: Run, batch: Any, loss: float) -> None:
        assert math.isfinite(loss)
        assert set(batch) == {INPUT, TARGET}
        self._hear(f"batch {run.steps_done}")
        run.stop = run.stop or run.trainer.steps == self.stop_at

    def epoch(self, run: Run, epoch: Epoch) -> None:
        self._hear(f"epoch {epoch.number}")
        assert run.history[-1] is epoch
        assert not run.steps_done

    def note(self, run: Run, text: str) -> None:
        self._hear(text)

    def end(self, run: Run) -> None:
        self._hear("end")


def test_listeners_are_told_in_order() -> None:
    told = Told()
    history = run(told, epochs=2).train()
    epoch = ["batch 1", "batch 2", "batch 3"]  # of 16, 16 and 8
    assert told.words == ["begin", *epoch, "epoch 1", *epoch, "epoch 2", "end"]
    assert [each.number for each in history] == [1, 2]
    assert history[0].metrics.keys() == {"loss", "accuracy"}


def test_the_last_listener_ends_first() -> None:
    order: list[int] = []

    @dataclass
    class Ends(Listener):
        number: int

        def end(self, run: Run) -> None:
            order.append(self.number)

    run(Ends(1), Ends(2), epochs=1).train()
    assert order == [2, 1]


def test_a_run_learns() -> None:
    history = run(epochs=30, rows=300).train()
    assert history[-1].loss < history[0].loss / 2
    assert history[-1].metrics["accuracy"] > 0.8


def test_the_loss_is_the_sum_of_its_terms() -> None:
    for each in run(penalties=True).train():
        assert [*each.terms] == ["cross_entropy of softmax-1", "penalties"]
        assert sum(each.terms.values()) == pytest.approx(each.loss, rel=1e-6)
        assert min(each.terms.values()) > 0
    assert not run(epochs=1).train()[0].terms  # there is only one


def test_terms_that_are_alike_are_told_apart() -> None:
    terms = [Term(MeanSquaredError(), "a"), Term(L1(), "b"), Term(MeanSquaredError(), "a", "t")]
    assert names(terms, {"b": "answer"}) == ["mse of a (1)", "l1 of answer", "mse of a (3)"]


def test_logs_have_the_terms_of_the_loss(tmp_path: Path) -> None:
    listeners = [CsvLog(tmp_path / "a.csv"), Hdf5History(tmp_path / "a.h5")]
    history = run(*listeners, penalties=True).train()
    wanted = [each.terms["penalties"] for each in history]
    with (tmp_path / "a.csv").open() as lines:
        assert [float(row["penalties"]) for row in csv.DictReader(lines)] == wanted
    with h5py.File(tmp_path / "a.h5") as file:
        column: Any = file["terms/penalties"]
        assert column[:].tolist() == wanted


@pytest.mark.parametrize(("steps", "epochs", "losses"), [(2, 0, 2), (3, 1, 0), (4, 1, 1)])
def test_a_run_stops_after_the_batch(steps: int, epochs: int, losses: int) -> None:
    told, endless = Told(stop_at=steps), None
    stopped = run(told, epochs=endless)
    stopped.train()
    assert (stopped.trainer.steps, len(stopped.history), len(stopped.losses)) == (
        steps,
        epochs,
        losses,
    )
    assert told.words[-1] == "end"
    assert not stopped.failed


def test_a_run_that_goes_on_ends_as_one_that_never_stopped() -> None:
    stopped, whole = run(Told(stop_at=4)), run()
    stopped.train()
    stopped.stop = False
    stopped.train()
    whole.train()
    np.testing.assert_array_equal(stopped.trainer.parameters.flat, whole.trainer.parameters.flat)
    assert [each.loss for each in stopped.history] == [each.loss for each in whole.history]


@pytest.mark.parametrize("word", ["begin", "batch 2", "epoch 1", "end"])
def test_every_listener_that_began_is_told_the_end(word: str) -> None:
    first, second = Told(), Told(fail_at=word)
    with pytest.raises(RuntimeError, match=word):
        run(first, second).train()
    assert first.words[-1] == "end"


def test_a_step_that_fails_is_told_apart() -> None:
    failing = run(optimizer=optim.sgd(1e30))
    with pytest.raises(NotFinite):
        failing.train()
    assert failing.failed
    listener = run(Told(fail_at="batch 2"))
    with pytest.raises(RuntimeError):
        listener.train()
    assert not listener.failed


def epochs(goal: str, *found: float, rising: bool = False) -> list[bool]:
    """Which epochs are the best so far, of such metrics."""
    one = run(goal=goal, epochs=len(found))
    values = iter(found)
    one.evaluate = lambda: {"loss": 1.0, goal: next(values)}  # type: ignore[method-assign]
    return [each.best for each in one.train()]


def test_the_best_epoch_is_strictly_better_than_all_before() -> None:
    assert epochs("accuracy", 0.5, 0.5, 0.7, 0.6, 0.8) == [True, False, True, False, True]
    assert epochs("loss", 0.5, 0.5, 0.3, 0.4, 0.2) == [True, False, True, False, True]
    assert epochs("loss", math.nan, 0.5, math.nan, 0.4) == [False, True, False, True]


def test_without_validation_the_best_is_that_of_the_training_loss() -> None:
    alone = run(goal="loss", epochs=4)
    alone.validation = None
    losses = [each.loss for each in alone.train()]
    assert all(not each.metrics for each in alone.history)
    assert alone.best
    assert alone.best.loss == min(losses)
    assert list(alone.progress.losses) == losses


def test_epochs_between_evaluations_are_never_the_best() -> None:
    some = run(epochs=5)
    some.evaluate_every = 2
    history = some.train()
    assert [bool(each.metrics) for each in history] == [False, True, False, True, True]
    assert not any(each.best for each in history if not each.metrics)
    assert len(some.progress.losses) == 3


def test_a_goal_that_nothing_measures_is_refused() -> None:
    with pytest.raises(UsageError, match="goal 'acuracy': the measures are loss, accuracy"):
        run(goal="acuracy")
    with pytest.raises(UsageError, match="goal 'accuracy': it is measured on validation data"):
        Run(run().trainer, Arrays(arrays()), None, 1, 8, [Accuracy("a", "b")], "accuracy")


def test_progress_counts_batches() -> None:
    seen: list[float] = []

    class Watch(Listener):
        def batch(self, run: Run, batch: Any, loss: float) -> None:
            seen.append(run.progress.epoch)

    one = run(Watch(), epochs=2)
    one.train()
    assert seen == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    assert one.progress.epochs == 2


def test_data_without_a_batch_are_refused() -> None:
    class Empty:
        def __len__(self) -> int:
            return 0

        def batches(self, size: int, epoch: int | None = None) -> Any:
            return iter(())

    one = run()
    one.data = Empty()
    with pytest.raises(UsageError, match="no batch to learn from"):
        one.train()
    with pytest.raises(UsageError, match="no data to evaluate on"):
        Evaluation(one.trainer).run(Empty(), 4)


def test_an_evaluation_is_of_all_examples_whatever_the_batches() -> None:
    one = run()
    measures = [Accuracy("softmax-1", TARGET), LogLoss("softmax-1", TARGET)]
    found = [Evaluation(one.trainer, measures).run(Arrays(arrays(30)), n) for n in (30, 7)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0]["loss"] == pytest.approx(found[0]["log loss"], rel=1e-5)


def test_a_target_that_the_data_lack_is_named() -> None:
    one = run()
    with pytest.raises(UsageError, match="measure 'accuracy': the data have no 'classes'"):
        Evaluation(one.trainer, [Accuracy("softmax-1", "classes")]).run(Arrays(arrays()), 4)
