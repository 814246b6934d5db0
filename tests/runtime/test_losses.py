"""Each loss: its formula, its gradient, weights and masks, shards, and no fresh array in a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from cortex.runtime import losses, nn, ops, optim
from cortex.runtime.errors import GraphError, UsageError
from cortex.runtime.ir import Graph
from cortex.runtime.losses import Loss, Term
from cortex.runtime.op import Operation
from cortex.runtime.parameters import Parameters
from cortex.runtime.plan import Plan
from cortex.runtime.shard import split
from cortex.runtime.tensor import Tensor
from cortex.runtime.training.trainer import Trainer

from .networks import Array, Chain, with_parameters
from .strict import Strict

ROWS = 5
Maker = Callable[[np.random.Generator, tuple[int, ...]], Any]


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=shape)


def parts(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.1, 0.9, shape)


def distributions(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    found = parts(rng, shape)
    return found / found.sum(-1, keepdims=True)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def ids(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, 3, shape)


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.choice([-1.0, 1.0], shape)


def bits(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.choice([0.0, 1.0], shape)


def with_gaps(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.where(rng.random(shape) < 0.4, np.nan, rng.normal(size=shape))


def labels(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    found: list[Array] = []
    for _ in range(shape[0]):
        boxes = [
            ((x, y, x + w, y + h), int(rng.integers(0, 3)))
            for x, y, w, h in rng.uniform(1, 14, (2, 4))
        ]
        found.append(losses.realize_label(boxes, width=32, height=30, classes=3, grid=(3, 2)))
    return np.stack(found)


def cross_entropy(value: Array, target: Array, smoothing: float = 0.0) -> Array:
    wanted = target * (1 - smoothing) + smoothing / value.shape[-1]
    return -(wanted * np.log(value)).sum(-1)


def cross_entropy_of_ids(value: Array, target: Array) -> Array:
    return cross_entropy(value, np.eye(value.shape[-1])[target])


def kullback_leibler(value: Array, target: Array) -> Array:
    return (target * np.log(target / value)).sum(-1)


def binary_cross_entropy(value: Array, target: Array) -> Array:
    return -target * np.log(value) - (1 - target) * np.log(1 - value)


def huber(value: Array, target: Array, delta: float) -> Array:
    d = np.abs(value - target)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2))


def smooth_l1(value: Array, target: Array, sigma: float) -> Array:
    d = np.abs(value - target)
    return np.where(d < 1 / sigma**2, (sigma * d) ** 2 / 2, d - 1 / (2 * sigma**2))


def contrastive(value: Array, target: Array, margin: float) -> Array:
    one, other = np.split(value, 2, axis=1)
    d = np.linalg.norm(one - other, axis=1)
    return (target * d**2 + (1 - target) * np.maximum(0, margin - d) ** 2) / 2


def center(value: Array, given: tuple[Array, Array]) -> Array:
    target, centers = given
    flat = value.reshape(len(value), -1)
    return ((flat - centers[target.argmax(-1)]) ** 2).sum(-1) / 2


ANCHORS = ((1.0, 1.2), (0.5, 2.5))


def yolo2(value: Array, target: Array) -> Array:
    """Cell by cell and anchor by anchor, as the paper has it."""
    found = np.zeros(len(value))
    raw = value.reshape(*target.shape[:3], len(ANCHORS), -1)
    for n, row, column in np.ndindex(target.shape[:3]):
        truth = target[n, row, column]
        cells = np.array([target.shape[2], target.shape[1]])
        xy = 1 / (1 + np.exp(-raw[n, row, column, :, :2]))
        size = np.array(ANCHORS) * np.exp(raw[n, row, column, :, 2:4])
        sure = 1 / (1 + np.exp(-raw[n, row, column, :, 4]))
        powers = np.exp(raw[n, row, column, :, 5:])
        true_size = truth[2:4] ** 2 * cells
        low = np.maximum(xy - size / 2, truth[:2] - true_size / 2)
        high = np.minimum(xy + size / 2, truth[:2] + true_size / 2)
        shared = np.maximum(high - low, 0).prod(1)
        best = (shared / (size.prod(1) + true_size.prod() - shared)).argmax()
        for a in range(len(ANCHORS)):
            if truth[4] and a == best:
                box = np.concatenate([xy[a], np.sqrt(size[a] / cells)])
                found[n] += 5 * ((box - truth[:4]) ** 2).sum() + 5 * (sure[a] - 1) ** 2
                found[n] += ((powers[a] / powers[a].sum() - truth[5:]) ** 2).sum()
            else:
                found[n] += 0.5 * sure[a] ** 2
    return found


@dataclass(frozen=True)
class Case:
    """A loss of what ``op`` makes of an example of ``shape``; ``each`` is what a part costs."""

    loss: Loss
    each: Callable[[Any, Any], Any]
    target: Maker = numbers
    shape: tuple[int, ...] = (3,)
    op: Operation | None = None
    given: Maker = numbers

    @property
    def graph(self) -> Graph:
        chain = Chain(x=Tensor(("N", *self.shape)))
        return chain.graph(chain.add(self.op, "x", name="y")) if self.op else chain.graph("x")

    @property
    def on(self) -> str:
        return "y" if self.op else "x"


softmax = ops.Softmax()
CASES: Mapping[str, Case] = {
    "cross entropy": Case(losses.CrossEntropy(), cross_entropy, one_hot, op=softmax),
    "of soft labels": Case(losses.CrossEntropy(), cross_entropy, parts, op=softmax),
    "of probabilities": Case(losses.CrossEntropy(), cross_entropy, one_hot, given=parts),
    "per pixel": Case(losses.CrossEntropy(), cross_entropy, one_hot, (2, 2, 3), softmax),
    "smoothed": Case(
        losses.CrossEntropy(smoothing=0.2),
        lambda value, target: cross_entropy(value, target, 0.2),
        one_hot,
        op=softmax,
    ),
    "ids": Case(losses.CrossEntropy(ids=True), cross_entropy_of_ids, ids, op=softmax),
    "ids per step": Case(losses.CrossEntropy(ids=True), cross_entropy_of_ids, ids, (4, 3), softmax),
    "ids of probabilities": Case(
        losses.CrossEntropy(ids=True), cross_entropy_of_ids, ids, given=parts
    ),
    "nll": Case(
        losses.NegativeLogLikelihood(),
        lambda value, target: -(target * value).sum(-1),
        one_hot,
        (2, 3),
        op=ops.LogSoftmax(),
    ),
    "kl": Case(losses.KullbackLeibler(), kullback_leibler, distributions, op=softmax),
    "kl of probabilities": Case(
        losses.KullbackLeibler(), kullback_leibler, distributions, (2, 3), given=parts
    ),
    "binary": Case(losses.BinaryCrossEntropy(), binary_cross_entropy, bits, op=ops.Sigmoid()),
    "binary of probabilities": Case(
        losses.BinaryCrossEntropy(), binary_cross_entropy, parts, (2, 3), given=parts
    ),
    "mse": Case(losses.MeanSquaredError(), lambda value, target: (value - target) ** 2),
    "mse of images": Case(
        losses.MeanSquaredError(), lambda value, target: (value - target) ** 2, shape=(2, 2, 1)
    ),
    "mse of numbers": Case(
        losses.MeanSquaredError(), lambda value, target: (value - target) ** 2, shape=()
    ),
    "mae": Case(losses.MeanAbsoluteError(), lambda value, target: np.abs(value - target)),
    "huber": Case(losses.Huber(0.7), lambda value, target: huber(value, target, 0.7)),
    "smooth l1": Case(losses.SmoothL1(1.3), lambda value, target: smooth_l1(value, target, 1.3)),
    "censor": Case(
        losses.Censor(), lambda value, target: np.nan_to_num(value - target) ** 2, with_gaps
    ),
    "hinge": Case(losses.Hinge(), lambda value, target: np.maximum(0, 1 - value * target), signs),
    "squared hinge": Case(
        losses.SquaredHinge(margin=0.6),
        lambda value, target: np.maximum(0, 0.6 - value * target) ** 2,
        signs,
    ),
    "contrastive": Case(
        losses.Contrastive(margin=2.0),
        lambda value, target: contrastive(value, target, 2.0),
        bits,
        (4,),
    ),
    "center": Case(losses.CenterLoss(3), center, one_hot, (4,), ops.Centers(3)),
    "center of images": Case(
        losses.CenterLoss(2, keep_factor=0.9, radius=None), center, one_hot, (2, 2), ops.Centers(2)
    ),
    "yolo2": Case(losses.Yolo2(anchors=ANCHORS), yolo2, labels, (3, 2, 16)),
    "yolo2 with an axis": Case(losses.Yolo2(anchors=ANCHORS), yolo2, labels, (3, 2, 2, 8)),
    "l1": Case(losses.L1(), lambda value, _: np.abs(value).reshape(len(value), -1).sum(1)),
    "l2": Case(
        losses.L2(), lambda value, _: (value**2).reshape(len(value), -1).sum(1) / 2, shape=(2, 2)
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
weighted_or_not = pytest.mark.parametrize("weights", ["", "w"], ids=["plain", "weighted"])


class Trial:
    """A case with numbers, and plans for it."""

    def __init__(self, case: Case, weights: str = "", weight: float = 0.7) -> None:
        self.case, rng = case, np.random.default_rng(4)
        self.graph = case.graph
        self.network = with_parameters(self.graph, 1, np.float64)
        self.term = Term(case.loss, case.on, "t", weight, weights)
        self.given = {"x": case.given(rng, (ROWS, *case.shape))}
        on = Tensor((ROWS, *case.shape))
        target = case.loss.target(on)
        if target:
            self.given["t"] = case.target(rng, target.sizes)
        if weights:
            self.given["w"] = rng.choice([0, 0.5, 2.0], case.loss.weights(on).sizes)

    def plans(self, shards: int = 1, **options: Any) -> list[Plan]:
        parameters = Parameters(self.graph, self.network.parameters, np.float64)
        made: list[Plan] = []
        for shard, rows in split(ROWS, shards, lambda: None):
            plan = Plan(
                self.graph,
                parameters,
                {"N": rows},
                training=True,
                terms=[self.term],
                wrt=["x"],
                shard=shard,
                **options,
            )
            plan.put(self.given)
            made.append(plan)
        return made

    def wanted(self) -> float:
        """The weighted mean as one would write it down."""
        (plan,) = self.plans()
        plan.run()
        target, centers = self.given.get("t"), [*self.network.parameters.values()]
        each = self.case.each(plan.v[self.case.on], (target, *centers) if centers else target)
        weights = self.given.get("w", np.ones(each.shape[:1]))
        weights = weights.reshape(weights.shape + (1,) * (each.ndim - weights.ndim))
        weights = np.broadcast_to(weights, each.shape)
        return self.term.weight * float((each * weights).sum() / weights.sum())


def in_lockstep(plans: Sequence[Plan]) -> None:
    for segments in zip(*(plan.segments() for plan in plans), strict=True):
        for steps in segments:
            for step in steps:
                step()


@weighted_or_not
@every_case
def test_a_loss_is_its_formula(case: Case, weights: str) -> None:
    trial = Trial(case, weights)
    (plan,) = trial.plans()
    plan.run()
    assert plan.losses[0] == pytest.approx(trial.wanted(), rel=1e-12)


@weighted_or_not
@every_case
def test_its_gradient_is_the_central_difference(case: Case, weights: str) -> None:
    (plan,) = Trial(case, weights).plans()
    parameters: Any = plan.parameters
    state = parameters.flat.copy()

    def loss() -> float:
        for step in plan.forward:
            step()
        parameters.flat[:] = state  # centres move
        return float(plan.losses[0])

    plan.run()
    parameters.flat[:] = state
    gradient, x, h = plan.g["x"].copy().reshape(-1), plan.v["x"].reshape(-1), 1e-6
    for i in range(min(x.size, 40)):
        before = x[i]
        x[i] = before + h
        above = loss()
        x[i] = before - h
        below = loss()
        x[i] = before
        assert gradient[i] == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-8), i


@pytest.mark.parametrize("shards", [2, 3])
@weighted_or_not
@every_case
def test_shards_agree_with_the_whole(case: Case, weights: str, shards: int) -> None:
    trial = Trial(case, weights)
    whole, several = trial.plans(), trial.plans(shards)
    for plans in (whole, several):
        in_lockstep(plans)
        in_lockstep(plans)  # once more: centres have moved
    for name in ("losses", "x", "flat"):
        found, wanted = (_results(plans)[name] for plans in (several, whole))
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14, err_msg=name)


def _results(plans: Sequence[Plan]) -> Mapping[str, Any]:
    parameters: Any = plans[0].parameters
    return {
        "losses": sum(plan.losses for plan in plans),
        "x": np.concatenate([plan.g["x"] for plan in plans]),
        "flat": parameters.flat,
    }


@weighted_or_not
@every_case
def test_a_step_makes_no_fresh_array(case: Case, weights: str) -> None:
    strict = Strict()
    trial = Trial(case, weights)
    parameters = Parameters(trial.graph, trial.network.parameters, np.float64, strict)
    plan = Plan(
        trial.graph,
        parameters,
        {"N": ROWS},
        training=True,
        terms=[trial.term],
        wrt=["x"],
        xp=strict,
    )
    plan.put(trial.given)
    with strict.armed():
        plan.run()
        plan.run()


def covariance(value: Array, _: Any) -> Array:
    a, b = value[:, :2] - value[:, :2].mean(0), value[:, 2:] - value[:, 2:].mean(0)
    return np.full(len(value), ((a.T @ b / len(value)) ** 2).sum() / 2)


@pytest.mark.parametrize(
    ("check", "more"),
    [
        (test_a_loss_is_its_formula, ()),
        (test_its_gradient_is_the_central_difference, ()),
        (test_a_step_makes_no_fresh_array, ()),
        (test_shards_agree_with_the_whole, (2,)),
    ],
)
def test_a_covariance_is_of_the_whole_batch(
    check: Callable[..., None], more: tuple[int, ...]
) -> None:
    check(Case(losses.CrossCovariance(2), covariance, shape=(5,)), "", *more)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (losses.CrossCovariance(3), {}, "does not split at 3 into two groups"),
        (losses.CrossCovariance(1), {"weights": "w"}, "a covariance has no weights of examples"),
    ],
)
def test_a_covariance_that_does_not_fit(loss: Loss, options: Any, message: str) -> None:
    graph = Chain(x=Tensor(("N", 3))).graph("x")
    with pytest.raises(GraphError, match=message):
        Plan(graph, Parameters(graph, {}), {"N": 4}, terms=[Term(loss, "x", **options)])


def test_float32_stays_finite_at_the_edges() -> None:
    edge = np.array([[0, 1, 0]], np.float32)
    for loss in (losses.CrossEntropy(), losses.KullbackLeibler(), losses.BinaryCrossEntropy()):
        graph = Chain(x=Tensor(("N", 3))).graph("x")
        plan = Plan(graph, Parameters(graph, {}), {"N": 1}, terms=[Term(loss, "x", "t")], wrt=["x"])
        plan.put({"x": edge, "t": 1 - edge})
        plan.run()
        assert np.isfinite(plan.losses).all()
        assert plan.losses[0] > 20


def test_halves_that_are_equal_have_no_slope() -> None:
    graph = Chain(x=Tensor(("N", 4))).graph("x")
    term = Term(losses.Contrastive(margin=9.0), "x", "t")
    plan = Plan(graph, Parameters(graph, {}), {"N": 1}, terms=[term], wrt=["x"])
    plan.put({"x": np.ones((1, 4)), "t": np.zeros(1)})
    plan.run()
    assert plan.losses[0] == pytest.approx(81 / 2)
    assert not plan.g["x"].any()


def test_a_mask_the_network_computes_says_what_counts() -> None:
    """What is masked changes neither the loss nor the gradient of the rest."""
    chain = Chain(x=Tensor(("N", 3, 2)), counts=Tensor(("N", 3), "bool"))
    chain.add(ops.Softmax(), "x", name="y")
    graph = chain.graph("y")
    term = Term(losses.CrossEntropy(), "y", "t", weights="counts")
    plan = Plan(graph, Parameters(graph, {}, np.float64), {"N": 2}, terms=[term], wrt=["x"])
    rng = np.random.default_rng(0)
    x, counts = rng.normal(size=(2, 3, 2)), np.array([[True, True, False], [True, False, False]])
    plan.put({"x": x, "counts": counts, "t": rng.integers(0, 2, (2, 3))})
    plan.run()
    first = plan.losses[0], plan.g["x"].copy()
    assert not first[1][~counts].any()
    assert first[1][counts].all()
    plan.v["x"][~counts] = 7
    plan.run()
    assert (plan.losses[0], plan.g["x"].tolist()) == (first[0], first[1].tolist())


def test_weights_of_nothing_cost_nothing() -> None:
    trial = Trial(CASES["mse"], "w")
    trial.given["w"] = np.zeros(ROWS)
    (plan,) = trial.plans()
    plan.run()
    assert plan.losses[0] == 0
    assert not plan.g["x"].any()


def test_centres_move_as_in_cortex() -> None:
    """C + (1 - keep)·mean(x - c) for the classes that are there, then the length of the radius."""
    for keep, radius in ((0.9, 1.0), (0.5, 2.0), (0.5, None)):
        loss = losses.CenterLoss(4, keep_factor=keep, radius=radius)
        graph = Case(loss, center, shape=(3,), op=ops.Centers(4)).graph
        rng = np.random.default_rng(1)
        before = rng.normal(size=(4, 3))
        before[3] = 0  # a class that never came
        parameters = Parameters(graph, {"y/centers": before}, np.float64)
        plan = Plan(graph, parameters, {"N": 6}, training=True, terms=[Term(loss, "y", "t")])
        x, classes = rng.normal(size=(6, 3)), np.array([0, 0, 1, 0, 1, 1])
        plan.put({"x": x, "t": classes})
        plan.run()
        wanted = before.copy()
        for c in (0, 1):
            wanted[c] += (1 - keep) * (x[classes == c] - before[c]).mean(0)
        if radius is not None:
            wanted[:3] *= radius / np.linalg.norm(wanted[:3], axis=1, keepdims=True)
        np.testing.assert_allclose(parameters.of["y/centers"], wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("options", [{"training": False}, {"training": True, "frozen": ["y"]}])
def test_centres_stay_where_nothing_is_learnt(options: dict[str, Any]) -> None:
    case = CASES["center"]
    graph = case.graph
    parameters = Parameters(graph, with_parameters(graph).parameters)
    before = parameters.flat.copy()
    plan = Plan(graph, parameters, {"N": 2}, terms=[Term(case.loss, "y", "t")], **options)
    plan.put({"x": np.ones((2, 4)), "t": np.array([0, 1])})
    plan.run()
    assert np.array_equal(parameters.flat, before)


def model(*layers: Any, units: int = 3, **options: Any) -> Any:
    return nn.sequential([nn.input(2), nn.linear(units), *layers], **options)


X = np.ones((2, 2), np.float32)
PUT: Mapping[str, tuple[Loss, Any, Any]] = {
    "one-hot": (losses.CrossEntropy(), np.array([2, 0]), [[0, 0, 1], [1, 0, 0]]),
    "a column of classes": (losses.CrossEntropy(), np.array([[2], [0]]), [[0, 0, 1], [1, 0, 0]]),
    "a table's classes": (losses.CrossEntropy(), np.array([[2.0], [0]]), [[0, 0, 1], [1, 0, 0]]),
    "classes of logarithms": (
        losses.NegativeLogLikelihood(),
        np.array([2.0, 0]),
        [[0, 0, 1], [1, 0, 0]],
    ),
    "ids": (losses.CrossEntropy(ids=True), np.array([[2], [0]], np.uint8), [2, 0]),
    "a table's ids": (losses.CrossEntropy(ids=True), np.array([2.0, 0.0]), [2, 0]),
    "signs": (losses.Hinge(), np.array([[0, 1, -1], [0, 0, 1]]), [[-1, 1, -1], [-1, -1, 1]]),
    "classes as signs": (losses.Hinge(), np.array([0, 1]), [[1, -1, -1], [-1, 1, -1]]),
    "another shape": (losses.MeanSquaredError(), np.ones((2, 3, 1)), np.ones((2, 3)).tolist()),
}


@pytest.mark.parametrize(("loss", "rows", "wanted"), PUT.values(), ids=PUT)
def test_targets_are_taken_in_the_forms_people_have(loss: Loss, rows: Any, wanted: Any) -> None:
    graph = Chain(x=Tensor(("N", 3))).graph("x")
    plan = Plan(graph, Parameters(graph, {}), {"N": 2}, terms=[Term(loss, "x", "t")])
    plan.put({"x": np.ones((2, 3)), "t": rows})
    assert plan.v["t"].tolist() == wanted


WRONG: Mapping[str, tuple[Loss, Any, str]] = {
    "too high": (
        losses.CrossEntropy(),
        np.array([0, 3]),
        "target 't': 3 is no class; they are 0 to 2",
    ),
    "too low": (
        losses.CrossEntropy(ids=True),
        np.array([-1, 0]),
        "target 't': -1 is no class; they are 0 to 2",
    ),
    "parts of classes": (
        losses.CrossEntropy(ids=True),
        np.array([0.0, 1.5]),
        "target 't': a row of float64 has the shape (), expected class numbers of the shape ()",
    ),
    "classes for numbers": (
        losses.MeanSquaredError(),
        np.array([0.0, 1.0]),
        "target 't': a row of float64 has the shape (), expected numbers of the shape (3,), "
        "or whole numbers from 0 to 2 of the shape ()",
    ),
    "a shape that does not fit": (
        losses.CrossEntropy(),
        np.ones((2, 4)),
        "target 't': a row of float64 has the shape (4,), expected numbers of the shape (3,), "
        "or whole numbers from 0 to 2 of the shape ()",
    ),
    "text": (
        losses.MeanSquaredError(),
        np.full((2, 3), "a"),
        "target 't': a row of <U1 has the shape (3,), expected numbers of the shape (3,), "
        "or whole numbers from 0 to 2 of the shape ()",
    ),
    "no sign": (
        losses.Hinge(),
        np.full((2, 3), 0.5),
        "target 't': 0.5 is neither 1 nor -1 (or 0)",
    ),
    "rows": (losses.MeanSquaredError(), np.ones((3, 3)), "'t' has 3 rows, expected 2"),
    "none": (losses.MeanSquaredError(), None, "there is no array called 't'; there are ['x']"),
}


@pytest.mark.parametrize(("loss", "rows", "message"), WRONG.values(), ids=WRONG)
def test_targets_that_are_wrong_are_named(loss: Loss, rows: Any, message: str) -> None:
    graph = Chain(x=Tensor(("N", 3))).graph("x")
    plan = Plan(graph, Parameters(graph, {}), {"N": 2}, terms=[Term(loss, "x", "t")])
    with pytest.raises(UsageError) as raised:
        plan.put({"x": np.ones((2, 3))} | ({} if rows is None else {"t": rows}))
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([1, -1.0]), "weights 'w': one is -1.0; they must not be negative"),
        (np.array([1, np.nan]), "weights 'w': one is nan; they must not be negative"),
        (
            np.ones((2, 3)),
            "weights 'w': rows of float64 have the shape (3,), expected numbers of the shape ()",
        ),
    ],
    ids=["negative", "nan", "shape"],
)
def test_weights_that_are_wrong_are_named(rows: Array, message: str) -> None:
    graph = Chain(x=Tensor(("N", 3))).graph("x")
    term = Term(losses.MeanSquaredError(), "x", "t", weights="w")
    plan = Plan(graph, Parameters(graph, {}), {"N": 2}, terms=[term])
    with pytest.raises(UsageError) as raised:
        plan.put({"x": np.ones((2, 3)), "t": np.ones((2, 3)), "w": rows})
    assert str(raised.value) == message


MISFITS: Mapping[str, tuple[Sequence[Term], str]] = {
    "odd halves": (
        [Term(losses.Contrastive(), "x")],
        "the loss on 'x': a row must be two halves, not (3,)",
    ),
    "no grid": (
        [Term(losses.Yolo2(), "x")],
        "the loss on 'x': a row must be rows × columns × 5·(5 + classes), not (3,)",
    ),
    "no centres": (
        [Term(losses.CenterLoss(4), "x")],
        "the loss on 'x': it must be on a layer that keeps 4 centres",
    ),
    "weights of two shapes": (
        [Term(losses.L1(), "x", weights="w"), Term(losses.L1(), "y", weights="x")],
        "the weights 'x' has the shape (2, 3), but the loss on 'y' needs (2,)",
    ),
    "ids and one-hot": (
        [Term(losses.CrossEntropy(), "y"), Term(losses.CrossEntropy(ids=True), "x")],
        "the target 'target' has the shape (2, 3), but the loss on 'x' needs (2,) of int64",
    ),
}


@pytest.mark.parametrize(("terms", "message"), MISFITS.values(), ids=MISFITS)
def test_losses_that_do_not_fit_are_named(terms: Sequence[Term], message: str) -> None:
    chain = Chain(x=Tensor(("N", 3)))
    graph = chain.graph(chain.add(ops.Softmax(), "x", name="y"))
    with pytest.raises(GraphError) as raised:
        Plan(graph, Parameters(graph, {}), {"N": 2}, terms=terms)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.CrossEntropy(smoothing=1.0), "a smoothing of 1.0 is none"),
        (lambda: losses.CrossEntropy(smoothing=0.1, ids=True), "smoothing needs targets"),
        (lambda: losses.Huber(0), "delta must be above 0, it is 0"),
        (lambda: losses.SmoothL1(-1), "sigma must be above 0, it is -1"),
        (lambda: labelled([((0, 0, 9, 9), 1)]), r"its box \(0, 0, 9, 9\) is not within 8 × 8"),
        (lambda: labelled([((0, 0, 1, 1), 2)]), "2 is no class; they are 0 to 1"),
    ],
)
def test_options_must_make_sense(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, UsageError), match=message):
        make()


def labelled(objects: Any) -> Array:
    return losses.realize_label(objects, width=8, height=8, classes=2, grid=(2, 4))


def test_a_label_says_where_objects_are() -> None:
    label = labelled([((0, 0, 2, 2), 0), ((4, 4, 8, 8), 1)])
    assert label.shape == (2, 4, 7)
    assert label[0, 0].tolist() == [0.5, 0.25, 0.5, 0.5, 1, 1, 0]
    assert label[1, 3].tolist() == pytest.approx([0, 0.5, 0.5**0.5, 0.5**0.5, 1, 0, 1])
    assert label.sum() == pytest.approx(label[0, 0].sum() + label[1, 3].sum())


def test_names_are_those_of_a_spec() -> None:
    needed = {"center": {"classes": 3}, "xcov": {"split": 2}}
    for name, cls in losses.NAMED.items():
        read = TypeAdapter(cls).validate_python({"type": name, **needed.get(name, {})})
        assert isinstance(read, cls)
        assert read.type == name  # type: ignore[attr-defined]


def test_the_usual_losses_are_those_of_cortex() -> None:
    for layers, loss in (
        ([nn.softmax()], losses.CrossEntropy),
        ([nn.log_softmax()], losses.NegativeLogLikelihood),
        ([nn.logistic()], losses.MeanSquaredError),
        ([], losses.MeanSquaredError),
    ):
        (term,) = model(*layers).terms
        assert isinstance(term.loss, loss)
        assert term.target == f"{term.on}:target"


def test_terms_name_layers_and_share_the_only_target() -> None:
    made = model(
        nn.relu(name="features"),
        nn.linear(2),
        nn.logistic(name="out"),
        terms=[
            Term(losses.BinaryCrossEntropy(), "out", "wanted"),
            Term(losses.L1(), "features", weight=0.1),
            Term(losses.MeanAbsoluteError(), "out", ""),
        ],
    )
    assert [term.target for term in made.terms] == ["wanted", "target", "wanted"]
    assert len(Trainer(made, optim.sgd()).step({"input-1": X, "wanted": X})) == 3


def test_penalties_are_in_the_loss_that_is_reported() -> None:
    made = nn.sequential(
        [nn.input(2), nn.linear(3, l2=0.2)],
        terms=[
            Term(losses.MeanSquaredError(), "linear-1", "t"),
            Term(losses.L1(), "linear-1/kernel", weight=0.3),
            Term(losses.L2(), "linear-1/bias", weight=0.5),
        ],
    )
    kernel, bias = (made.network.parameters[f"linear-1/{name}"] for name in ("kernel", "bias"))
    bias[...] = 2
    trainer = Trainer(made, optim.sgd(0.1))
    batch = {"input-1": X, "t": np.zeros((2, 3), np.float32)}
    wanted = 0.1 * (kernel**2).sum() + 0.3 * np.abs(kernel).sum() + 0.25 * (bias**2).sum()
    for found in (trainer.evaluate(batch)[0], trainer.step(batch)):
        assert found.tolist() == pytest.approx([np.mean((X @ kernel + bias) ** 2), wanted])
    assert trainer.step(batch)[1] < wanted


BAD_TERMS: Mapping[str, tuple[Sequence[Term], str]] = {
    "unknown": ([Term(losses.L1(), "relu-7")], "a loss is on 'relu-7', but no layer or value"),
    "parameter": (
        [Term(losses.Inner(), "linear-1/kernel")],
        "the loss on the parameter 'linear-1/kernel': only l1 and l2 are for parameters",
    ),
}


@pytest.mark.parametrize(("terms", "message"), BAD_TERMS.values(), ids=BAD_TERMS)
def test_terms_that_make_no_sense_are_named(terms: Sequence[Term], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        model(terms=terms)


def steps_of(made: Any, shards: int) -> Iterator[Array]:
    trainer = Trainer(made, optim.adam(), shards=shards, dtype=np.float64)
    rng = np.random.default_rng(0)
    for _ in range(20):
        yield trainer.step({"input-1": rng.normal(size=(7, 2)), "t": rng.integers(0, 3, 7)})
    yield trainer.parameters.flat


def test_a_network_with_centres_trains_the_same_in_two_shards() -> None:
    def made() -> Any:
        return model(
            nn.relu(),
            nn.center_loss(classes=3, keep_factor=0.9),
            nn.linear(3),
            nn.softmax(),
            terms=[Term(losses.CrossEntropy(smoothing=0.1), "softmax-1", "t")],
            units=6,
        )

    for one, two in zip(steps_of(made(), 1), steps_of(made(), 2), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-10, atol=1e-10)
