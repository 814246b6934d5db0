"""Converters: classes that architectures of keras.applications have of their own."""

from __future__ import annotations

from ....runtime import ops
from ..builder import Value
from ..layer import Layer, keras


@keras("LayerScale")
def layer_scale(layer: Layer, x: Value) -> Value:
    """Each channel times a number of its own."""
    layer.get("init_values", None)
    width = layer["projection_dim"]
    # Neither Keras gives its variable a name: it is variable, variable_1, … through the model.
    stored = (name.rpartition("/")[2] for name in layer.arrays.left())
    gamma = layer.take(gamma="|".join(("gamma", *stored)))["gamma"]
    if gamma.shape != (width,):
        raise layer.refuse("projection_dim", width)
    return layer.add(ops.Multiply(), x, layer.add(ops.Constant(gamma.shape), value=gamma))


@keras("StochasticDepth")
def stochastic_depth(layer: Layer, x: Value) -> Value:
    """A branch that is left out now and then in training."""
    layer.get("drop_path_rate", None)
    return x.masked(None)


@keras("CustomScaleLayer")
def custom_scale(layer: Layer, x: Value, branch: Value) -> Value:
    """A branch that counts less than what it is added to."""
    scaled = layer.through(ops.Scale(layer["scale"]), branch)
    return layer.add(ops.Add(), x, scaled)
