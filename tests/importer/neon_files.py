"""Writes files of neon: pickles as Python 2 made them, and the facts that neon put into them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MODULES = {
    "container": ("Sequential", "Tree", "SingleOutputTree", "MergeSum", "MergeBroadcast"),
    "recurrent": (
        *("Recurrent", "LSTM", "GRU", "BiRNN", "BiLSTM", "BiSum"),
        *("RecurrentSum", "RecurrentMean", "RecurrentLast"),
    ),
}


def module(kind: str) -> str:
    """The full name of a class of layers."""
    names = [name for name, kinds in MODULES.items() if kind in kinds]
    return f"neon.layers.{names[0] if names else 'layer'}.{kind}"


def transform(kind: str, **config: Any) -> dict[str, Any]:
    """An activation."""
    return {"type": f"neon.transforms.activation.{kind}", "config": config}


def layer(kind: str, name: str, /, **config: Any) -> dict[str, Any]:
    """A layer; ``params`` are its arrays."""
    params = config.pop("params", None)
    made: dict[str, Any] = {"type": module(kind), "config": {"name": name, **config}}
    return made | ({} if params is None else {"params": params, "states": []})


def merge(kind: str, name: str, /, *branches: Sequence[Any], **config: Any) -> dict[str, Any]:
    """A container of branches, each in a Sequential."""
    parts = [layer("Sequential", f"{name}_{i}", layers=[*b]) for i, b in enumerate(branches)]
    made = layer(kind, name, layers=parts, **config)
    return made | {"container": True}


def model(
    layers: Sequence[Any], shape: Any, *, mode: str = "neon", root: str = "", **more: Any
) -> dict[str, Any]:
    """What ``Model.serialize`` of neon gives."""
    top = layers[0] if root else layer("Sequential", "Sequential_0", layers=[*layers])
    state = ("MT19937", np.arange(624, dtype=np.uint32), 5, 0, 0.0)
    return {
        "neon_version": "2.6.0",
        "backend": {"type": "NervanaCPU", "compat_mode": mode, "rng_seed": 1, "rng_state": state},
        "model": top | {"container": True},
        "epoch_index": 3,
        "train_input_shape": shape,
        **more,
    }


def write(path: Path, value: Any) -> Path:
    """Writes a pickle as Python 2 did."""
    path.write_bytes(python2(value))
    return path


def python2(value: Any) -> bytes:
    """Protocol 2, where texts are bytes, and so are the elements of arrays."""
    return b"\x80\x02" + b"".join(_pieces(value)) + b"."


def _pieces(value: Any) -> list[bytes]:
    match value:
        case None:
            return [b"N"]
        case bool():
            return [b"\x88" if value else b"\x89"]
        case int():
            return [b"J" + struct.pack("<i", value)]
        case float():
            return [b"G" + struct.pack(">d", value)]
        case str():
            return [_bytes(value.encode("latin-1"))]
        case tuple():
            return [b"(", *(piece for each in value for piece in _pieces(each)), b"t"]
        case list():
            return [b"](", *(piece for each in value for piece in _pieces(each)), b"e"]
        case np.ndarray():
            return _array(value)
        case Mapping():
            pairs = (each for pair in value.items() for each in pair)
            return [b"}(", *(piece for each in pairs for piece in _pieces(each)), b"u"]
        case _:
            raise TypeError(type(value))


def _bytes(data: bytes) -> bytes:
    if len(data) < 256:
        return b"U" + bytes([len(data)]) + data
    return b"T" + struct.pack("<i", len(data)) + data


def _array(value: np.ndarray[Any, Any]) -> list[bytes]:
    order, kind = value.dtype.newbyteorder("<").str[0], value.dtype.str[1:]
    dtype = [b"cnumpy\ndtype\n", b"(", _bytes(kind.encode()), b"K\x00K\x01tR"]
    dtype += [b"(K\x03", _bytes(order.encode()), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x00tb"]
    return [
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR",
        b"(K\x01",
        *_pieces(tuple(value.shape)),
        *dtype,
        b"\x89",
        _bytes(value.astype(value.dtype.newbyteorder("<")).tobytes()),
        b"tb",
    ]
