"""A network and how it is to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..losses import Term
from ..network import Network
from ..optim.update import Treatment


@dataclass(frozen=True)
class Model:
    """What training needs to know beside the data and the optimiser.

    Attributes:
        network: the graph and its arrays.
        terms: the losses, whose weighted sum is made small.
        treatments: by parameter, how it differs from the others.
        frozen: names of nodes that do not learn; what leads only to them costs no backward pass.
    """

    network: Network
    terms: Sequence[Term] = ()
    treatments: Mapping[str, Treatment] = field(default_factory=dict[str, Treatment])
    frozen: frozenset[str] = frozenset()
