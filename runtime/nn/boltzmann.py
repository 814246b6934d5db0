"""Restricted Boltzmann machines and deep belief networks.

A machine learns by contrastive divergence (Hinton 2002): the gradient of F(v) - F(v'), where v' is
what a few turns of sampling make of v, taken as a constant, and F is the free energy

    F(v) = -v @ visible_bias - sum(log(1 + exp(v @ kernel + hidden_bias))).

Its gradient for the kernel is v'ᵀp' - vᵀp, p being the probabilities of the hidden units. So it
trains like any network: same steps, optimisers and listeners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from .. import ops
from ..frame import Frame
from ..losses import Loss, Term
from ..losses.loss import Passes
from ..optim import Optimizer
from ..tensor import Tensor
from .activations import ACTIVATIONS
from .build import sequential
from .connected import Linear
from .feed import Data
from .fit import train
from .initializers import normal
from .layers import LAYERS, Input, LayerSpec, layer
from .net import Net


@dataclass(frozen=True)
class Energy(Loss):
    """The mean of a value that is one number a row."""

    per: ClassVar[Literal["element", "position", "row"]] = "row"

    def target(self, on: Tensor) -> None:
        return None

    def passes(self, at: Frame) -> Passes:
        xp, value, (dx,) = at.xp, at.x[0], at.dx
        each = at.scratch(value.shape)
        return each, lambda: xp.copyto(each, value), lambda: dx.fill(1)


@layer("rbm")
class RBM(LayerSpec):
    """A restricted Boltzmann machine; its output is the probabilities of the hidden units.

    ``steps`` is the k of CD-k. The layer ``NAME/reconstruction`` is the visible units made of the
    hidden ones.
    """

    units: int
    steps: int = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    sample_visible: bool = field(default=False, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        back, op = (
            f"{name}/reconstruction",
            ops.GibbsSampling(self.units, self.steps, self.bias, self.sample_visible),
        )
        params = {local: f"{name}/{local}" for local in op.params(net.types[x[0]])}
        started = replace(self, initial={"kernel": normal(0.01), **self.initial})
        net.named(back, started.add(net, op, back, *x, params=params), "reconstruction")
        # These are -F, so that the model's less the data's is F of the data less F of the model.
        data = self._energy(net, f"{name}/data", x[0], params)
        model = self._energy(net, f"{name}/model", back, params)
        gap = net.add(ops.Subtract(), model, data, name=f"{name}/gap")
        net.terms.append(Term(Energy(), gap))
        net.learnt.add(name)
        return net.add(ACTIVATIONS["logistic"], f"{name}/data/hidden", name=name)

    def _energy(self, net: Net, name: str, v: str, params: Mapping[str, str]) -> str:
        """Adds -F(v), a number a row."""
        own = {"kernel": params["kernel"]}
        if self.bias:
            own["bias"] = params["hidden_bias"]
        op = ops.Dense(self.units, self.bias)
        hidden = self.add(net, op, f"{name}/hidden", v, params=own)
        soft = net.add(ACTIVATIONS["softplus"], hidden, name=f"{name}/softplus")
        total = net.add(ops.ReduceSum((-1,)), soft, name=f"{name}/sum")
        if not self.bias:
            return total
        visible = ops.EinsumDense("ab,b->a", (int(net.types[v].shape[-1]),))
        own = {"kernel": params["visible_bias"]}
        offset = self.add(net, visible, f"{name}/visible", v, params=own)
        return net.add(ops.Add(), total, offset, name=f"{name}/energy")


def pretrain(
    data: Data,
    visible: int,
    units: Sequence[int],
    optimizer: Optimizer | None = None,
    *,
    steps: int = 1,
    seed: int = 0,
    **options: Any,
) -> list[LayerSpec]:
    """Layers for a network, trained greedily as machines one upon the other: Hinton et al. 2006.

    They are linear ones with the logistic function. Fine-tuning is to train a network of an input,
    these and a head.

    Args:
        data: examples of ``visible`` numbers from 0 to 1.
        visible: how many.
        units: hidden units of each machine.
        optimizer: as for ``train``.
        steps: the k of CD-k.
        seed: of all that is random.
        options: what else ``train`` takes: epochs, batch_size, listeners…
    """
    trained: list[LayerSpec] = []
    for level, size in enumerate(units, 1):
        below = [replace(spec, frozen=True) for spec in trained]
        machine = sequential(
            [Input(visible), below, RBM(size, name="rbm", steps=steps)], seed=seed + level
        )
        train(machine, data, optimizer, seed=seed + level, **options)
        arrays = machine.network.parameters
        initial = {
            "kernel": arrays["rbm/kernel"],
            "bias": arrays["rbm/hidden_bias"],
        }
        trained += [Linear(size, initial=initial), LAYERS["logistic"]()]
    return trained
