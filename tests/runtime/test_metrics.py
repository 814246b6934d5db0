"""Metrics against scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as theirs
from pydantic import TypeAdapter

from cortex.runtime.errors import UsageError
from cortex.runtime.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError, Term
from cortex.runtime.training import measures, metrics
from cortex.runtime.training.metrics import PerClass, Roc

Array = Any
RNG = np.random.default_rng(0)


def answers(rows: int, classes: int, seed: int = 0) -> tuple[Array, Array]:
    """Probabilities that are often right, and the classes' numbers."""
    rng = np.random.default_rng(seed)
    wanted = rng.integers(0, classes, rows)
    scores = rng.normal(size=(rows, classes)) + 2 * np.eye(classes)[wanted]
    found = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return found.astype(np.float32), wanted


def as_one_hot(wanted: Array, classes: int) -> Array:
    return np.eye(classes, dtype=np.float32)[wanted]


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("hot", [False, True])
def test_what_is_said_of_classes(classes: int, hot: bool) -> None:
    found, ids = answers(200, classes)
    wanted = as_one_hot(ids, classes) if hot else ids
    taken = found.argmax(1)
    assert metrics.accuracy(found, wanted) == pytest.approx(theirs.accuracy_score(ids, taken))
    matrix = metrics.confusion(found, wanted)
    np.testing.assert_array_equal(matrix, theirs.confusion_matrix(ids, taken))
    by = PerClass.of(matrix)
    ours = (by.precision, by.recall, by.f1, by.support)
    wants: Any = theirs.precision_recall_fscore_support(ids, taken)
    for mine, want in zip(ours, wants, strict=True):
        np.testing.assert_allclose(mine, want)
    assert metrics.log_loss(found, wanted) == pytest.approx(
        theirs.log_loss(ids, found / found.sum(1, keepdims=True)), rel=1e-5
    )
    for k in (1, 2, 5):
        best = metrics.top_k(found, wanted, k)
        rest: Any = {"y_score": found[:, 1] if classes == 2 else found, "k": k}
        labels = None if classes == 2 else range(classes)
        if k < classes:
            assert best == pytest.approx(theirs.top_k_accuracy_score(ids, **rest, labels=labels))
        else:
            assert best == 1


def test_a_single_score_is_of_two_classes() -> None:
    scores = np.array([[0.1], [0.6], [0.7], [0.5]], np.float32)
    wanted = np.array([[0.0], [1.0], [0.0], [1.0]])
    for truth in (wanted, wanted[:, 0], wanted.astype(np.int32)):
        assert metrics.accuracy(scores, truth) == 0.5
        np.testing.assert_array_equal(metrics.confusion(scores, truth), [[1, 1], [1, 1]])
        assert metrics.log_loss(scores, truth) == pytest.approx(
            theirs.log_loss(wanted[:, 0], scores[:, 0]), rel=1e-6
        )
    assert metrics.binary_accuracy(scores, wanted) == 0.5


def test_sequences_are_examples_one_by_one() -> None:
    found, ids = answers(24, 4)
    steps = found.reshape(6, 4, 4)
    assert metrics.accuracy(steps, ids.reshape(6, 4)) == metrics.accuracy(found, ids)
    assert metrics.top_k(steps, ids.reshape(6, 4), 2) == metrics.top_k(found, ids, 2)
    assert metrics.log_loss(steps, as_one_hot(ids, 4).reshape(6, 4, 4)) == pytest.approx(
        metrics.log_loss(found, ids)
    )


def test_a_class_that_never_comes_has_nothing() -> None:
    found, wanted = np.eye(3)[[0, 0, 1]], np.array([0, 1, 1])
    by = PerClass.of(metrics.confusion(found, wanted))
    taken = [0, 0, 1]
    for mine, name in ((by.precision, "precision"), (by.recall, "recall"), (by.f1, "f1")):
        score = getattr(theirs, f"{name}_score")
        want = score(wanted, taken, average=None, zero_division=0, labels=[0, 1, 2])
        np.testing.assert_allclose(mine, want)


@pytest.mark.parametrize("digits", [1, 8])  # with ties and without
def test_the_curve_is_that_of_scikit_learn(digits: int) -> None:
    found, truth = answers(300, 2)
    scores = np.round(found[:, 1].astype(np.float64), digits)
    curve = Roc.of(scores, truth)
    wants = theirs.roc_curve(truth, scores, drop_intermediate=False)
    for mine, want in zip(
        (curve.false_positive, curve.true_positive, curve.thresholds), wants, strict=True
    ):
        np.testing.assert_allclose(mine, want)
    assert curve.area == pytest.approx(theirs.roc_auc_score(truth, scores))
    error, hits = (
        curve.equal_error,
        np.interp(curve.equal_error, curve.false_positive, curve.true_positive),
    )
    assert error == pytest.approx(1 - hits, abs=0.02)
    assert 0 < error < 0.5


@pytest.mark.parametrize(
    ("scores", "truth", "area", "error"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0, 0.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.0, 1.0),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 0.5, 0.5),
        ([0.1, 0.7, 0.3, 0.9], [0, 0, 1, 1], 0.75, 0.5),
    ],
)
def test_curves_that_are_plain(
    scores: list[float], truth: list[int], area: float, error: float
) -> None:
    curve = Roc.of(np.array(scores), np.array(truth))
    assert curve.area == pytest.approx(area)
    assert curve.equal_error == pytest.approx(error)


def test_a_curve_needs_both_kinds() -> None:
    for truth in ([0, 0], [1, 1]):
        with pytest.raises(UsageError, match="needs examples of both kinds"):
            Roc.of(np.array([0.1, 0.2]), np.array(truth))


def test_errors_of_numbers() -> None:
    found, wanted = (RNG.normal(size=(50, 3)).astype(np.float32) for _ in range(2))
    at = ("y", "y:target")
    for measure, want in (
        (measures.MeanSquaredError(*at), theirs.mean_squared_error(wanted, found)),
        (measures.RootMeanSquaredError(*at), theirs.mean_squared_error(wanted, found) ** 0.5),
        (measures.MeanAbsoluteError(*at), theirs.mean_absolute_error(wanted, found)),
        (measures.RSquared(*at), theirs.r2_score(wanted, found)),
    ):
        assert measure.of(found, wanted) == pytest.approx(want, rel=1e-5), measure.name
    constant = np.ones((5, 1))
    assert metrics.r_squared(constant, constant) == theirs.r2_score(constant, constant) == 1
    assert metrics.r_squared(constant + 1, constant) == theirs.r2_score(constant, constant + 1)


def test_targets_that_are_missing_do_not_count() -> None:
    found, wanted = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[2.0, np.nan], [np.nan, 2.0]])
    assert measures.MeanAbsoluteError("y", "t").of(found, wanted) == 1.5
    assert measures.MeanSquaredError("y", "t").of(found, wanted) == 2.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy(np.ones((4, 3)), np.ones((4, 2))), r"\(4, 3\), the targets"),
        (lambda: metrics.accuracy(np.ones((2, 3)), np.array([0, 3])), "classes 0 to 3, but there"),
        (lambda: metrics.log_loss(np.ones((2, 3)), np.array([-1, 2])), "classes -1 to 2, but"),
        (lambda: metrics.errors(np.ones((4, 3)), np.ones(4)), r"the targets \(4,\)"),
        (lambda: metrics.r_squared(np.ones((4, 3)), np.ones(4)), r"the targets \(4,\)"),
        (lambda: metrics.binary_accuracy(np.ones((4, 3)), np.ones(4)), r"the targets \(4,\)"),
        (lambda: metrics.positive_scores(np.ones((4, 3))), "name one of the 3 classes"),
    ],
)
def test_what_does_not_fit_is_told(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_a_table_of_classes() -> None:
    found, wanted = np.eye(2)[[0, 0, 1, 1]], np.array([0, 1, 1, 1])
    assert metrics.table(found, wanted, ["cat", "dog"]).splitlines() == [
        "class     precision  recall      f1   count",
        "cat          0.5000  1.0000  0.6667       1",
        "dog          1.0000  0.6667  0.8000       3",
        "mean         0.7500  0.8333  0.7333       4",
    ]


@pytest.mark.parametrize("name", measures.NAMED)
def test_measures_are_values_that_a_spec_can_hold(name: str) -> None:
    adapter: Any = TypeAdapter(measures.NAMED[name])
    given = {"on": "y", "target": "t"}
    measure = adapter.validate_python(given)
    assert measure == measures.NAMED[name]("y", "t")
    assert measure.name
    assert adapter.validate_python({**given, "name": "mine"}).name == "mine"
    if name == "top_k":
        measure = measures.TopK("y", "t", k=1)
    found, wanted = answers(60, 2)
    single = name in ("mse", "rmse", "mae", "r2", "binary_accuracy")
    numbers = as_one_hot(wanted, 2) if single else wanted
    worse = np.random.default_rng(1).permutation(found)
    better = measure.of(found, numbers) > measure.of(worse, numbers)
    assert better == measure.rising


def test_measures_of_one_class() -> None:
    found, wanted = answers(200, 3)
    scores: Any = (
        (measures.Precision, theirs.precision_score),
        (measures.Recall, theirs.recall_score),
        (measures.F1, theirs.f1_score),
    )
    for kind, score in scores:
        each = score(wanted, found.argmax(1), average=None)
        assert kind("y", "t").of(found, wanted) == pytest.approx(each.mean())
        one = kind("y", "t", class_=1)
        assert one.of(found, wanted) == pytest.approx(each[1])
        assert one.name == f"{kind.__name__.lower()} 1"
    area = measures.Auc("y", "t", class_=2).of(found, wanted)
    assert area == pytest.approx(theirs.roc_auc_score(wanted == 2, found[:, 2]))
    assert measures.TopK("y", "t", k=3).name == "top 3"


def test_the_usual_measures_are_those_of_the_losses() -> None:
    one = [Term(CrossEntropy(), "y", "t"), Term(MeanSquaredError(), "z", "u")]
    assert measures.usual(one) == [measures.Accuracy("y", "t")]
    two = [*one, Term(BinaryCrossEntropy(), "w", "v")]
    assert [at.name for at in measures.usual(two)] == ["accuracy of y", "accuracy of w"]
    assert measures.usual(one[1:]) == []
