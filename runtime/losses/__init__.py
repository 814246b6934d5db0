"""What training makes small, bound like operations: losses of a value and its target."""

from collections.abc import Mapping

from .activity import L1, L2
from .center import CenterLoss
from .covariance import CrossCovariance
from .entropy import BinaryCrossEntropy, CrossEntropy, KullbackLeibler, NegativeLogLikelihood
from .inner import Inner
from .loss import Loss
from .margins import Contrastive, Hinge, SquaredHinge
from .regression import Censor, Huber, MeanAbsoluteError, MeanSquaredError, SmoothL1
from .term import Term
from .yolo import Yolo2, realize_label

NAMED: Mapping[str, type[Loss]] = {
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "nll": NegativeLogLikelihood,
    "kl": KullbackLeibler,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "huber": Huber,
    "smooth_l1": SmoothL1,
    "censor": Censor,
    "hinge": Hinge,
    "margin": Hinge,
    "squared_hinge": SquaredHinge,
    "contrastive": Contrastive,
    "center": CenterLoss,
    "yolo2": Yolo2,
    "xcov": CrossCovariance,
    "l1": L1,
    "l2": L2,
}
"""Every loss by the name a spec has for it; each is a dataclass whose ``type`` is that name."""

__all__ = [
    "L1",
    "L2",
    "NAMED",
    "BinaryCrossEntropy",
    "Censor",
    "CenterLoss",
    "Contrastive",
    "CrossCovariance",
    "CrossEntropy",
    "Hinge",
    "Huber",
    "Inner",
    "KullbackLeibler",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NegativeLogLikelihood",
    "SmoothL1",
    "SquaredHinge",
    "Term",
    "Yolo2",
    "realize_label",
]
