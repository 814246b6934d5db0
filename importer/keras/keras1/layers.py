"""A layer of Keras 0 or 1 in the words of Keras 2.

Sources: ``get_config`` of the layers of Keras 0.3.3 and of 1.0.1 to 1.2.2, what their backends do
with it, and ``legacy/interfaces.py`` of Keras 2.0.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....runtime.errors import UnreadableFile, Unsupported
from .theano import Options, Writer, explicit_padding, title

FILTERS = {
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "filter_length": "kernel_size",
    "nb_filter": "filters",
    "subsample": "strides",
    "subsample_length": "strides",
}
POOLING = {"border_mode": "padding", "pool_length": "pool_size", "stride": "strides"}
DENSE = {"bias": "use_bias", "output_dim": "units"}
RECURRENT = {
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "inner_activation": "recurrent_activation",
    "output_dim": "units",
}
RATE = {"p": "rate"}

NAMES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "AtrousConvolution1D": ("Conv1D", FILTERS),
    "AtrousConvolution2D": ("Conv2D", FILTERS),
    "Convolution1D": ("Conv1D", FILTERS),
    "Convolution2D": ("Conv2D", FILTERS),
    "Convolution3D": ("Conv3D", FILTERS),
    "ConvLSTM2D": ("ConvLSTM2D", FILTERS | RECURRENT),
    "Deconvolution2D": ("Conv2DTranspose", FILTERS),
    "LocallyConnected1D": ("LocallyConnected1D", FILTERS),
    "LocallyConnected2D": ("LocallyConnected2D", FILTERS),
    "SeparableConvolution2D": ("SeparableConv2D", FILTERS),
    "Dense": ("Dense", DENSE),
    "Highway": ("Highway", DENSE),
    "MaxoutDense": ("MaxoutDense", DENSE),
    "GRU": ("GRU", RECURRENT),
    "LSTM": ("LSTM", RECURRENT),
    "SimpleRNN": ("SimpleRNN", RECURRENT),
    "Dropout": ("Dropout", RATE),
    "GaussianDropout": ("GaussianDropout", RATE),
    "SpatialDropout1D": ("SpatialDropout1D", RATE),
    "SpatialDropout2D": ("SpatialDropout2D", RATE),
    "SpatialDropout3D": ("SpatialDropout3D", RATE),
    "GaussianNoise": ("GaussianNoise", {"sigma": "stddev"}),
    "Reshape": ("Reshape", {"dims": "target_shape"}),
    "UpSampling1D": ("UpSampling1D", {"length": "size"}),
} | {
    f"{kind}Pooling{n}D": (f"{kind}Pooling{n}D", POOLING)
    for kind in ("Average", "Max")
    for n in (1, 2, 3)
}
"""The class of Keras 2, and how it calls the options that it calls otherwise."""

KERNEL_SIZES = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))

ORDERED = frozenset(
    {"Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D", "LocallyConnected2D", "SeparableConv2D"}
) | {
    f"{kind}{n}D"
    for kind in (
        "AveragePooling", "Cropping", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling",
        "SpatialDropout", "UpSampling", "ZeroPadding",
    )
    for n in (2, 3)
}  # fmt: skip
"""The layers of Keras 2 that have a data_format; in Keras 1 some of them never wrote it."""

DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}

INERT = frozenset({"cache_enabled", "consume_less", "init"})
INERT_ENDINGS = ("_constraint", "_init", "_regularizer")
"""What says how arrays came to be, or how fast to compute."""

SEQUENCES = ("Conv1D", "GRU", "LocallyConnected1D", "LSTM", "SimpleRNN", "TimeDistributed")
FIRST = ("input_dim", "input_length", "input_shape")
"""Options that say the shape of the input, should the layer be the first."""

MERGES: Mapping[str, tuple[str, Options]] = {
    "sum": ("Add", {}),
    "mul": ("Multiply", {}),
    "ave": ("Average", {}),
    "max": ("Maximum", {}),
    "concat": ("Concatenate", {}),
    "dot": ("Dot", {"normalize": False}),
    "cos": ("Dot", {"normalize": True, "expand_dims": 1}),
}
"""A cosine of Keras 1 has one axis more than that of Keras 2, in front of the others."""

SIDES: Mapping[str, tuple[str, ...]] = {
    "ZeroPadding1D": ("left_pad", "right_pad"),
    "ZeroPadding2D": ("top_pad", "bottom_pad", "left_pad", "right_pad"),
}


def translate_layer(kind: str, options: Options, writer: Writer) -> tuple[str, Options]:
    """The class and the options of Keras 2 for a layer that holds no other.

    Options that are not known stay as they are. On Theano, and for ``border_mode`` ``half`` and
    ``full``, ``padding`` becomes explicit wherever none of the names of Keras 2 means the same:
    (before, after) for each spatial axis.

    Raises:
        Unsupported: what Keras 2 cannot express.
        UnreadableFile: options that make no sense.
    """
    if kind == "Merge":
        return _merge(options)
    found = _renamed(kind, options)
    name = NAMES.get(kind, (kind,))[0]
    if name in ORDERED:
        own = found.pop("dim_ordering", None)
        found["data_format"] = DATA_FORMATS.get(own) or DATA_FORMATS[writer.dim_ordering]
    if writer.theano or found.get("padding") in ("half", "full"):
        found |= explicit_padding(name, found, writer)
    change = CHANGES.get(name)
    return (name, found) if change is None else change(found)


def _renamed(kind: str, options: Options) -> Options:
    name, names = NAMES.get(kind, (kind, {}))
    found = {
        names.get(option, option): value
        for option, value in options.items()
        if option not in INERT and not option.endswith(INERT_ENDINGS)
    }
    for sizes in KERNEL_SIZES:
        if "nb_filter" in names and all(size in found for size in sizes):
            found["kernel_size"] = [found.pop(size) for size in sizes]
    if (dtype := found.pop("input_dtype", None)) is not None and kind != "Embedding":
        found["dtype"] = dtype
    if (shape := _input_shape(name, found)) is not None:
        found.setdefault("batch_input_shape", shape)
    own = ("input_dim",) if kind == "Embedding" else ()
    return {option: v for option, v in found.items() if option not in FIRST or option in own}


def _input_shape(name: str, options: Options) -> list[Any] | None:
    """The shape a first layer gives to its input, in the words of versions before 1.0."""
    shape, size, length = (options.get(o) for o in ("input_shape", "input_dim", "input_length"))
    if shape is not None:
        return [None, *shape]
    if name == "Embedding":
        return [None, length]
    if size is None:
        return None
    return [None, length, size] if name in SEQUENCES else [None, size]


def _merge(options: Options) -> tuple[str, Options]:
    mode, kind = options.get("mode", "sum"), options.get("mode_type", "raw")
    if kind != "raw" or mode not in MERGES:
        what = repr(mode) if kind == "raw" else f"a {kind} of Python"
        raise Unsupported(f"{title('Merge', options)}: its mode is {what}, which is not supported")
    name, added = MERGES[mode]
    found = {o: options[o] for o in ("name", "trainable") if o in options} | added
    if name == "Concatenate":
        found["axis"] = options.get("concat_axis", -1)
    elif name == "Dot":
        found["axes"] = _dot_axes(options)
    return name, found


def _dot_axes(options: Options) -> Any:
    """An axis, or one of each tensor; before 1.0 a list of axes of each."""
    axes = options.get("dot_axes", -1)
    if isinstance(axes, int):
        return axes
    lists = [[axis] if isinstance(axis, int) else list(axis) for axis in axes]
    if len(lists) != 2 or any(len(one) != 1 for one in lists):
        raise Unsupported(f"{title('Merge', options)}: dot_axes={axes!r} is not supported")
    return [axis for one in lists for axis in one]


def _transposed(options: Options) -> tuple[str, Options]:
    """Keras 2 computes the size of the output, Keras 1 is told it: [height, width] is kept."""
    shape = options.get("output_shape")
    if not isinstance(shape, list | tuple) or len(shape) != 4:
        where = title("Deconvolution2D", options)
        raise UnreadableFile(f"{where}: its output_shape is {shape!r}, not four sizes")
    spatial = shape[2:] if options["data_format"] == "channels_first" else shape[1:3]
    return "Conv2DTranspose", options | {"output_shape": list(spatial)}


def _padded(kind: str) -> Callable[[Options], tuple[str, Options]]:
    """The sides may be named, or, for two axes, be four numbers."""

    def change(options: Options) -> tuple[str, Options]:
        padding = options.get("padding")
        if isinstance(padding, Mapping):
            padding = [padding.get(side, 0) for side in SIDES[kind]]
        if isinstance(padding, list | tuple) and len(padding) == 4:
            padding = [list(padding[:2]), list(padding[2:])]
        return kind, options | {"padding": padding}

    return change


def _normalized(options: Options) -> tuple[str, Options]:
    """Mode 0 is what Keras 2 does; mode 1 stays, for it is another computation."""
    mode = options.get("mode", 0)
    if mode not in (0, 1):
        raise Unsupported(
            f"{title('BatchNormalization', options)}: mode={mode!r} normalizes with the statistics "
            "of the batch it is given, so that the rows of a batch depend on each other"
        )
    kept = () if mode else ("mode",)
    return "BatchNormalization", {o: v for o, v in options.items() if o not in kept}


def _embedding(options: Options) -> tuple[str, Options]:
    """It could drop words, which only training does."""
    return "Embedding", {option: v for option, v in options.items() if option != "dropout"}


def _gru(options: Options) -> tuple[str, Options]:
    """The reset gate comes before the product; later versions have a choice."""
    return "GRU", options | {"reset_after": False}


def _highway(options: Options) -> tuple[str, Options]:
    """What the bias of the gate began with does not matter."""
    return "Highway", {option: v for option, v in options.items() if option != "transform_bias"}


def _over_time(options: Options) -> tuple[str, Options]:
    """A mean over the steps has a class of its own in Keras 2; the other modes have none."""
    if options.get("mode") != "ave":
        return "TimeDistributedMerge", options
    return "GlobalAveragePooling1D", {o: v for o, v in options.items() if o != "mode"}


CHANGES: Mapping[str, Callable[[Options], tuple[str, Options]]] = {
    "BatchNormalization": _normalized,
    "Conv2DTranspose": _transposed,
    "Embedding": _embedding,
    "GRU": _gru,
    "Highway": _highway,
    "TimeDistributedMerge": _over_time,
    "ZeroPadding1D": _padded("ZeroPadding1D"),
    "ZeroPadding2D": _padded("ZeroPadding2D"),
}
"""What is more than a change of names."""
