"""The table of what each layer of neon is called in a cortex-train spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...runtime.errors import Unsupported
from ..options import Options
from .activations import IDENTITY
from .description import Entry
from .layer import transform
from .recurrent import KINDS, cell_function
from .spatial import fshape, pool_windows, windows
from .spelled import Parts, Spelled, spells


@spells("Linear")
def _linear(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    made: dict[str, Any] = {"type": "linear", "units": options.whole("nout", least=1)}
    if spelled.rank == 2:
        made["flatten"] = False
    else:
        spelled.rank = 1
    yield made | {"bias": False, "initial": spelled.initial(entry, "kernel")}


@spells("Convolution", "Convolution_bias", "Deconvolution")
def _convolution(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    sizes = fshape(options, last="K" if entry.kind != "Deconvolution" else "C")
    over = windows(options, spelled.rank - 1, sizes)
    made: dict[str, Any] = {
        "type": "transposed_convolutional" if entry.kind == "Deconvolution" else "convolutional",
        "kernel": _told(over.size),
        "filters": sizes["C" if entry.kind == "Deconvolution" else "K"],
        **_unless(1, stride=_told(over.strides)),
        **_unless(0, pad=_told(over.padding)),
    }
    if any(n != 1 for n in over.dilation):
        if entry.kind == "Deconvolution":
            raise options.refuse("dilation")
        made["dilation"] = _told(over.dilation)
    options.ignore("bias")
    biased = entry.kind == "Convolution_bias"
    yield made | {"bias": biased, "initial": spelled.initial(entry, "kernel")}


@spells("Pooling")
def _pooling(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    how = options.get("op", "max")
    names = {"max": "max_pooling", "avg": "average_pooling", "l2": "l2_pooling"}
    if how not in names:
        raise options.refuse("op")
    if options["fshape"] == "all":
        options.ignore("strides", "padding")
        if how == "l2":
            raise options.refuse("op")
        spelled.rank = 1
        yield {"type": f"global_{names[how]}"}
        return
    over = pool_windows(options, spelled.rank - 1)
    made = {"size": _told(over.size), "stride": _told(over.strides)}
    made |= _unless(0, pad=_told(over.padding)) | _unless(False, round_up=spelled.caffe)
    yield {"type": names[how], **made}


@spells("BatchNorm")
def _batch_norm(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    options.ignore("of_samples", "relu")
    if options.get("binary", False):
        raise options.refuse("binary")
    kept, least = options.number("rho", 0.9), options.number("eps", 1e-3)
    yield {"type": "batch_normalization", "keep_factor": kept, "epsilon": least}


@spells("Activation", "DataTransform")
def _activation(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    thing, told = transform(options, "transform")
    told.ignore("c")
    if thing.kind == "Softmax" and (spelled.rank > 2 or told.get("axis", 0) != 0):
        raise options.refuse("transform")
    if thing.kind != IDENTITY:
        if thing.kind not in TRANSFORMS:
            raise options.refuse("transform")
        yield TRANSFORMS[thing.kind](told)
    told.finish()


TRANSFORMS: Mapping[str, Callable[[Options], dict[str, Any]]] = {
    "Rectlin": lambda told: {"type": "relu"} | _unless(0.0, slope=told.number("slope", 0.0)),
    "Rectlinclip": lambda told: (
        {"type": "relu", "limit": told.number("xcut", 20.0)}
        | _unless(0.0, slope=told.number("slope", 0.0))
    ),
    "Explin": lambda told: {"type": "elu"} | _unless(1.0, alpha=told.number("alpha", 1.0)),
    "Logistic": lambda _: {"type": "logistic"},
    "Tanh": lambda _: {"type": "tanh"},
    "Softmax": lambda _: {"type": "softmax"},
    "PixelwiseSoftmax": lambda _: {"type": "softmax"},
    "Normalizer": lambda told: {"type": "scale", "factor": 1 / told.number("divisor", 128.0)},
}


def _told(sizes: Sequence[int]) -> int | list[int]:
    """A size for each axis, or one for all."""
    return sizes[0] if len(set(sizes)) == 1 else list(sizes)


def _unless(usual: float, **given: Any) -> dict[str, Any]:
    """What is not as it is when nothing is said."""
    return {name: value for name, value in given.items() if value != usual}


@spells("Dropout")
def _dropout(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    keep = options.number("keep", 0.5)
    if not spelled.caffe:  # neon scales by what it keeps, after training
        yield {"type": "scale", "factor": keep}
    yield {"type": "dropout", "keep": keep}


@spells("LRN")
def _lrn(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    depth = options.whole("depth", least=1)
    options.ignore("alpha", "beta")
    scale, power = options.number("ascale", 1.0), options.number("bpower", 1.0)
    made = {"size": depth, "k": 1.0, "alpha": scale / depth, "beta": power}
    yield {"type": "local_response_normalization", **made}


@spells("LookupTable")
def _lookup_table(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    spelled.rank = 2
    made: dict[str, Any] = {
        "type": "embedding",
        "vocabulary": options.whole("vocab_size", least=1),
        "units": options.whole("embedding_dim", least=1),
    }
    pad = options.get("pad_idx", None)
    made |= {} if pad is None else {"pad": pad}
    made |= {} if options.get("update", True) else {"frozen": True}
    yield made | {"initial": spelled.initial(entry, "table")}


@spells("Recurrent", "LSTM", "GRU", "BiRNN", "BiLSTM")
def _recurrent(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    if spelled.rank > 2:
        raise Unsupported(f"{options.title}: cortex-train needs a series, not an image, before it")
    if spelled.rank == 1:
        raise Unsupported(f"{options.title}: its input has no steps; give input_shape two sizes")
    if options.get("split_inputs", False):
        raise options.refuse("split_inputs")
    kind = KINDS[entry.kind]
    names = {"Recurrent": "recurrent", "LSTM": "lstm", "GRU": "gru"}
    made: dict[str, Any] = {"type": names[kind], "units": options.whole("output_size", least=1)}
    made["activation"] = cell_function(options, "activation")
    if kind != "Recurrent":
        made["gate_activation"] = cell_function(options, "gate_activation")
    if kind == "LSTM":
        made["forget_bias"] = 0.0
    made["return_sequences"] = True
    keeps = not options.get("reset_cells", False)
    if entry.kind.startswith("Bi"):
        made["bidirectional"] = "concatenate"
        if keeps:
            spelled.notes.append(f"{entry.name!r} begins every batch anew: it reads both ways")
    elif keeps:
        made["stateful"] = True
    inner = "init_inner" if "init_inner" in options else "init"
    start = spelled.initial(entry, "kernel") | spelled.initial(entry, "recurrent_kernel", inner)
    yield made | {"initial": start}


@spells("RecurrentSum", "RecurrentMean", "RecurrentLast")
def _collapse(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    spelled.rank = 1
    yield {"type": "collapse", "how": entry.kind.removeprefix("Recurrent").lower()}


@spells("Reshape")
def _reshape(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    shape: Any = options["reshape"]
    sizes: list[Any] = [shape] if isinstance(shape, int) else list(shape)
    if len(sizes) > 1 or spelled.rank > 1:
        raise Unsupported(f"{options.title}: cortex-train has its channels last: not supported")
    yield {"type": "reshape", "shape": sizes}


@spells("MergeSum", "MergeBroadcast")
def _merge(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    """The layers of all branches, each beginning where the first does, and what joins them."""
    rank, before, ends = spelled.rank, spelled.last, list[str]()
    for branch in entry.branches:
        spelled.rank, spelled.last = rank, before
        for number, made in enumerate(spelled.chain(branch)):
            yield made if number or "inputs" in made else made | {"inputs": [before]}
        ends.append(spelled.last)
    if entry.kind == "MergeSum":
        yield {"type": "join", "operation": "+", "inputs": ends}
        return
    how = options["merge"]
    if how not in JOINS:
        raise options.refuse("merge")
    if how == "stack":
        spelled.rank = 1
    yield {"type": "concatenate", "inputs": ends} | JOINS[how]


JOINS: Mapping[Any, dict[str, Any]] = {
    "depth": {},
    "recurrent": {"axis": 1},
    "stack": {"flat": True},
}


@spells("Bias")
def _alone(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    raise Unsupported(f"{options.title}: it does not follow a layer that has a bias in a spec")


@spells("SkipNode", "BranchNode")
def _skip(spelled: Spelled, entry: Entry, options: Options) -> Parts:
    return iter(())
