"""What a spec can say: its keys, their types and what they are when left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from .. import optim
from ..errors import UnreadableFile
from ..optim.schedules import rate_at
from ..training.loop import Listener
from ..training.saving import Best, Checkpoints
from .families import (
    LOGS,
    AnyAugmentation,
    AnyListener,
    AnyLoss,
    AnyMeasure,
    AnyOptimizer,
    AnySource,
    Layers,
)
from .faults import fault
from .forms import Strict

ENDING = ".safetensors"
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]


Shape = tuple[Count | str, ...]


class Base(Strict, use_attribute_docstrings=True):
    """A network that goes on from one that is stored."""

    load: Path
    """A weights.safetensors with its graph, a checkpoint, or a model's folder in a repository."""
    drop_from: str = ""
    """The layer that goes, with all that follows it."""
    resize_input: Shape | Mapping[str, Shape] = ()
    """The shape that an example has now, such as [64, 64, 3]; of several inputs by name."""
    freeze: str | Literal[True] = ""
    """The layer up to which nothing learns; true: nothing that was there learns."""
    after: str = ""
    """The layer that ``layers`` follow; by default the only output."""
    layers: Layers = Field(default_factory=list)
    """What follows."""


class LossTerm(Strict, use_attribute_docstrings=True):
    """A loss that is made small beside others."""

    loss: AnyLoss
    on: str
    """The layer whose output it is of; or, of l1 and l2, the parameter, such as linear-1/kernel."""
    target: str = ""
    """The name of the array it is compared with; by default the first output's."""
    weight: float = 1.0
    weights: str = ""
    """The name of the array that says how much each example counts."""


class Way(Strict, use_attribute_docstrings=True):
    """How some parameters learn in a way of their own."""

    rate_factor: Amount = 1.0
    """What their rate is multiplied by; 0: they do not learn."""
    l1: Amount = 0.0
    l2: Amount = 0.0
    """λ of penalties."""
    max_norm: Annotated[float, Field(gt=0)] | None = None
    """The most that the weights of a unit may be long."""
    max_value: Annotated[float, Field(gt=0)] | None = None
    """The largest that a weight may be, with either sign."""


class Spec(Strict, validate_default=True, use_attribute_docstrings=True):
    """A training. Command-line options of the same name win over what stands here."""

    labels: tuple[str, ...] = ()
    """What the classes are called, for the published model."""
    name: str = "model"
    """Of the published model, and of files for ``{name}``; by default the spec file's."""
    network: Layers | Base
    losses: tuple[LossTerm, ...] = ()
    """Beside the usual one of each output that is not named here."""
    optimizer: AnyOptimizer = optim.Adam()
    optimizers: Mapping[str, AnyOptimizer] = {}
    """By the name or the type of a layer, what a parameter is in it, such as bias, its name, or a
    pattern of these, such as body-*; all others have the one above."""
    parameters: Mapping[str, Way] = {}
    """How else some learn, called as in ``optimizers``."""
    data: AnySource | None = None
    folder: Path | None = None
    """Where the files of ``data`` are."""
    validation: AnySource | Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)] = 0
    """Data of their own, or how many, or what part, of the examples are kept from training."""
    balanced: bool = False
    """Every class comes as often in training."""
    epoch_size: Count | None = None
    """Examples of an epoch, if not all of them once."""
    augmentation: tuple[AnyAugmentation, ...] = ()
    measures: tuple[AnyMeasure, ...] = ()
    """By default accuracy for an output that is a softmax."""
    goal: str = ""
    """What the best network is best in: ``loss`` or a measure; by default the first measure."""
    epochs: Count | None = 10
    """Null: until it is stopped."""
    batch_size: Count = 128
    accumulate: Count = 1
    """Batches whose gradients are averaged before anything is learnt from them; they are counted
    on from epoch to epoch."""
    evaluate_every: Count = 1
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    precision: Literal["float32", "float16"] = "float32"
    """float16: what layers hand on is stored in half the memory; losses are scaled to bear it."""
    shards: Count | None = None
    """Threads that share a batch; null: the cores, if a batch is large enough."""
    save: Path | None = Path("{name}.safetensors")
    """Where the best network so far is kept; null: nowhere."""
    checkpoint: Path | None = Path("{name}-last.safetensors")
    """Where what is needed to resume is kept; null: nowhere."""
    checkpoint_every: Count = 1
    history: Count | None = 1
    """Checkpoints that are kept; null: all."""
    log: Path | None = None
    """A table of the epochs: FILE.csv, FILE.json (an object a line) or FILE.h5."""
    tensorboard: Path | None = None
    """A folder for event files."""
    patience: Count | None = None
    """Epochs without a better one after which training stops."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """How long training may take."""
    live: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The port of a page that follows the training."""
    publish: Path | None = None
    """A repository of models into which each new best is installed."""
    versions: Annotated[int, Field(ge=2)] | None = None
    """Published versions that are kept, the newest; null: all."""
    listeners: tuple[AnyListener, ...] = ()
    """What else is told how training goes, beside what the keys above ask for."""
    define: Any = None
    """A place for YAML anchors; it means nothing."""

    @model_validator(mode="after")
    def _rates(self) -> Spec:
        own = {f"optimizers.{key}": it for key, it in self.optimizers.items()}
        for where, optimizer in {"optimizer": self.optimizer, **own}.items():
            try:
                rate_at(optimizer.rate, optim.Progress(0, self.epochs))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        return self

    @field_validator("log")
    @classmethod
    def _known_log(cls, path: Path | None) -> Path | None:
        if path and path.suffix not in LOGS:
            raise ValueError(f"{path}: a log ends in {', '.join(LOGS)}")
        return path

    @field_validator("save", "checkpoint")
    @classmethod
    def _in_our_format(cls, path: Path | None) -> Path | None:
        if path and path.suffix != ENDING:
            raise ValueError(f"{path}: a network is kept as {ENDING}: let the name end in that")
        return path

    @field_validator("listeners")
    @classmethod
    def _each_in_our_format(cls, told: tuple[Listener, ...]) -> tuple[Listener, ...]:
        for each in told:
            if isinstance(each, (Best, Checkpoints)):
                cls._in_our_format(each.path)
        return told

    @field_validator("save", "checkpoint", "log", "tensorboard")
    @classmethod
    def _with_name(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return path and Path(str(path).replace("{name}", info.data.get("name", "")))


def checked(document: Mapping[str, Any], where: str) -> Spec:
    """A spec of what was read.

    Raises:
        UnreadableFile: something is wrong; the message has its path.
    """
    try:
        return Spec.model_validate(document)
    except ValidationError as error:
        raise UnreadableFile(f"{where}: {fault(error, document)}") from None


class _Readable(GenerateJsonSchema):
    """Shows what only code can give, such as a function, as anything."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}

    def encode_default(self, dft: Any) -> Any:
        return TypeAdapter(Any).dump_python(dft, mode="json", fallback=str)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec, for editors."""
    return Spec.model_json_schema(schema_generator=_Readable)
