"""Descriptions of neon 0.9 in the words of its second generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.errors import UnreadableFile, Unsupported
from ..options import Options
from .description import Description, Entry, Names, Thing

VERSION = "neon 0.9"
MODELS = ("MLP", "RNN")
LEARNING = ("lrule_init", "brule_init", "backend_type", "accumulate", "skip_act")
LOCAL = ("is_local", "prev_names", "ref_layer", "local_conv", "shared_bias")
TRANSFORMS = {
    "RectLin": "Rectlin",
    "RectLeaky": "Rectlin",
    "Logistic": "Logistic",
    "Tanh": "Tanh",
    "Softmax": "Softmax",
    "Linear": "Identity",
}
OF_PLACES = ("backend", "is_local", "islocal", "backend_type")
"""Options of an initializer that say where its numbers go."""
INITIALIZERS = {
    "UniformValGen": "Uniform",
    "GaussianValGen": "Gaussian",
    "NormalValGen": "Gaussian",
    "NodeNormalizedValGen": "GlorotUniform",
    "OrthoNormalizedValGen": "Orthonormal",
    "IdentityValGen": "IdentityInit",
}


def described(path: Path, document: Mapping[str, Any]) -> Description:
    """A description of an experiment.

    Raises:
        UnreadableFile: it is none.
        Unsupported: its model is none of layers, or a layer has no counterpart; all are named.
    """
    experiment = Thing.of(document, f"{path}: the experiment")
    model = Thing.of(experiment.options.get("model"), f"{path}: its model")
    if model.kind not in MODELS:
        raise Unsupported(f"{path}: a model {model.kind} is not supported, only {MODELS}")
    layers: Any = model.options.get("layers")
    if not isinstance(layers, list) or not layers:
        raise UnreadableFile(f"{path}: its layers are not a list of layers")
    things = [Thing.of(layer, f"{path}: a layer") for layer in layers]
    if unknown := sorted({thing.kind for thing in things} - TRANSLATED.keys()):
        raise Unsupported(f"{path}: no converter for the layers {', '.join(unknown)}")
    facts = {
        "epochs": model.options.get("num_epochs"),
        "batch_size": model.options.get("batch_size"),
    }
    facts["dataset"] = _dataset(experiment)
    found = _Found(path, facts, steps=model.options.get("unrolls") if model.kind == "RNN" else None)
    for number, thing in enumerate(things):
        found.take(thing, number)
    if "cost" in found.facts:
        found.facts["cost"] = _cost_of(found.facts["cost"], found.layers)
    return Description(
        path,
        VERSION,
        tuple(found.layers),
        found.input_shape,
        False,
        {key: value for key, value in found.facts.items() if value is not None},
        tuple(found.notes),
    )


def _dataset(experiment: Thing) -> str | None:
    stored: Any = experiment.options.get("dataset")
    return Thing.of(stored, "the dataset").kind.lower() if stored else None


def _cost_of(stored: Any, layers: Sequence[Entry]) -> Any:
    """The cost; a CrossEntropy is of what the last activation gives."""
    thing = Thing.of(stored, "its cost")
    if thing.kind != "CrossEntropy":
        return stored
    last: Any = layers[-1].options.get("transform", {}) if layers else {}
    kind = "CrossEntropyMulti" if last.get("type") == "Softmax" else "CrossEntropyBinary"
    return {"type": kind, "config": dict(thing.options)}


@dataclass
class _Found:
    """What the layers read so far amount to."""

    path: Path
    facts: dict[str, Any]
    steps: Any = None
    layers: list[Entry] = field(default_factory=list[Entry])
    input_shape: tuple[int, ...] | None = None
    notes: list[str] = field(default_factory=list[str])
    names: Names = field(default_factory=Names)

    def take(self, thing: Thing, number: int) -> None:
        name: Any = thing.options.get("name") or f"layer{number}"
        options = Options(f"{self.path}: layer {str(name)!r} (neon {thing.kind})", thing.options)
        options.ignore("name", *LEARNING, *LOCAL)
        if rule := thing.options.get("lrule_init"):
            self.facts.setdefault("optimizer", rule)
        for kind, part, given in TRANSLATED[thing.kind](self, options):
            own = self.names.of(kind, f"{name}{part}")
            self.layers.append(Entry(kind, own, given, stored=f"{name}_{number}"))
        options.finish()

    def weighted(
        self, options: Options, kind: str, given: dict[str, Any]
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """A product, its bias if it has one, its normalization, its activation."""
        bias, start = _start(options, "weight_init")
        given = given | ({"init": start} if start else {})
        yield kind, "", given
        if bias is not None:
            yield "Bias", "_bias", {"init": {"type": "Constant", "config": {"val": bias}}}
        if options.get("batch_norm", False):
            batch = {"of_samples": self.facts["batch_size"]} if self.facts["batch_size"] else {}
            yield "BatchNorm", "_bnorm", {"rho": 0.99, "eps": 1e-6, **batch}
        yield from self.activated(options)

    def activated(self, options: Options) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The activation of a layer; a Linear one is none."""
        stored: Any = options.get("activation")
        if stored is None:
            return
        thing = Thing.of(stored, f"{options.title}: activation")
        if thing.kind not in TRANSFORMS:
            raise options.refuse("activation")
        given = {key: value for key, value in thing.options.items() if key != "backend_type"}
        transform = {"type": TRANSFORMS[thing.kind], "config": given}
        yield "Activation", f"_{TRANSFORMS[thing.kind]}", {"transform": transform}


def _start(options: Options, option: str) -> tuple[Any, dict[str, Any]]:
    """What a bias begins with, if there is one, and what the weights do."""
    stored: Any = options.get(option)
    if not stored:
        return None, {}
    thing = Thing.of(stored, f"{options.title}: {option}")
    given = {key: value for key, value in thing.options.items() if key not in OF_PLACES}
    bias = given.pop("bias_init", None)
    return bias, {"type": INITIALIZERS.get(thing.kind, thing.kind), "config": given}


Parts = Iterator[tuple[str, str, dict[str, Any]]]
"""The class of each layer that takes the place of one, what its name ends in, and its options."""


def _data(found: _Found, options: Options) -> Parts:
    local = options.get("is_local", False) or "nofm" in options
    options.ignore("has_labels")
    if local:
        shape: Any = options["ofmshape"]
        sizes: list[Any] = [options["nofm"], *(shape if isinstance(shape, list) else [])]
    else:
        sizes = [options["nout"], *([found.steps] if found.steps else [])]
    if not all(isinstance(n, int) and n > 0 for n in sizes):
        raise options.refuse("ofmshape" if local else "nout")
    found.input_shape = tuple(sizes)
    return iter(())


def _fully_connected(found: _Found, options: Options) -> Parts:
    return found.weighted(options, "Linear", {"nout": options["nout"]})


def _recurrent_output(found: _Found, options: Options) -> Parts:
    options.ignore("unrolls")
    return _fully_connected(found, options)


def _convolution(found: _Found, options: Options) -> Parts:
    if options.get("local_conv", False) or not options.get("shared_bias", True):
        raise options.refuse("local_conv" if options.get("local_conv", False) else "shared_bias")
    given = _window(options) | {"strides": options.get("stride", 1)}
    given["fshape"] = [*given["fshape"], options["nofm"]]
    return found.weighted(options, "Convolution", given)


def _window(options: Options) -> dict[str, Any]:
    shape: Any = options["fshape"]
    if not isinstance(shape, list) or len(shape) != 2:
        raise options.refuse("fshape")
    return {"fshape": shape, "padding": options.get("pad", 0)}


def _cross_map_pooling(found: _Found, options: Options) -> Parts:
    return found.weighted(options, "Convolution", {"fshape": [1, 1, options["nofm"]]})


def _pooling(found: _Found, options: Options) -> Parts:
    if options.get("maxout", 1) != 1:
        raise options.refuse("maxout")
    given = _window(options) | {"op": options["op"], "strides": options.get("stride", 1)}
    yield "Pooling", "", given


def _response_norm(found: _Found, options: Options) -> Parts:
    size, scale, power = options["ksize"], options["alpha"], options["beta"]
    yield "LRN", "", {"depth": size, "ascale": scale, "bpower": power}


def _dropout(found: _Found, options: Options) -> Parts:
    yield "Dropout", "", {"keep": options.get("keep", 0.5)}


def _activation(found: _Found, options: Options) -> Parts:
    return found.activated(options)


def _recurrent(kind: str) -> Callable[[_Found, Options], Parts]:
    def translate(found: _Found, options: Options) -> Parts:
        options.ignore("unrolls")
        given: dict[str, Any] = {"output_size": options["nout"]}
        for theirs, ours in (("weight_init", "init"), ("weight_init_rec", "init_inner")):
            if start := _start(options, theirs)[1]:
                given[ours] = start
        for option in ("activation", "gate_activation"):
            if option in options:
                stored = Thing.of(options[option], f"{options.title}: {option}")
                given[option] = TRANSFORMS.get(stored.kind, stored.kind)
        yield kind, "", given

    return translate


def _cost(found: _Found, options: Options) -> Parts:
    options.ignore("raw_label", "category_label")
    found.facts["cost"] = options["cost"]
    reference: Any = options.get("ref_label", "targets")
    if reference == "output":
        found.facts["reconstructs"] = True
    return iter(())


TRANSLATED: Mapping[str, Callable[[_Found, Options], Parts]] = {
    "DataLayer": _data,
    "ImageDataLayer": _data,
    "FCLayer": _fully_connected,
    "ConvLayer": _convolution,
    "CrossMapPoolingLayer": _cross_map_pooling,
    "PoolingLayer": _pooling,
    "CrossMapResponseNormLayer": _response_norm,
    "DropOutLayer": _dropout,
    "ActivationLayer": _activation,
    "RecurrentHiddenLayer": _recurrent("Recurrent"),
    "RecurrentLSTMLayer": _recurrent("LSTM"),
    "RecurrentOutputLayer": _recurrent_output,
    "CostLayer": _cost,
    "RecurrentCostLayer": _cost,
}
