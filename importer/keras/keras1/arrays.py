"""The arrays of a layer of Keras 0 or 1, by the names and in the layouts of Keras 2.

They are told by their order: Keras 0 stores no names, and those of Keras 1 follow the same order.
Sources: ``preprocess_weights_for_loading`` of tf_keras 2.21, and ``build`` of the layers of Keras
0.3.3 and 1.0.1 to 1.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....runtime.errors import UnreadableFile
from ...deferred import Array, Deferred, join
from .theano import title

Named = dict[str, Any]
"""Arrays by name; those of each half of a Bidirectional are a mapping in their turn."""

Shape = tuple[int | None, ...]
"""What a shape has to be; None may be any size."""


def arrays(
    kind: str,
    config: Mapping[str, Any],
    stored: Sequence[Deferred],
    *,
    flip: bool = False,
    deviation: bool = False,
) -> Named:
    """The arrays of a translated layer as Keras 2 would have stored them.

    Args:
        kind: the class of Keras 2.
        config: its options, translated.
        stored: what the file holds for the layer, in order.
        flip: turn the kernels of convolutions round, because Theano wrote them.
        deviation: BatchNormalization stores a standard deviation: see ``keras1.keeps_deviation``.

    Returns:
        Deferred arrays by local name; of a Bidirectional ``forward_layer`` and ``backward_layer``,
        with the arrays of each; of a wrapper those of its layer; of a model, or a layer that is not
        known, the arrays as they are stored, by the last part of their names.

    Raises:
        UnreadableFile: too many or too few of them, or not of the sizes that the options ask for.
    """
    options = {"flip": flip, "deviation": deviation}
    if kind == "TimeDistributed":
        inner = config["layer"]
        return arrays(inner["class_name"], inner["config"], stored, **options)
    if kind == "Bidirectional":
        inner, middle = config["layer"], len(stored) // 2
        halves = {"forward_layer": stored[:middle], "backward_layer": stored[middle:]}
        return {
            half: arrays(inner["class_name"], inner["config"], own, **options)
            for half, own in halves.items()
        }
    if kind not in LAYOUTS:
        return {array.name.rpartition("/")[2].removesuffix(":0"): array for array in stored}
    return LAYOUTS[kind](_Layer(kind, config, stored, **options))


@dataclass(frozen=True)
class _Layer:
    """A layer's options and arrays, and the checks that they agree."""

    kind: str
    config: Mapping[str, Any]
    stored: Sequence[Deferred]
    flip: bool
    deviation: bool

    @property
    def bias(self) -> bool:
        return bool(self.config.get("use_bias", True))

    @property
    def units(self) -> int:
        return self.config["units"]

    @property
    def kernel_size(self) -> tuple[int, ...]:
        size = self.config["kernel_size"]
        return (size,) if isinstance(size, int) else tuple(size)

    @property
    def is_first(self) -> bool:
        """Whether channels come first: Theano's order, also of the axes of kernels."""
        return self.config.get("data_format") == "channels_first"

    def named(self, **shapes: Shape) -> Named:
        """The arrays by these names, in order and of these shapes; no bias if it has none."""
        wanted = {n: s for n, s in shapes.items() if self.bias or not n.startswith("bias")}
        self.count(len(wanted))
        for (name, shape), array in zip(wanted.items(), self.stored, strict=True):
            sizes = zip(shape, array.shape, strict=False)
            if len(shape) != len(array.shape) or any(n not in (None, size) for n, size in sizes):
                asked = str(shape).replace("None", "any")
                self.fail(f"its {name} has the shape {array.shape}, its options ask for {asked}")
        return dict(zip(wanted, self.stored, strict=True))

    def count(self, *numbers: int) -> None:
        """Checks how many arrays there are."""
        if len(self.stored) not in numbers:
            wanted = " or ".join(map(str, sorted(set(numbers))))
            self.fail(f"it has {len(self.stored)} arrays, its options ask for {wanted}")

    def rank(self, axes: int, array: Deferred) -> Deferred:
        """An array of so many axes."""
        if len(array.shape) != axes:
            self.fail(f"its array {array.name!r} has the shape {array.shape}, not {axes} axes")
        return array

    def turned(self, kernel: Deferred) -> Deferred:
        """A kernel (spatial axes, …) as others than Theano have it."""
        if not self.flip:
            return kernel
        axes = (slice(None, None, -1),) * len(self.kernel_size)
        return kernel.map(lambda array: array[axes])

    def fail(self, problem: str) -> None:
        raise UnreadableFile(f"{title(self.kind, self.config)}: {problem}")


def _dense(layer: _Layer) -> Named:
    return layer.named(kernel=(None, layer.units), bias=(layer.units,))


def _maxout(layer: _Layer) -> Named:
    count, units = layer.config["nb_feature"], layer.units
    return layer.named(kernel=(count, None, units), bias=(count, units))


def _highway(layer: _Layer) -> Named:
    """Up to 1.1 each bias follows its kernel, then both biases follow both kernels."""
    layer.count(4 if layer.bias else 2)
    stored = sorted(layer.stored, key=lambda array: -len(array.shape))
    size = stored[0].shape[-1] if stored[0].shape else None
    return replace(layer, stored=stored).named(
        kernel=(size, size), kernel_carry=(size, size), bias=(size,), bias_carry=(size,)
    )


def _convolution(layer: _Layer) -> Named:
    layer.count(1 + layer.bias)
    size, filters = layer.kernel_size, layer.config["filters"]
    kernel = layer.rank(max(len(size), 2) + 2, layer.stored[0])
    if layer.kind == "Conv1D":
        kernel = _without_width(kernel, size[0], filters)
    elif layer.is_first:
        kernel = kernel.map(_channels_last)
    turned = replace(layer, stored=[layer.turned(kernel), *layer.stored[1:]])
    return turned.named(kernel=(*size, None, filters), bias=(filters,))


def _without_width(kernel: Deferred, length: int, filters: int) -> Deferred:
    """Keras 1 convolves sequences as images of width 1: (filters, in, length, 1) up to 1.1.

    Later it is (length, 1, in, filters). The rule that tells them apart is that of Keras.
    """
    if kernel.shape[:2] != (length, 1) or kernel.shape[3] != filters:
        kernel = kernel.map(_channels_last)
    return kernel.map(lambda array: array[:, 0])


def _channels_last(kernel: Array) -> Array:
    """(out, in, spatial axes) to (spatial axes, in, out)."""
    return np.moveaxis(kernel, (1, 0), (-2, -1))


def _transposed(layer: _Layer) -> Named:
    layer.count(1 + layer.bias)
    size, filters = layer.kernel_size, layer.config["filters"]
    order = (2, 3, 0, 1) if layer.is_first else (0, 1, 3, 2)
    kernel = layer.rank(4, layer.stored[0]).map(lambda array: array.transpose(order))
    turned = replace(layer, stored=[layer.turned(kernel), *layer.stored[1:]])
    return turned.named(kernel=(*size, filters, None), bias=(filters,))


def _separable(layer: _Layer) -> Named:
    """Only TensorFlow has them, so that nothing is to be turned round."""
    filters, multiplier = layer.config["filters"], layer.config.get("depth_multiplier", 1)
    layer.count(2 + layer.bias)
    kernels = [layer.rank(4, array) for array in layer.stored[:2]]
    if layer.is_first:
        kernels = [kernel.map(_channels_last) for kernel in kernels]
    return replace(layer, stored=[*kernels, *layer.stored[2:]]).named(
        depthwise_kernel=(*layer.kernel_size, None, multiplier),
        pointwise_kernel=(1, 1, None, filters),
        bias=(filters,),
    )


def _locally_connected(layer: _Layer) -> Named:
    filters = layer.config["filters"]
    places = (None,) * len(layer.kernel_size)
    return layer.named(kernel=(None, None, filters), bias=(*places, filters))


LSTM, GRU = (0, 2, 1, 3), (0, 1, 2)
"""Where Keras 0 and 1 store the gates of Keras 2: i, f, c, o among i, c, f, o; z, r, h."""


def _recurrent(*gates: int) -> Callable[[_Layer], Named]:
    """A layer whose gates have three arrays each; with ``consume_less="gpu"`` they are joined."""

    def layout(layer: _Layer) -> Named:
        units, width = layer.units, layer.units * len(gates)
        joined = _joined(layer, gates)
        return replace(layer, stored=joined).named(
            kernel=(None, width), recurrent_kernel=(units, width), bias=(width,)
        )

    return layout


def _joined(layer: _Layer, gates: Sequence[int]) -> Sequence[Deferred]:
    """Kernel, recurrent kernel and bias of all gates, which lie along the last axis."""
    layer.count(3, 3 * len(gates))
    if len(layer.stored) == 3:
        return layer.stored
    try:
        return [join([layer.stored[3 * gate + part] for gate in gates]) for part in range(3)]
    except ValueError as error:
        raise UnreadableFile(f"{title(layer.kind, layer.config)}: its gates: {error}") from None


def _recurrent_convolution(layer: _Layer) -> Named:
    layer.count(12)
    stored: list[Deferred] = []
    for number, array in enumerate(layer.stored):
        is_bias = number % 3 == 2
        last = layer.is_first and not is_bias
        array = layer.rank(1 if is_bias else 4, array)
        array = array.map(_channels_last) if last else array
        stored.append(array if is_bias else layer.turned(array))
    filters, width = layer.config["filters"], 4 * layer.config["filters"]
    return replace(layer, stored=_joined(replace(layer, stored=stored), LSTM)).named(
        kernel=(*layer.kernel_size, None, width),
        recurrent_kernel=(*layer.kernel_size, filters, width),
        bias=(width,),
    )


def _embedding(layer: _Layer) -> Named:
    return layer.named(embeddings=(layer.config["input_dim"], layer.config["output_dim"]))


def _normalization(layer: _Layer) -> Named:
    """Mode 1 stores statistics that it never uses."""
    found = layer.named(gamma=(None,), beta=(None,), moving_mean=(None,), moving_variance=(None,))
    if layer.config.get("mode", 0) == 1:
        return {name: found[name] for name in ("gamma", "beta")}
    if layer.deviation:
        epsilon = float(layer.config["epsilon"])

        def variance(deviation: Array) -> Array:
            """What gives ``sqrt(variance + epsilon)`` where there was deviation + epsilon."""
            exact = (deviation.astype(np.float64) + epsilon) ** 2 - epsilon
            return exact.astype(deviation.dtype)

        found["moving_variance"] = found["moving_variance"].map(variance)
    return found


def _per_unit(*names: str) -> Callable[[_Layer], Named]:
    """Arrays of the shape of the input without its batch."""

    def layout(layer: _Layer) -> Named:
        layer.count(len(names))
        shape = layer.stored[0].shape
        return layer.named(**dict.fromkeys(names, shape))

    return layout


LAYOUTS: Mapping[str, Callable[[_Layer], Named]] = {
    "BatchNormalization": _normalization,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Conv2DTranspose": _transposed,
    "Conv3D": _convolution,
    "ConvLSTM2D": _recurrent_convolution,
    "Dense": _dense,
    "Embedding": _embedding,
    "GRU": _recurrent(*GRU),
    "Highway": _highway,
    "LSTM": _recurrent(*LSTM),
    "LocallyConnected1D": _locally_connected,
    "LocallyConnected2D": _locally_connected,
    "MaxoutDense": _maxout,
    "PReLU": _per_unit("alpha"),
    "ParametricSoftplus": _per_unit("alpha", "beta"),
    "SReLU": _per_unit("t_left", "a_left", "t_right", "a_right"),
    "SeparableConv2D": _separable,
    "SimpleRNN": _recurrent(0),
}
