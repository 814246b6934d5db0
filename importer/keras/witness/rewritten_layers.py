"""A layer of a file as a layer of real Keras 3: its options made arguments, its arrays assigned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from ....runtime.check import Array
from ....runtime.errors import Unsupported
from ..arrays import Arrays, snake_case
from ..keras1 import translate
from ..layer import INERT, INERT_ENDINGS, NEUTRAL
from ..origin import Origin
from ..wiring import MODELS, inner_facts
from .vanished import MERGES, vanished

Options = dict[str, Any]
FindArrays = Callable[[], Arrays]

MEANT = {"Embedding": ("input_dim",)}
"""Options that say something for these classes alone."""
REPEATED = (
    "cell_size", "implementation", "key_shape", "max_batch_size", "query_shape", "state_size",
    "unit_forget_bias", "value_shape", "output_mode_type", "sparsity",
)  # fmt: skip
"""Options that repeat others, or matter in training alone."""
TURNED = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D")
RECURRENT = ("SimpleRNN", "LSTM", "GRU", "CuDNNLSTM", "CuDNNGRU")
OF_APPLICATIONS = {
    "LayerScale": "convnext", "StochasticDepth": "convnext",
    "CustomScaleLayer": "inception_resnet_v2",
}  # fmt: skip
"""Layers that Keras has for its own architectures alone, and the modules they lie in."""


@dataclass
class Maker:
    """Makes layers of real Keras, and remembers how to give them their arrays."""

    keras: Any
    origin: Origin
    model: Callable[[str, Any, FindArrays], Any]
    """Makes a model that lies inside a wrapper; its arrays are assigned."""
    done: set[int] = field(default_factory=set[int])
    """Layers inside others whose arrays are assigned already, by id."""

    def __post_init__(self) -> None:
        self._vanished = vanished(self.keras, self.origin)
        self._hard_sigmoid = _hard_sigmoid(self.keras)

    def layer(self, kind: str, config: Any, arrays: FindArrays) -> Any:
        """A layer that computes what the file's layer does.

        Raises:
            Unsupported: Keras 3 cannot express it.
        """
        if kind in MODELS:
            inner = self.model(kind, config, arrays)
            self.done.add(id(inner))
            return inner
        options = self._options(kind, config)
        try:
            return self._made(kind, options, arrays)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            said = str(error).strip().splitlines()
            raise Unsupported(f"Keras 3 has no {kind} with these options: {said[:1]}") from None

    def _made(self, kind: str, options: Options, arrays: FindArrays) -> Any:
        layers: Any = self.keras.layers
        match kind:
            case "Bidirectional":
                return self._bidirectional(options, arrays)
            case "TimeDistributed":
                return layers.TimeDistributed(self._inside(options["layer"], arrays))
            case "Merge":
                return self._inside(translate({"class_name": kind, "config": options}), arrays)
            case "RNN":
                options["cell"] = self._inside(options["cell"], arrays)
                return layers.RNN(**options)
            case "StackedRNNCells":
                return layers.StackedRNNCells([self._inside(c, arrays) for c in options["cells"]])
            case "GRU" | "GRUCell" | "CuDNNGRU":
                options["reset_after"] = self._resets_after(kind, options, arrays)
            case "BatchNormalization" if options.pop("mode", 0) == 1:
                return self._vanished["BatchNormalizationBySample"](options)
            case _ if isinstance(options.get("padding"), list) and kind in PADDED:
                return self._padded(kind, options, arrays)
            case _:
                pass
        if kind in self._vanished and (kind not in MERGES or self.origin.is_before(3, 4)):
            return self._vanished[kind](options)
        own = OF_APPLICATIONS.get(kind)
        known = import_module(f"keras.src.applications.{own}") if own else layers
        return getattr(known, kind.removeprefix("CuDNN")).from_config(options)

    def _inside(self, entry: Any, arrays: FindArrays) -> Any:
        facts = inner_facts(entry)
        return self.layer(facts.kind, facts.config, arrays)

    def _options(self, kind: str, config: Any) -> Options:
        """What is left of a layer's options, in the words of Keras 3."""
        meant = MEANT.get(kind, ())
        options = {
            option: value
            for option, value in config.items()
            if option in meant or not (_is_inert(option) or value in NEUTRAL.get(option, ()))
        }
        if self.origin.generation < 3:
            gated = kind in ("LSTM", "GRU", "LSTMCell", "GRUCell", "ConvLSTM2D")
            if gated and not self.origin.is_tf_keras:
                options.setdefault("recurrent_activation", "hard_sigmoid")
            for option in ("activation", "recurrent_activation"):
                if options.get(option) == "hard_sigmoid":
                    options[option] = self._hard_sigmoid
            if kind.startswith("ConvLSTM"):  # it did not heed it
                options.pop("zero_output_for_mask", None)
        if kind == "BatchNormalization" and isinstance(options.get("axis"), list):
            (options["axis"],) = options["axis"]
        return options

    def _bidirectional(self, options: Options, arrays: FindArrays) -> Any:
        entry = options["layer"]
        made: dict[str, Any] = {"merge_mode": options.get("merge_mode", "concat")}
        forward = self._inside(entry, lambda: half(arrays(), 0))
        if options.get("backward_layer"):
            backward = self._inside(options["backward_layer"], lambda: half(arrays(), 1))
            made["backward_layer"] = backward
        layer = self.keras.layers.Bidirectional(forward, **made)
        if self.origin.generation < 3 and not self.origin.is_tf_keras:
            for one in (layer.forward_layer, layer.backward_layer):
                one.zero_output_for_mask = False
        return layer

    def _resets_after(self, kind: str, options: Options, arrays: FindArrays) -> bool:
        """The shape of the bias is surer than the option, which old files lack."""
        bias = arrays().find("bias") if options.get("use_bias", True) else None
        if bias is not None:
            return len(bias.shape) == 2 or bias.shape[0] == 6 * options["units"]
        return bool(options.get("reset_after", kind == "CuDNNGRU" or self.origin.generation > 2))

    def _padded(self, kind: str, options: Options, arrays: FindArrays) -> Any:
        """A layer after so much padding as Theano does."""
        layers, ops = self.keras.layers, self.keras.ops
        padding = [tuple(pair) for pair in options.pop("padding")]
        first = options.get("data_format") == "channels_first"
        around = [(0, 0), *([(0, 0)] * first), *padding, *([(0, 0)] * (not first))]
        inner = self.layer(kind, {**options, "padding": "valid"}, arrays)

        class Padded(layers.Wrapper):
            def build(self, shape: Any) -> None:
                inner.build(tuple(
                    None if n is None else n + sum(pair)
                    for n, pair in zip(shape, around, strict=True)
                ))  # fmt: skip
                self.built = True

            def call(self, x: Any) -> Any:
                outside = -np.inf if kind.startswith("Max") else 0.0
                y = inner(ops.pad(x, around, constant_values=outside))
                if not kind.startswith("Average"):
                    return y
                return y / inner(ops.pad(ops.ones_like(x), around))

        return Padded(inner)


def _hard_sigmoid(keras: Any) -> Any:
    """That of Keras 1 and 2; registered, for a Bidirectional copies what it is given."""

    @keras.saving.register_keras_serializable("cortex")
    def hard_sigmoid(x: Any) -> Any:
        return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)

    return hard_sigmoid


def _is_inert(option: str) -> bool:
    inert = INERT | {*REPEATED, "dtype", "name"}
    return option in inert or option.endswith(INERT_ENDINGS)


PADDED = (*(f"Conv{n}D" for n in (1, 2, 3)),
          *(f"{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)))  # fmt: skip


def half(arrays: Arrays, index: int) -> Arrays:
    """The arrays of one direction of a Bidirectional."""
    name = ("forward", "backward")[index]
    return arrays.part(f"{name}_layer", name) or arrays.half(index)


def assign(maker: Maker, layer: Any, kind: str, arrays: Arrays) -> None:
    """Gives a layer that was called its arrays, and those inside it theirs.

    Raises:
        Unsupported: an array is missing, or of another shape.
    """
    variables = (*layer._trainable_variables, *layer._non_trainable_variables)
    left = [name.rpartition("/")[2] for name in arrays.left()]
    for variable in variables:
        name = str(variable.name)
        wanted = ALIASES.get((layer.__class__.__name__, name), name)
        if len(variables) == len(left) == 1:  # its name may be one that Keras made up
            wanted = f"{wanted}|{left[0]}"
        stored = arrays.take(wanted)
        if stored is None:
            raise Unsupported(f"the array {variable.name!r} of Keras {kind} is missing")
        array = _as_keras_3(maker, layer, kind, variable, np.asarray(stored))
        if tuple(array.shape) != tuple(variable.shape):
            raise Unsupported(
                f"the array {variable.name!r} of Keras {kind} has the shape {array.shape}, "
                f"Keras 3 wants {tuple(variable.shape)}"
            )
        variable.assign(array)
    for inner, share in _inside(layer, arrays):
        if id(inner) not in maker.done:
            own = inner.__class__.__name__
            assign(maker, inner, kind if kind.startswith("CuDNN") else own, share)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


ALIASES = {
    ("DepthwiseConv1D", "kernel"): "depthwise_kernel|kernel",
    ("DepthwiseConv2D", "kernel"): "depthwise_kernel|kernel",
}


def _inside(layer: Any, arrays: Arrays) -> Iterator[tuple[Any, Arrays]]:
    """The layers inside one, each with its share of the arrays."""
    kind = layer.__class__.__name__
    if kind == "Bidirectional":
        yield layer.forward_layer, half(arrays, 0)
        yield layer.backward_layer, half(arrays, 1)
    elif kind == "StackedRNNCells":
        each = len(arrays) // len(layer.cells)
        for number, cell in enumerate(layer.cells):
            name = snake_case(cell.__class__.__name__)
            found = arrays.part(f"{name}_{number}" if number else name)
            share = arrays.stored[number * each : (number + 1) * each]
            yield cell, found or Arrays(share, arrays.taken)
    else:
        inner = [one for one in layer._layers if one.weights]
        for one in inner:
            found = arrays.part(*_names(layer, one))
            yield one, found or (arrays if len(inner) == 1 else Arrays())


def _names(layer: Any, inner: Any) -> Iterator[str]:
    yield inner.name
    yield from (name.strip("_") for name, value in vars(layer).items() if value is inner)


def _as_keras_3(maker: Maker, layer: Any, kind: str, variable: Any, array: Array) -> Array:
    """The array as Keras 3 stores it."""
    name, own = variable.name, layer.__class__.__name__
    if maker.origin.turns_kernels and own in (*TURNED, "ConvLSTMCell") and "kernel" in name:
        return array[(slice(None, None, -1),) * (array.ndim - 2)]
    gates = {"LSTMCell": 4, "GRUCell": 3}.get(own)
    if gates and (kind.startswith("CuDNN") or _has_two_biases(layer, name, array, gates)):
        return _from_cudnn(name, array, gates)
    return array


def _has_two_biases(layer: Any, name: str, array: Array, gates: int) -> bool:
    return name == "bias" and array.shape == (2 * gates * layer.units,)


def _from_cudnn(name: str, array: Array, gates: int) -> Array:
    """Each gate's kernel is stored transposed; two biases follow each other."""
    parts = np.split(array, gates, axis=-1)
    match name:
        case "kernel":
            return np.concatenate([k.T.reshape(k.shape, order="F") for k in parts], axis=-1)
        case "recurrent_kernel":
            return np.concatenate([k.T for k in parts], axis=-1)
        case _ if gates == 4:
            return array.reshape(2, -1).sum(0)
        case _:
            return array.reshape(2, -1)
