"""Optimisers and the schedules of their rates, as values: they say what to do and hold no state.

    optim.adam()                                    optim.sgd(learning_rate=0.1, momentum=0.9)
    optim.adamw(rate=optim.cosine(1e-3))            optim.sgd(rate=optim.step(0.1, every=30))

Every argument but the rate is keyword-only, for the seeds disagree on which side a bare number is.
"""

from .rules import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSProp,
    adadelta,
    adagrad,
    adam,
    adamw,
    rmsprop,
    sgd,
)
from .schedules import (
    Progress,
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
from .update import Treatment

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "Progress",
    "RMSProp",
    "Schedule",
    "Treatment",
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "cosine",
    "exponential",
    "listed",
    "plateau",
    "polynomial",
    "power",
    "rmsprop",
    "sgd",
    "step",
    "warm_up",
]  # fmt: skip
