"""Layers that Keras 3 no longer has, or has otherwise, written from their definitions.

They take the options of Keras 2 and name their arrays as Keras 2 does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from itertools import product
from typing import Any

from ..origin import Origin

Options = Mapping[str, Any]

MERGES = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
MINDFUL = ("Maximum", "Minimum", "Multiply")
"""Those whose numbers depend on the masks of their inputs since Keras 3.4."""


def vanished(keras: Any, origin: Origin) -> Mapping[str, Callable[[Options], Any]]:
    """A maker for each class, of real Keras 3 layers; ``origin`` is that of the file."""
    return {**_per_unit(keras), **_dense(keras), **_local(keras), **_merges(keras, origin)}


def _per_unit(keras: Any) -> Mapping[str, Callable[[Options], Any]]:
    ops: Any = keras.ops

    class PerUnit(keras.layers.Layer):
        """A function of a tensor and of arrays of its shape without the batch."""

        def __init__(self, names: tuple[str, ...], function: Callable[..., Any]) -> None:
            super().__init__()
            self.arrays, self.function, self.supports_masking = names, function, True

        def build(self, shape: Any) -> None:
            self.held = [self.add_weight(shape=shape[1:], name=name) for name in self.arrays]

        def call(self, x: Any) -> Any:
            return self.function(x, *self.held)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    def s_relu(x: Any, low: Any, below: Any, distance: Any, above: Any) -> Any:
        high = low + ops.abs(distance)
        upper = high + above * (x - high)
        lower = low + below * (x - low)
        return ops.where(x >= high, upper, ops.where(x <= low, lower, x))

    def thresholded(theta: float) -> Callable[[Any], Any]:
        return lambda x: ops.where(x > theta, x, ops.zeros_like(x))

    def softplus(x: Any, alpha: Any, beta: Any) -> Any:
        return alpha * ops.softplus(beta * x)

    return {
        "ParametricSoftplus": lambda _: PerUnit(("alpha", "beta"), softplus),
        "SReLU": lambda _: PerUnit(("t_left", "a_left", "t_right", "a_right"), s_relu),
        "ThresholdedReLU": lambda o: PerUnit((), thresholded(_number(o.get("theta", 1.0)))),
    }


def _number(value: Any) -> float:
    return float(value["value"] if isinstance(value, dict) else value)


def _dense(keras: Any) -> Mapping[str, Callable[[Options], Any]]:
    ops: Any = keras.ops

    class MaxoutDense(keras.layers.Layer):
        """The largest of several dense layers' outputs."""

        def __init__(self, options: Options) -> None:
            super().__init__()
            self.units, self.count = options["units"], options["nb_feature"]
            self.use_bias = options.get("use_bias", True)

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(self.count, shape[-1], self.units), name="kernel")
            if self.use_bias:
                self.bias = self.add_weight(shape=(self.count, self.units), name="bias")

        def call(self, x: Any) -> Any:
            each = ops.einsum("ni,kio->nko", x, self.kernel)
            return ops.max(each + self.bias if self.use_bias else each, axis=1)

    class Highway(keras.layers.Layer):
        """A dense layer and its input, mixed by a gate."""

        def __init__(self, options: Options) -> None:
            super().__init__()
            self.activation = keras.activations.get(options.get("activation"))
            self.use_bias = options.get("use_bias", True)

        def build(self, shape: Any) -> None:
            size = shape[-1]
            for name in ("kernel", "kernel_carry"):
                setattr(self, name, self.add_weight(shape=(size, size), name=name))
            for name in ("bias", "bias_carry") if self.use_bias else ():
                setattr(self, name, self.add_weight(shape=(size,), name=name))

        def call(self, x: Any) -> Any:
            h, t = x @ self.kernel, x @ self.kernel_carry
            if self.use_bias:
                h, t = h + self.bias, t + self.bias_carry
            t = ops.sigmoid(t)
            return t * self.activation(h) + (1 - t) * x

    class BySample(keras.layers.Layer):
        """BatchNormalization of mode 1."""

        def __init__(self, epsilon: float) -> None:
            super().__init__()
            self.epsilon = epsilon

        def build(self, shape: Any) -> None:
            self.gamma = self.add_weight(shape=shape[-1:], name="gamma")
            self.beta = self.add_weight(shape=shape[-1:], name="beta")

        def call(self, x: Any) -> Any:
            deviation = ops.sqrt(ops.var(x, axis=-1, keepdims=True) + self.epsilon)
            scaled = (x - ops.mean(x, axis=-1, keepdims=True)) / (deviation + self.epsilon)
            return self.gamma * scaled + self.beta

    return {
        "BatchNormalizationBySample": lambda o: BySample(o.get("epsilon", 1e-3)),
        "Highway": Highway,
        "MaxoutDense": MaxoutDense,
    }


def _local(keras: Any) -> Mapping[str, Callable[[Options], Any]]:
    ops: Any = keras.ops

    class LocallyConnected(keras.layers.Layer):
        """A convolution whose kernel is another one at each place."""

        def __init__(self, options: Options, axes: int) -> None:
            super().__init__()
            self.size = _per_axis(options["kernel_size"], axes)
            self.strides = _per_axis(options.get("strides", 1), axes)
            self.filters, self.use_bias = options["filters"], options.get("use_bias", True)
            self.activation = keras.activations.get(options.get("activation"))
            self.is_first = options.get("data_format") == "channels_first"
            if options.get("padding", "valid") != "valid" or options.get("implementation", 1) != 1:
                raise ValueError("a locally connected layer of another padding or implementation")

        def build(self, shape: Any) -> None:
            spatial = shape[2:] if self.is_first else shape[1:-1]
            sizes = zip(spatial, self.size, self.strides, strict=True)
            self.places = [(n - k) // s + 1 for n, k, s in sizes]
            channels = shape[1] if self.is_first else shape[-1]
            count, width = _product(self.places), _product(self.size) * channels
            self.kernel = self.add_weight(shape=(count, width, self.filters), name="kernel")
            if self.use_bias:
                self.bias = self.add_weight(shape=(*self.places, self.filters), name="bias")

        def call(self, x: Any) -> Any:
            rows: list[Any] = []
            for place in product(*map(range, self.places)):
                every = zip(place, self.size, self.strides, strict=True)
                window = tuple(slice(i * s, i * s + k) for i, k, s in every)
                patch = x[(slice(None), slice(None), *window) if self.is_first else
                          (slice(None), *window)]  # fmt: skip
                rows.append(ops.reshape(patch, (x.shape[0], -1)))
            y = ops.einsum("pni,pio->npo", ops.stack(rows), self.kernel)
            y = ops.reshape(y, (x.shape[0], *self.places, self.filters))
            y = self.activation(y + self.bias if self.use_bias else y)
            return ops.moveaxis(y, -1, 1) if self.is_first else y

    return {
        "LocallyConnected1D": lambda o: LocallyConnected(o, 1),
        "LocallyConnected2D": lambda o: LocallyConnected(o, 2),
    }


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _product(numbers: Any) -> int:
    return reduce(lambda a, b: a * b, numbers, 1)


def _merges(keras: Any, origin: Origin) -> Mapping[str, Callable[[Options], Any]]:
    """The merging layers up to Keras 3.3, with their masks: what all inputs keep, or none."""
    ops: Any = keras.ops

    def every(inputs: Any, masks: Any) -> Any:
        kept = [mask for mask in masks or () if mask is not None]
        return reduce(ops.logical_and, kept) if kept else None

    def side_by_side(inputs: Any, masks: Any, axis: int) -> Any:
        if all(mask is None for mask in masks or ()):
            return None
        whole = [ops.ones_like(x, dtype="bool") for x in inputs]
        kept = [
            one if mask is None else ops.logical_and(ops.expand_dims(mask, -1), one)
            for mask, one in zip(masks, whole, strict=True)
        ]
        return ops.all(ops.concatenate(kept, axis=axis), axis=-1)

    def merging(kind: str) -> Callable[[Options], Any]:
        class Merging(getattr(keras.layers, kind)):
            def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
                if origin.loses_masks_of_lists:
                    return None
                if kind == "Concatenate":
                    return side_by_side(inputs, mask, self.axis)
                return every(inputs, mask)

            def _merge_function(self, inputs: Any) -> Any:
                # Today's Keras leaves out what is masked.
                if kind in MINDFUL:
                    return reduce(getattr(ops, kind.lower()), inputs)
                return super()._merge_function(inputs)

        return lambda options: Merging(**options)

    return {kind: merging(kind) for kind in MERGES}
