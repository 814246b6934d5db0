"""Networks of Caffe as the tests write them: text, both binary forms, and what they compute."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .caffe_reference import compute

Array = NDArray[Any]


class Word(str):
    """An enumerator: it stands in text without quotes."""


PARAMS: Mapping[str, tuple[str, int, int]] = {
    "Convolution": ("convolution_param", 106, 10), "Deconvolution": ("convolution_param", 106, 10),
    "Pooling": ("pooling_param", 121, 19), "InnerProduct": ("inner_product_param", 117, 17),
    "LRN": ("lrn_param", 118, 18), "ReLU": ("relu_param", 123, 30),
    "Dropout": ("dropout_param", 108, 12), "Concat": ("concat_param", 104, 9),
    "Eltwise": ("eltwise_param", 110, 24), "Softmax": ("softmax_param", 125, 39),
    "SoftmaxWithLoss": ("softmax_param", 125, 39), "BatchNorm": ("batch_norm_param", 139, 0),
    "Scale": ("scale_param", 142, 0), "Slice": ("slice_param", 126, 31),
    "Crop": ("crop_param", 144, 0), "Power": ("power_param", 122, 21),
    "Reshape": ("reshape_param", 133, 0), "Flatten": ("flatten_param", 135, 0),
    "ELU": ("elu_param", 140, 0), "PReLU": ("prelu_param", 131, 0), "Exp": ("exp_param", 111, 41),
    "Log": ("log_param", 134, 0), "Threshold": ("threshold_param", 128, 25),
    "MVN": ("mvn_param", 120, 34), "Normalize": ("norm_param", 206, 0),
    "Bias": ("bias_param", 141, 0),
    "Permute": ("permute_param", 202, 0), "Tile": ("tile_param", 138, 0),
    "Reduction": ("reduction_param", 136, 0), "ArgMax": ("argmax_param", 103, 23),
    "Embed": ("embed_param", 137, 0), "Clip": ("clip_param", 148, 0),
    "Swish": ("swish_param", 147, 0),
}  # fmt: skip
"""Where each type has its options: what the field is called, its number, its number of old."""

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "convolution_param": {
        "num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6,
        "kernel_h": 11, "kernel_w": 12, "dilation": 18,
    },
    "pooling_param": {
        "pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "kernel_h": 5, "kernel_w": 6,
        "stride_h": 7, "stride_w": 8, "global_pooling": 12, "round_mode": 13,
    },
    "inner_product_param": {"num_output": 1, "bias_term": 2, "axis": 5, "transpose": 6},
    "lrn_param": {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5},
    "relu_param": {"negative_slope": 1}, "dropout_param": {"dropout_ratio": 1, "scale_train": 2},
    "concat_param": {"concat_dim": 1, "axis": 2}, "eltwise_param": {"operation": 1, "coeff": 2},
    "softmax_param": {"axis": 2}, "batch_norm_param": {"use_global_stats": 1, "eps": 3},
    "scale_param": {"axis": 1, "num_axes": 2, "bias_term": 4},
    "crop_param": {"axis": 1, "offset": 2},
}  # fmt: skip
"""The numbers of the fields that are written in binary."""
VALUES: Mapping[str, int] = {
    "MAX": 0, "AVE": 1, "PROD": 0, "SUM": 1, "ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1,
    "FLOOR": 1,
}  # fmt: skip
V1_TYPES: Mapping[str, tuple[str, int]] = {
    "Convolution": ("CONVOLUTION", 4), "Pooling": ("POOLING", 17), "ReLU": ("RELU", 18),
    "InnerProduct": ("INNER_PRODUCT", 14), "LRN": ("LRN", 15), "Softmax": ("SOFTMAX", 20),
    "SoftmaxWithLoss": ("SOFTMAX_LOSS", 21), "Dropout": ("DROPOUT", 6), "Concat": ("CONCAT", 3),
    "Data": ("DATA", 5), "Eltwise": ("ELTWISE", 25), "TanH": ("TANH", 23), "Power": ("POWER", 26),
}  # fmt: skip


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def wire(number: int, value: Any) -> bytes:
    """A field of a message: whole numbers, floats, text, messages already written."""
    if isinstance(value, bool | int):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def blob(array: Array, legacy: bool = False) -> bytes:
    """A BlobProto; ``legacy``: of four sizes, as before 2015."""
    raw = np.ascontiguousarray(array, "<f4").tobytes()
    if legacy:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(wire(i, n) for i, n in enumerate(shape, 1)) + wire(5, raw)
    return wire(5, raw) + wire(7, wire(1, b"".join(varint(n) for n in array.shape)))


@dataclass
class Net:
    """A network as it is written down, and what it computes of its inputs."""

    inputs: Mapping[str, Array]
    name: str = "net"
    seed: int = 3
    blobs: dict[str, Array] = field(default_factory=dict[str, Array])
    layers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    outputs: dict[str, Array] = field(default_factory=dict[str, Array])
    """Of each layer."""

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.blobs.update({name: x.astype(np.float64) for name, x in self.inputs.items()})

    def weights(self, *shape: int) -> Array:
        return (self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:]) + 1)).astype("f4")

    def add(
        self, name: str, kind: str, bottoms: str, tops: str = "", *arrays: Array, **options: Any
    ) -> str:
        """Adds a layer; bottoms and tops are blobs with spaces between them."""
        x = [self.blobs[blob] for blob in bottoms.split()]
        w = [np.asarray(array, np.float64) for array in arrays]
        y = compute(kind, x, options, w)
        names = (tops or name).split()
        for i, (top, value) in enumerate(zip(names, y, strict=True)):
            self.blobs[top] = value
            self.outputs[f"{name}#{i}" if i else name] = value
        self.layers.append(
            {"name": name, "type": kind, "bottom": bottoms.split(), "top": names,
             "options": options, "arrays": arrays}
        )  # fmt: skip
        return names[0]

    def conv(self, name: str, x: str, filters: int, size: int, **options: Any) -> str:
        channels = self.blobs[x].shape[1] // options.get("group", 1)
        arrays = [self.weights(filters, channels, size, size)]
        arrays += [self.weights(filters)] * options.get("bias_term", True)
        options = {"num_output": filters, "kernel_size": size, **options}
        return self.add(name, "Convolution", x, "", *arrays, **options)

    def dense(self, name: str, x: str, units: int) -> str:
        inputs = self.blobs[x][0].size
        arrays = self.weights(units, inputs), self.weights(units)
        return self.add(name, "InnerProduct", x, "", *arrays, num_output=units)

    def prototxt(self, v1: bool = False, header: str | None = None) -> str:
        """The architecture in text."""
        if header is None:
            header = _inputs(self.inputs)
        layers = [_layer_text(layer, v1) for layer in self.layers]
        return "\n".join([f'name: "{self.name}"  # written by a test', header, *layers])

    def caffemodel(self, v1: bool = False, before: bytes = b"", legacy: bool = False) -> bytes:
        """The weights, with their layers; ``before`` are layers already written."""
        layers = [_layer_bytes(layer, v1, legacy) for layer in self.layers]
        return wire(1, self.name) + before + b"".join(layers)

    def reference(self, path: Path) -> None:
        """Writes what the layers compute as a reference file."""
        with h5py.File(path, "w") as file:
            for name, x in self.inputs.items():
                file[f"inputs/{name}"] = x
            for name, value in self.outputs.items():
                file[f"layer_outputs/{name.replace('/', '|')}"] = value.astype(np.float32)
            for i, blob in enumerate(self.left()):
                file[f"outputs/{i}"] = self.blobs[blob].astype(np.float32)

    def left(self) -> list[str]:
        """The blobs that no layer reads: the outputs."""
        found: dict[str, None] = {}
        for layer in self.layers:
            for blob in layer["bottom"]:
                found.pop(blob, None)
            found |= dict.fromkeys(layer["top"])
        return [blob for blob in found if blob in self.blobs]

    def write(self, folder: Path, v1: bool = False, legacy: bool = False) -> tuple[Path, Path]:
        """The prototxt and the caffemodel, and beside them the reference."""
        text, weights = folder / f"{self.name}.prototxt", folder / f"{self.name}.caffemodel"
        text.write_text(self.prototxt(v1))
        weights.write_bytes(self.caffemodel(v1, legacy=legacy))
        self.reference(folder / f"{self.name}.reference.h5")
        return text, weights


def _inputs(inputs: Mapping[str, Array]) -> str:
    """With four sizes each as before 2015; other shapes have a field of their own."""
    names = text({"input": list(inputs)}, "")
    if all(x.ndim == 4 for x in inputs.values()):
        return names + text({"input_dim": [n for x in inputs.values() for n in x.shape]}, "")
    return names + text({"input_shape": [{"dim": list(x.shape)} for x in inputs.values()]}, "")


def _layer_text(layer: Mapping[str, Any], v1: bool) -> str:
    kind: Any = Word(V1_TYPES[layer["type"]][0]) if v1 else layer["type"]
    fields = {"name": layer["name"], "type": kind, "bottom": layer["bottom"], "top": layer["top"]}
    if layer["options"]:
        fields[PARAMS[layer["type"]][0]] = _enumerators(layer["options"])
    return f"{'layers' if v1 else 'layer'} {{\n{text(fields)}}}\n"


def _enumerators(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: Word(v) if isinstance(v, str) else v for name, v in options.items()}


def text(fields: Mapping[str, Any], indent: str = "  ") -> str:
    """A message in text."""
    lines: list[str] = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                lines.append(f"{indent}{name} {{\n{text(one, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_scalar(one)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, Word):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _layer_bytes(layer: Mapping[str, Any], v1: bool, legacy: bool) -> bytes:
    name, kind, bottom, top, blobs = (4, 5, 2, 3, 6) if v1 else (1, 2, 3, 4, 7)
    parts = [wire(name, layer["name"])]
    parts += [wire(kind, V1_TYPES[layer["type"]][1] if v1 else layer["type"])]
    parts += [wire(bottom, one) for one in layer["bottom"]]
    parts += [wire(top, one) for one in layer["top"]]
    parts += [wire(blobs, blob(array, legacy)) for array in layer["arrays"]]
    where = PARAMS.get(layer["type"])
    if where and where[0] in NUMBERS:
        number = where[2] if v1 else where[1]
        parts.append(wire(number, _options(where[0], layer["options"])))
    return wire(2 if v1 else 100, b"".join(parts))


def _options(param: str, options: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, value in options.items():
        values: list[Any] = value if isinstance(value, list) else [value]
        for one in values:
            number = VALUES[one] if isinstance(one, str) else one
            parts.append(wire(NUMBERS[param][name], number))
    return b"".join(parts)
