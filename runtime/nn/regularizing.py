"""Noise that is there only while training, and normalization."""

from __future__ import annotations

from dataclasses import field

from .. import losses, ops
from ..losses import Term
from ..op import Operation
from ..tensor import Tensor
from .layers import LayerSpec, layer
from .net import Net


@layer("dropout")
class Dropout(LayerSpec):
    """Sets a part of its input to zero while training, and scales up the rest.

    Give ``rate``, the part that is dropped, or ``keep``, the part that is not.
    """

    rate: float | None = field(default=None, kw_only=True)
    keep: float | None = field(default=None, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        if (self.rate is None) == (self.keep is None):
            raise ValueError("give either rate, the part dropped, or keep, the part kept")
        rate = self.rate if self.rate is not None else 1 - (self.keep or 0.0)
        if not 0 <= rate < 1:
            raise ValueError(f"a part of {rate} cannot be dropped")
        return ops.Dropout(rate)


@layer("multiplicative_dropout")
class MultiplicativeDropout(LayerSpec):
    """Multiplies by a normal variable of mean 1 and this variance while training."""

    variance: float = field(kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        if self.variance < 0:
            raise ValueError(f"a variance of {self.variance} is negative")
        # The operation is told the rate of the dropout that it stands for.
        return ops.GaussianDropout(self.variance / (1 + self.variance))


@layer("gaussian_noise")
class GaussianNoise(LayerSpec):
    """Adds a normal variable of mean 0 and this standard deviation while training."""

    deviation: float = field(kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        if self.deviation < 0:
            raise ValueError(f"a deviation of {self.deviation} is negative")
        return ops.GaussianNoise(self.deviation)


@layer("batch_normalization")
class BatchNormalization(LayerSpec):
    """Normalises each channel, or with ``per_element`` each element, over the batch.

    ``keep_factor`` is the weight of the old moving average.
    """

    per_element: bool = field(default=False, kw_only=True)
    keep_factor: float = field(default=0.9, kw_only=True)
    epsilon: float = field(default=1e-4, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        if not 0 <= self.keep_factor <= 1:
            raise ValueError(f"a keep_factor of {self.keep_factor} is not between 0 and 1")
        axes = tuple(range(1, x[0].rank)) if self.per_element else (-1,)
        return ops.BatchNormalization(axes, self.epsilon, self.keep_factor)


@layer("layer_normalization")
class LayerNormalization(LayerSpec):
    """Normalises the last axis of each example."""

    epsilon: float = field(default=1e-5, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        return ops.LayerNormalization(epsilon=self.epsilon)


@layer("local_response_normalization", "lrn")
class LocalResponseNormalization(LayerSpec):
    """x / (k + alpha * sum of x**2 over ``size`` neighbouring channels) ** beta."""

    size: int = field(default=5, kw_only=True)
    k: float = field(default=2.0, kw_only=True)
    alpha: float = field(default=1e-4, kw_only=True)
    beta: float = field(default=0.75, kw_only=True)

    def op(self, *x: Tensor) -> Operation:
        return ops.LocalResponseNormalization(self.size, self.k, self.alpha, self.beta)


@layer("local_contrast_normalization", "lcn")
class LocalContrastNormalization(LayerSpec):
    """What an image has more than its surroundings, over how much these differ among themselves.

    v = x - the mean around it; v / the larger of the root mean square of v around it, and what
    that is on average over the image. Around: ``size`` neighbours along each axis and every
    channel, weighed by a bell curve of this ``deviation``. Jarrett et al. 2009, section 2.1.
    """

    size: int = field(default=9, kw_only=True)
    deviation: float = field(default=2.0, kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        v = net.add(ops.Subtract(), *x, self._around(net, name, "mean", *x), name=f"{name}/excess")
        squares = net.add(ops.Square(), v, name=f"{name}/squares")
        power = self._around(net, name, "power", squares)
        # The offset gives the root a slope where all is even.
        power = net.add(ops.Scale(1.0, 1e-12), power, name=f"{name}/more")
        contrast = net.add(ops.Sqrt(), power, name=f"{name}/contrast")
        axes = tuple(range(1, net.types[x[0]].rank))
        usual = net.add(ops.ReduceMean(axes, keepdims=True), contrast, name=f"{name}/usual")
        least = net.add(ops.Maximum(), contrast, usual, name=f"{name}/least")
        return net.add(ops.Divide(), v, least, name=name)

    def _around(self, net: Net, name: str, what: str, x: str) -> str:
        """The mean of all channels in the neighbourhood of each place."""
        mean = net.add(ops.ReduceMean((-1,), keepdims=True), x, name=f"{name}/{what}-of-channels")
        return net.add(ops.GaussianBlur(self.size, self.deviation), mean, name=f"{name}/{what}")


@layer("center_loss")
class CenterLoss(LayerSpec):
    """Its input as it is, which is drawn to the centre of its class: Wen et al. 2016.

    The centres are saved with the network. ``weight`` is the loss's; ``target`` names the labels,
    by default those of the network's only output.
    """

    classes: int = field(kw_only=True)
    weight: float = field(default=0.1, kw_only=True)
    keep_factor: float = field(default=0.5, kw_only=True)
    radius: float | None = field(default=1.0, kw_only=True)
    target: str = field(default="", kw_only=True)

    def build(self, net: Net, name: str, *x: str) -> str:
        value = self.add(net, ops.Centers(self.classes), name, *x)
        loss = losses.CenterLoss(self.classes, keep_factor=self.keep_factor, radius=self.radius)
        net.terms.append(Term(loss, value, self.target, self.weight))
        return value
