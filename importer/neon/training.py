"""What neon says of a training, in the words of a cortex-train spec."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...runtime.errors import Unsupported
from ...runtime.ir import Graph
from ...runtime.spec.document import Range
from ...runtime.tensor import Size
from ..options import Options
from .description import INPUT, Description, Thing

PARAMETERS: Mapping[str, str] = {"Bias": "bias"}
"""Classes that are a parameter of another layer here."""


@dataclass(frozen=True)
class Outline:
    """What a training has to know of its network.

    Attributes:
        outputs: the shape of one example of each output, by its layer.
        learning: the layers that have parameters, and their types.
        kinds: what a layer's type is called in the spec, by neon's class.
    """

    outputs: Mapping[str, tuple[Size, ...]]
    learning: frozenset[str]
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, graph: Graph) -> Outline:
        """That of a network of neon, whose layers keep their names and types."""
        carried = set(graph.states.values())
        outputs = {
            name: graph.types[value].shape[1:]
            for name, value in graph.outputs.items()
            if name not in carried
        }
        names = {node.layer for node in graph.nodes if node.params} & graph.layers.keys()
        return cls(outputs, frozenset({*names, *(graph.layers[name].kind for name in names)}))


def training(description: Description, network: Outline) -> dict[str, Any]:
    """The parts ``losses``, ``optimizer``, ``optimizers``, ``epochs`` and ``batch_size``.

    Raises:
        Unsupported: a cost, an optimizer or an option of theirs that has no counterpart.
        UnreadableFile: one of them is damaged.
    """
    facts, where, found = description.facts, str(description.path), dict[str, Any]()
    if cost := facts.get("cost"):
        target = {"target": INPUT} if facts.get("reconstructs") else {}
        found["losses"] = [each | target for each in losses(cost, network, where)]
    if rule := facts.get("optimizer"):
        found |= optimizers(Thing.of(rule, f"{where}: its optimizer"), where, network)
    for key in ("epochs", "batch_size"):
        if isinstance(facts.get(key), int | Range) and facts[key]:
            found[key] = facts[key]
    return found


def losses(cost: Any, network: Outline, where: str) -> list[dict[str, Any]]:
    """A loss for each output; of several costs one each.

    neon adds up over the outputs of an example and takes the mean over the batch.
    """
    outputs = network.outputs
    thing = Thing.of(cost, f"{where}: its cost")
    options = Options(f"{where}: cost {thing.kind}", thing.options)
    if thing.kind in ("GeneralizedCost", "Multicost"):
        inner: Any = options["costs" if thing.kind == "Multicost" else "costfunc"]
        costs: Sequence[Any] = inner if isinstance(inner, list) else [inner]
        weights: Any = options.get("weights", None) or [1] * len(costs)
        options.ignore("name")
        options.finish()
    else:
        costs, weights = [cost], [1]
    if len(costs) != len(outputs) or len(weights) != len(costs):
        raise Unsupported(f"{where}: {len(costs)} costs for {len(outputs)} outputs")
    return [
        _loss(each, name, shape, weight, where)
        for each, weight, (name, shape) in zip(costs, weights, outputs.items(), strict=True)
    ]


def _loss(cost: Any, on: str, shape: Sequence[Any], weight: float, where: str) -> dict[str, Any]:
    thing = Thing.of(cost, f"{where}: its cost")
    if thing.kind == "GeneralizedCost":
        return _loss(thing.options.get("costfunc"), on, shape, weight, where)
    if thing.kind not in COSTS:
        raise Unsupported(f"{where}: the cost {thing.kind!r} is not supported")
    options = Options(f"{where}: cost {thing.kind}", thing.options)
    options.ignore("name", "usebits", "epsilon", "backend_type")
    known = [n for n in shape if isinstance(n, int)]
    loss, factor = COSTS[thing.kind](options, known)
    options.finish()
    factor *= weight
    return {"loss": loss, "on": on} | ({} if factor == 1 else {"weight": float(factor)})


def _multi(options: Options, sizes: Sequence[int]) -> tuple[dict[str, Any], float]:
    return {"type": "cross_entropy"}, options.number("scale", 1) * math.prod(sizes[:-1])


def _binary(options: Options, sizes: Sequence[int]) -> tuple[dict[str, Any], float]:
    return {"type": "binary_cross_entropy"}, options.number("scale", 1) * math.prod(sizes)


def _squares(options: Options, sizes: Sequence[int]) -> tuple[dict[str, Any], float]:
    return {"type": "mse"}, math.prod(sizes) / 2


def _mean_squares(options: Options, sizes: Sequence[int]) -> tuple[dict[str, Any], float]:
    return {"type": "mse"}, math.prod(sizes[:-1]) / 2


def _smooth(options: Options, sizes: Sequence[int]) -> tuple[dict[str, Any], float]:
    return {"type": "smooth_l1", "sigma": options.number("sigma", 1.0)}, math.prod(sizes)


COSTS: Mapping[str, Callable[[Options, Sequence[int]], tuple[dict[str, Any], float]]] = {
    "CrossEntropyMulti": _multi,
    "CrossEntropyBinary": _binary,
    "SumSquared": _squares,
    "SumSquaredDiffs": _squares,
    "MeanSquared": _mean_squares,
    "SmoothL1Loss": _smooth,
}
"""Our loss, which is a mean, and what it is multiplied by to be neon's cost."""


def optimizers(rule: Thing, where: str, network: Outline) -> dict[str, dict[str, Any]]:
    """The optimizer, and those of some layers by name or type."""
    if rule.kind != "MultiOptimizer":
        return {"optimizer": _optimizer(rule, where)}
    mapping: Any = rule.options.get("optimizer_mapping") or rule.options
    each = {
        name: _optimizer(Thing.of(one, f"{where}: optimizer {name!r}"), where)
        for name, one in mapping.items()
        if name not in ("name", "optimizer_mapping")
    }
    default = each.pop("default", None)
    kinds = {**PARAMETERS, **network.kinds}
    own = {kinds.get(name, name): one for name, one in each.items()}
    known = {*network.learning, *PARAMETERS.values()}
    own = {name: one for name, one in own.items() if name in known}
    return ({"optimizer": default} if default else {}) | ({"optimizers": own} if own else {})


def _optimizer(rule: Thing, where: str) -> dict[str, Any]:
    options = Options(f"{where}: optimizer {rule.kind}", rule.options)
    if rule.kind not in OPTIMIZERS:
        raise Unsupported(f"{where}: the optimizer {rule.kind!r} is not supported")
    options.ignore("name", "stochastic_round", "backend_type")
    if options.get("param_clip_value", None) is not None:
        raise options.refuse("param_clip_value")
    if options.get("lr_params", None) is not None:  # neon 0.9
        given: Any = options["lr_params"]
        options.finish()
        options = Options(options.title, given)
        options.ignore("backend_type")
    made = OPTIMIZERS[rule.kind](options)
    for theirs, ours in (
        ("gradient_clip_norm", "clip_norm"),
        ("gradient_clip_value", "clip_value"),
    ):
        if options.get(theirs, None) is not None:
            made[ours] = _number(options, theirs)
    options.finish()
    return made


def _number(options: Options, option: str, usual: float | None = None) -> Any:
    """A number, or a range to look for one in."""
    given = options.get(option, usual)
    return given if isinstance(given, Range) else options.number(option, usual)


def _descent(options: Options) -> dict[str, Any]:
    momentum, nesterov = _momentum(options)
    made: dict[str, Any] = {"type": "sgd", "rate": _rate(options)}
    if momentum:
        made["momentum"] = momentum
    if nesterov:
        made["nesterov"] = True
    option = "weight_decay" if "weight_decay" in options else "wdecay"
    if decay := _number(options, option, 0.0):
        made["weight_decay"] = decay
    return made


def _momentum(options: Options) -> tuple[Any, bool]:
    """The momentum, and whether it is Nesterov's; neon 0.9 has it in a mapping of its own."""
    given: Any = options.get("momentum_params", None)
    if given is None:
        return _number(options, "momentum_coef", 0.0), bool(options.get("nesterov", False))
    inner = Options(f"{options.title}: momentum_params", given)
    how = inner.get("type", "constant")
    if how not in ("constant", "nesterov"):
        raise inner.refuse("type")
    inner.ignore("start_epoch", "saturate_epoch", "saturated_coef")
    found = _number(inner, "coef" if "coef" in inner else "initial_coef", 0.0)
    inner.finish()
    return found, how == "nesterov"


def _rmsprop(options: Options) -> dict[str, Any]:
    old = "gamma" in options
    if _momentum(options)[0]:
        raise options.refuse("momentum_params")
    return {
        "type": "rmsprop",
        "rate": _rate(options, 2e-3),
        "decay": _number(options, "gamma" if old else "decay_rate", 0.95),
        "epsilon": _number(options, "epsilon", 1e-6),
    }


def _adagrad(options: Options) -> dict[str, Any]:
    return {
        "type": "adagrad",
        "rate": _rate(options, 0.01),
        "epsilon": _number(options, "epsilon", 1e-6),
    }


def _adadelta(options: Options) -> dict[str, Any]:
    decay = _number(options, "rho" if "rho" in options else "decay", 0.95)
    return {"type": "adadelta", "decay": decay, "epsilon": _number(options, "epsilon", 1e-6)}


def _adam(options: Options) -> dict[str, Any]:
    return {
        "type": "adam",
        "rate": _rate(options, 1e-3),
        "beta1": _number(options, "beta_1", 0.9),
        "beta2": _number(options, "beta_2", 0.999),
        "epsilon": _number(options, "epsilon", 1e-8),
    }


OPTIMIZERS: Mapping[str, Callable[[Options], dict[str, Any]]] = {
    "GradientDescentMomentum": _descent,
    "RMSProp": _rmsprop,
    "Adagrad": _adagrad,
    "Adadelta": _adadelta,
    "Adam": _adam,
    "gradient_descent": _descent,
    "gradient_descent_momentum": _descent,
    "gradient_descent_momentum_weight_decay": _descent,
    "adadelta": _adadelta,
    "rmsprop": _rmsprop,
}


def _rate(options: Options, usual: float | None = None) -> Any:
    """The learning rate, or the schedule that it follows."""
    rate, given = _number(options, "learning_rate", usual), options.get("schedule", None)
    if given is None:
        return rate
    schedule = Thing.of(given, f"{options.title}: schedule")
    told = Options(f"{options.title}: schedule {schedule.kind}", schedule.options)
    if schedule.kind not in SCHEDULES or isinstance(rate, Range):
        raise options.refuse("schedule")
    made = SCHEDULES[schedule.kind](told, rate)
    told.finish()
    return made


def _stepped(options: Options, rate: float) -> Any:
    """A rate that changes at epochs of a list, by a factor or to one each; or every so often."""
    steps: Any = options.get("step_config", None)
    change: Any = options.get("change", 1.0)
    if steps is None:
        return rate
    if isinstance(steps, int):
        return {"type": "step", "rate": rate, "every": steps, "factor": change}
    if not isinstance(steps, list):
        raise options.refuse("step_config")
    epochs: list[Any] = steps
    falling = not isinstance(change, list)
    rates = (
        [float(f"{rate * change**i:.12g}") for i in range(1, len(epochs) + 1)]
        if falling
        else change
    )
    return {"type": "listed", "rate": rate, "epochs": epochs, "rates": rates}


def _hyperbolic(options: Options, rate: float) -> Any:
    return {"type": "power", "rate": rate, "decay": options.number("decay")}


def _polynomial(options: Options, rate: float) -> Any:
    epochs, power = options.whole("total_epochs", least=1), options.number("power")
    return {"type": "polynomial", "rate": rate, "epochs": epochs, "exponent": power}


def _old_step(options: Options, rate: float) -> Any:
    every, factor = options.whole("step_epochs", least=1), options.number("ratio")
    return {"type": "step", "rate": rate, "every": every, "factor": factor}


SCHEDULES: Mapping[str, Callable[[Options, float], Any]] = {
    "Schedule": _stepped,
    "StepSchedule": _stepped,
    "PowerSchedule": _stepped,
    "ExpSchedule": _hyperbolic,
    "PolySchedule": _polynomial,
    "step": _old_step,
}
