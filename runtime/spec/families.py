"""What a spec can say by name: layers, losses, optimisers, data, measures and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    RootModel,
    Tag,
)

from .. import data, losses
from ..live.listener import LivePage
from ..nn import LAYERS, initializers, layers
from ..optim import rules
from ..optim.schedules import (
    Schedule,
    cosine,
    exponential,
    listed,
    plateau,
    polynomial,
    power,
    step,
    warm_up,
)
from ..training import measures
from ..training.hdf5 import Hdf5History
from ..training.logs import CsvLog, JsonLog
from ..training.loop import Listener
from ..training.publisher import Publisher
from ..training.saving import Best, Checkpoints
from ..training.stopping import EarlyStop, TimeLimit
from ..training.tensorboard import TensorBoard
from .forms import named

SCHEDULES: Mapping[str, type[Schedule]] = {
    each.__name__: each for each in (step, listed, power, exponential, polynomial, cosine, plateau)
}
OPTIMIZERS: Mapping[str, type[rules.Optimizer]] = {
    "sgd": rules.SGD,
    "adam": rules.Adam,
    "adamw": rules.AdamW,
    "rmsprop": rules.RMSProp,
    "adagrad": rules.Adagrad,
    "adadelta": rules.Adadelta,
}
LOGS: Mapping[str, type[Any]] = {
    ".csv": CsvLog,
    ".json": JsonLog,
    ".jsonl": JsonLog,
    ".h5": Hdf5History,
}
"""By what a log's name ends in."""
DEEPEST = 64
"""Lists and mappings that layers of a spec may lie in, one within the other."""
LISTENERS: Mapping[str, type[Any]] = {
    "best": Best,
    "checkpoints": Checkpoints,
    "csv": CsvLog,
    "json": JsonLog,
    "hdf5": Hdf5History,
    "tensorboard": TensorBoard,
    "publisher": Publisher,
    "early_stop": EarlyStop,
    "time_limit": TimeLimit,
    "live_page": LivePage,
}


@dataclass(frozen=True)
class Normal:
    """N(mean, deviation²)."""

    deviation: float = 0.01
    mean: float = 0.0

    def initializer(self) -> Any:
        return initializers.normal(self.deviation, self.mean)


@dataclass(frozen=True)
class Uniform:
    """Evenly in [low, high)."""

    low: float = -0.01
    high: float = 0.01

    def initializer(self) -> Any:
        return initializers.uniform(self.low, self.high)


@dataclass(frozen=True)
class Orthogonal:
    """Units that are orthogonal, of this length."""

    scale: float = 2**0.5

    def initializer(self) -> Any:
        return initializers.orthogonal(self.scale)


@dataclass(frozen=True)
class Constant:
    """The same everywhere."""

    value: float = 0.0

    def initializer(self) -> Any:
        return initializers.constant(self.value)


INITIALIZERS: Mapping[str, type[Any]] = {
    "normal": Normal,
    "uniform": Uniform,
    "orthogonal": Orthogonal,
    "constant": Constant,
}
"""Those that may be told a number; the others are names alone."""


def _learning_rate(value: Any) -> Any:
    """Lets the rate be called as in code that has it from elsewhere."""
    if isinstance(value, Mapping) and "learning_rate" in value and "rate" not in value:
        return {"rate" if key == "learning_rate" else key: it for key, it in value.items()}
    return value


def _shallow(layers: Any) -> Any:
    """Refuses what lies so deep that to build it would take more stack than there is."""
    level = [layers] if isinstance(layers, list) else []
    for _ in range(DEEPEST):
        inner = (it.values() if isinstance(it, Mapping) else it for it in level)
        level = [it for each in inner for it in each if isinstance(it, (list, Mapping))]
    if level:
        raise ValueError(f"more than {DEEPEST} lists and mappings lie within each other here")
    return layers


def _union(*members: Any) -> Any:
    return Union[members]  # noqa: UP007  of a tuple


if TYPE_CHECKING:
    Layers = list[Any]
    AnyLoss = losses.Loss
    AnyOptimizer = rules.Optimizer
    AnySource = data.Source
    AnyAugmentation = data.Augmentation
    AnyMeasure = measures.Looking
    AnyListener = Listener
else:
    _initializer = _union(
        Literal[get_args(initializers.Name)],
        Annotated[
            named(INITIALIZERS),
            AfterValidator(lambda it: it.initializer()),
        ],
    )
    _steady = named(SCHEDULES)  # what a warm-up ends in
    _schedule = named({**SCHEDULES, "warm_up": warm_up}, {Schedule: _steady})

    class LayerList(RootModel):
        """Layers one after another; a list among them is a block, as YAML's anchors repeat it."""

        model_config = ConfigDict(arbitrary_types_allowed=True)

        root: Annotated[list[_LayerOrBlock], BeforeValidator(_shallow)]

    Layers = Annotated[LayerList, AfterValidator(attrgetter("root"))]
    _layer = named(LAYERS, {layers.Layers: Layers}, {"initial": Mapping[str, _initializer]})
    _LayerOrBlock = Annotated[
        _union(Annotated[_layer, Tag("one")], Annotated[Layers, Tag("block")]),
        Discriminator(lambda it: "block" if isinstance(it, (list, tuple)) else "one"),
    ]
    AnyLoss = named(losses.NAMED)
    AnyOptimizer = Annotated[
        named(OPTIMIZERS, {Schedule: _schedule}), BeforeValidator(_learning_rate)
    ]
    AnySource = named(data.NAMED)
    AnyAugmentation = named(data.AUGMENTATIONS)
    AnyMeasure = named(measures.NAMED, optional={"on": "", "target": ""})
    """``on`` is a layer; by default the first output that has a loss."""
    AnyListener = named(LISTENERS)
