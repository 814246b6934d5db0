"""The data that a spec describes, as the network is fed: for training, and for validation."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..data import Ahead, Augmented, Balanced, Dataset, Endless, Rows, Source, split
from ..errors import UsageError
from ..training.model import Model
from .schema import Spec


def datasets(spec: Spec, model: Model) -> tuple[Dataset, Dataset | None]:
    """What is learnt from, augmented and made ahead; and what is kept for validation.

    Raises:
        UsageError: there are no data, or they do not fit the network.
        UnreadableFile: a file is damaged.
    """
    if spec.data is None:
        raise UsageError("data: is missing: say what to learn from")
    training, validation = _parts(spec, spec.data)
    if spec.balanced:
        training = Balanced(training, spec.epoch_size)
    elif spec.epoch_size:
        training = Endless(training, spec.epoch_size)
    learnt: Dataset = training
    if spec.augmentation:
        learnt = Augmented(training, spec.augmentation, seed=spec.seed)
        validation = validation and Augmented(validation, spec.augmentation)
    fed = nn.fed(Ahead(learnt), model, seed=spec.seed)
    return fed, None if validation is None else nn.fed(validation, model)


def _parts(spec: Spec, source: Source) -> tuple[Rows, Rows | None]:
    whole = source.open(spec.folder, spec.seed)
    kept: Any = spec.validation
    if isinstance(kept, Source):
        return whole, kept.open(spec.folder, spec.seed)
    if not kept:
        return whole, None
    try:
        other, training = split(whole, kept, seed=spec.seed)
        return training, other
    except UsageError as error:
        raise UsageError(f"validation: {error}") from None
