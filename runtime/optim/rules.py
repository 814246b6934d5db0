"""How an optimiser changes a parameter: its formula over flat vectors, in place.

``bind`` gives the step for one stretch of the vectors: w the parameters, g their gradient, s the
optimiser's own vectors by name. ``now`` holds what changes from step to step. All of it runs over
blocks that stay in a core's cache, with one block of scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar

from ..op import Step
from .schedules import Schedule, within

Array = Any
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Now:
    """The rate of this step, and how many steps were made, this one included."""

    rate: float = 0.0
    step: int = 0


@dataclass(frozen=True)
class Optimizer:
    """What every optimiser has.

    Attributes:
        rate: the learning rate; a number, or a schedule.
        weight_decay: λ of λw, which is added to the gradient (coupled, as L2 regularisation); for
            AdamW it is taken off the weight itself.
        clip_value: each element of the gradient is brought into ±this first.
        clip_norm: then the gradient of all that it changes is scaled down to this length.
    """

    rate: float | Schedule
    weight_decay: float = field(default=0.0, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)

    vectors: ClassVar[tuple[str, ...]] = ()
    """The names of its own vectors, all zero at first."""
    decoupled: ClassVar[bool] = False
    """Whether the decay is of the weight, not of the gradient."""
    averages: ClassVar[tuple[str, ...]] = ()
    """The names of those of its numbers that weigh the old value of a moving average."""

    def __post_init__(self) -> None:
        within(self, "rate", "weight_decay", "clip_value", "clip_norm")
        within(self, *self.averages, below=1)
        if hasattr(self, "epsilon"):
            within(self, "epsilon")

    def bind(self, xp: Any, w: Array, g: Array, s: Mapping[str, Array], t: Array, now: Now) -> Step:
        """The step for one block; ``g`` and ``t``, a block of scratch, may be written."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """v = momentum * v + g; w -= rate * v, or rate * (g + momentum * v) by Nesterov.

    The form of Sutskever et al. 2013 as PyTorch has it: the rate is outside of v.
    """

    rate: float | Schedule = 0.01
    momentum: float = field(default=0.0, kw_only=True)
    nesterov: bool = field(default=False, kw_only=True)
    type: Literal["sgd"] = field(default="sgd", kw_only=True)

    averages: ClassVar[tuple[str, ...]] = ("momentum",)

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("velocity",) if self.momentum else ()

    def bind(self, xp: Any, w: Array, g: Array, s: Mapping[str, Array], t: Array, now: Now) -> Step:
        momentum = self.momentum
        if not momentum:

            def plain() -> None:
                xp.multiply(g, now.rate, out=t)
                xp.subtract(w, t, out=w)

            return plain
        v = s["velocity"]

        def step() -> None:
            xp.multiply(v, momentum, out=v)
            xp.add(v, g, out=v)
            if self.nesterov:
                xp.multiply(v, momentum, out=t)
                xp.add(t, g, out=t)
                xp.multiply(t, now.rate, out=t)
            else:
                xp.multiply(v, now.rate, out=t)
            xp.subtract(w, t, out=w)

        return step


@dataclass(frozen=True)
class Adam(Optimizer):
    """w -= rate * m̂ / (√v̂ + epsilon): Kingma & Ba 2015, algorithm 1.

    The vectors are m / (1 - beta1) and v / (1 - beta2): one pass less over each, the same numbers.
    """

    rate: float | Schedule = 1e-3
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    epsilon: float = field(default=1e-8, kw_only=True)
    type: Literal["adam"] = field(default="adam", kw_only=True)

    vectors: ClassVar[tuple[str, ...]] = ("mean", "square")
    averages: ClassVar[tuple[str, ...]] = ("beta1", "beta2")

    def bind(self, xp: Any, w: Array, g: Array, s: Mapping[str, Array], t: Array, now: Now) -> Step:
        m, v, beta1, beta2 = s["mean"], s["square"], self.beta1, self.beta2

        def step() -> None:
            mean, square = (1 - beta1**now.step), (1 - beta2**now.step)
            root = (square / (1 - beta2)) ** 0.5  # of what v was divided by
            xp.multiply(m, beta1, out=m)
            xp.add(m, g, out=m)
            xp.multiply(g, g, out=t)
            xp.multiply(v, beta2, out=v)
            xp.add(v, t, out=v)
            xp.sqrt(v, out=t)
            xp.add(t, self.epsilon * root, out=t)
            xp.divide(m, t, out=t)
            xp.multiply(t, now.rate * root * (1 - beta1) / mean, out=t)
            xp.subtract(w, t, out=w)

        return step


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose decay is of the weight: w -= rate * weight_decay * w; Loshchilov & Hutter 2019."""

    weight_decay: float = field(default=0.01, kw_only=True)
    type: Literal["adamw"] = field(default="adamw", kw_only=True)  # type: ignore[assignment]

    decoupled: ClassVar[bool] = True


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """s = decay * s + (1 - decay) * g²; w -= rate * g / (√(s + epsilon) + epsilon), as neon."""

    rate: float | Schedule = 2e-3
    decay: float = field(default=0.95, kw_only=True)
    epsilon: float = field(default=1e-6, kw_only=True)
    type: Literal["rmsprop"] = field(default="rmsprop", kw_only=True)

    vectors: ClassVar[tuple[str, ...]] = ("square",)
    averages: ClassVar[tuple[str, ...]] = ("decay",)

    def bind(self, xp: Any, w: Array, g: Array, s: Mapping[str, Array], t: Array, now: Now) -> Step:
        square, decay, epsilon = s["square"], self.decay, self.epsilon

        def step() -> None:
            xp.multiply(g, g, out=t)
            xp.multiply(t, 1 - decay, out=t)
            xp.multiply(square, decay, out=square)
            xp.add(square, t, out=square)
            xp.add(square, epsilon, out=t)
            xp.sqrt(t, out=t)
            xp.add(t, epsilon, out=t)
            xp.divide(g, t, out=t)
            xp.multiply(t, now.rate, out=t)
            xp.subtract(w, t, out=w)

        return step


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s += g²; w -= rate * g / √(s + epsilon): Duchi et al. 2011."""

    rate: float | Schedule = 0.01
    epsilon: float = field(default=1e-6, kw_only=True)
    type: Literal["adagrad"] = field(default="adagrad", kw_only=True)

    vectors: ClassVar[tuple[str, ...]] = ("square",)

    def bind(self, xp: Any, w: Array, g: Array, s: Mapping[str, Array], t: Array, now: Now) -> Step:
        square = s["square"]

        def step() -> None:
            xp.multiply(g, g, out=t)
            xp.add(square, t, out=square)
            xp.add(square, self.epsilon, out=t)
            xp.sqrt(t, out=t)
            xp.divide(g, t, out=t)
            xp.multiply(t, now.rate, out=t)
            xp.subtract(w, t, out=w)

        return step


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """d = g √(u + epsilon) / √(s + epsilon); w -= rate * d: Zeiler 2012, algorithm 1.

    s and u are the moving averages of g² and d²; ``decay`` weighs their old values.
    """

    rate: float | Schedule = 1.0
    decay: float = field(default=0.95, kw_only=True)
    epsilon: float = field(default=1e-6, kw_only=True)
    type: Literal["adadelta"] = field(default="adadelta", kw_only=True)

    vectors: ClassVar[tuple[str, ...]] = ("square", "change")
    averages: ClassVar[tuple[str, ...]] = ("decay",)

    def bind(self, xp: Any, w: Array, g: Array, s: Mapping[str, Array], t: Array, now: Now) -> Step:
        square, change, decay = s["square"], s["change"], self.decay

        def step() -> None:
            xp.multiply(g, g, out=t)
            xp.multiply(t, 1 - decay, out=t)
            xp.multiply(square, decay, out=square)
            xp.add(square, t, out=square)
            xp.add(square, self.epsilon, out=t)
            xp.sqrt(t, out=t)
            xp.divide(g, t, out=g)
            xp.add(change, self.epsilon, out=t)
            xp.sqrt(t, out=t)
            xp.multiply(g, t, out=g)
            xp.multiply(g, g, out=t)
            xp.multiply(t, 1 - decay, out=t)
            xp.multiply(change, decay, out=change)
            xp.add(change, t, out=change)
            xp.multiply(g, now.rate, out=g)
            xp.subtract(w, g, out=w)

        return step


def _spelled(make: Callable[P, R]) -> Callable[..., R]:
    """Lets the rate be called ``learning_rate``, too."""

    def call(*args: Any, **options: Any) -> R:
        if "learning_rate" in options:
            options["rate"] = options.pop("learning_rate")
        return make(*args, **options)

    call.__doc__ = make.__doc__
    return call


sgd, adam, adamw = _spelled(SGD), _spelled(Adam), _spelled(AdamW)
rmsprop, adagrad, adadelta = _spelled(RMSProp), _spelled(Adagrad), _spelled(Adadelta)
