"""What a file is, by its first bytes: the names of files are often wrong."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import Literal, get_args

from ..runtime.hdf5.stretch import Stretch

Kind = Literal[
    "hdf5", "zip", "directory", "json", "yaml", "neon", "nippy", "numpy", "caffemodel", "prototxt",
    "pickle", "pytorch", "safetensors", "savedmodel", "checkpoint", "onnx", "tflite", "tensorflow",
    "gzip", "lfs", "html", "link", "text", "folder", "empty", "unknown",
]  # fmt: skip

ENOUGH = 64 << 10  # bytes

ZIP = b"PK\x03\x04"
MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (ZIP, "zip"),
    (b"NPY", "nippy"),
    (b"\x93NUMPY", "numpy"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "pytorch"),
    (b"\x1f\x8b", "gzip"),
    (b"version https://git-lfs", "lfs"),
)

# Protocol buffers have no magic: these are the first field's key and what follows it.
PATTERNS: tuple[tuple[bytes, Kind], ...] = (
    (rb"\x80[\x02-\x05]", "pickle"),
    (rb".{8}\{\s*\"", "safetensors"),
    (rb".{4}TFL3", "tflite"),
    (rb"\x08\x01\x12", "tensorflow"),  # a SavedModel, version 1
    (rb"\n[\x01-\xff]{1,3}\n.\w+\x12", "tensorflow"),  # a frozen graph: its first node
    # A network of Caffe without a name: its first layer, of either form.
    (rb"\xa2\x06[\x80-\xff]{0,4}[\x00-\x7f]\n", "caffemodel"),
    (rb"\x12[\x80-\xff]{0,4}[\x00-\x7f][\x12\x1a\"]", "caffemodel"),
)

TEXTS: tuple[tuple[str, Kind], ...] = (
    (r"\A\s*([{\[]|\"\s*\{)", "json"),
    (r"\A\s*<(!doctype|html|\?xml)", "html"),
    (r"!obj:[\w.]+", "neon"),
    (r"(^|[\s\"}])layers?\s*\{", "prototxt"),
    (r"\Amodel_checkpoint_path:", "checkpoint"),
    (r"\A(?!(?s:.*)class_name)(?s:.*?)^layers[ \t]*:", "neon"),
    (r"^[ \t]*[\"']?(class_name|config|layers)[\"']?[ \t]*:", "yaml"),
    (r"\A(?=\S*[/.])\S{1,400}\s*\Z", "link"),
)

REFUSALS: dict[Kind, str] = {
    "hdf5": "it is HDF5, where another format is wanted",
    "zip": "it is a zip archive",
    "directory": "it is the folder of a Keras 3 model",
    "json": "it is JSON; an architecture needs --weights",
    "yaml": "it is YAML; an architecture needs --weights",
    "neon": "it is an architecture of neon, in YAML",
    "nippy": "it is a network of Cortex in Clojure (.nippy)",
    "numpy": "it is one array of NumPy, without a network",
    "caffemodel": "it is a network of Caffe",
    "prototxt": "it is an architecture of Caffe, which needs --weights NET.caffemodel",
    "pickle": "it is a Python pickle, which can run any program when it is read: refused as "
    "unsafe, but for those of neon; have Keras save the model as .h5 or .keras",
    "pytorch": "it is a file of PyTorch, a Python pickle; export the model to ONNX there",
    "safetensors": "it is safetensors: arrays without an architecture",
    "savedmodel": "it is a SavedModel of TensorFlow; load it with TensorFlow and Keras 2, and save "
    "the model as .h5",
    "checkpoint": "it is a checkpoint of TensorFlow, without an architecture; load it into its "
    "model, and save that as .h5",
    "onnx": "it is a network of ONNX",
    "tflite": "it is TensorFlow Lite, whose numbers are for small devices; import the Keras file "
    "it was made from",
    "tensorflow": "it is a graph of TensorFlow (.pb), not of Keras; save the model as .h5",
    "gzip": "it is compressed by gzip; unpack it first",
    "lfs": "it is a pointer of Git LFS; fetch the file itself with 'git lfs pull'",
    "html": "it is a web page; download the file itself",
    "link": "it is one line of text, perhaps a symbolic link that became a file; find the file it "
    "names",
    "text": "it is text, but no architecture in JSON or YAML",
    "folder": "it is a folder without the config.json of a Keras 3 model",
    "empty": "it is empty",
    "unknown": "it is no format that is known here",
}
assert REFUSALS.keys() == set(get_args(Kind))


def refusal(kind: Kind) -> str:
    """What to say where a file of this kind is no use."""
    return REFUSALS[kind]


def sniff(path: Path) -> Kind:
    """What a file, or a folder, is.

    Raises:
        UnreadableFile: there is none, or it cannot be opened.
    """
    if path.is_dir():
        return _folder(path)
    whole = Stretch.of(path)
    start = os.pread(whole.file, ENOUGH, 0)
    # A member of an archive may begin at an offset where HDF5 looks for its signature, too.
    if not start.startswith(ZIP) and whole.is_hdf5():
        return "hdf5"
    return _by_content(start)


def _folder(path: Path) -> Kind:
    if (path / "config.json").is_file():
        return "directory"
    return "savedmodel" if (path / "saved_model.pb").is_file() else "folder"


def _by_content(start: bytes) -> Kind:
    if not start:
        return "empty"
    for magic, kind in MAGIC:
        if start.startswith(magic):
            return kind
    if _is_onnx(start):
        return "onnx"
    for pattern, kind in PATTERNS:
        if re.match(pattern, start, re.DOTALL):
            return kind
    return "caffemodel" if _is_named_net(start) else _of_text(start)


def _is_onnx(start: bytes) -> bool:
    """Whether it begins with a version and perhaps the producer's name, and goes on as a model."""
    named = re.match(rb"\x08[\x01-\x1f](\x12[\x00-\x7f])?", start)
    if not named:
        return False
    end = named.end() + (start[named.end() - 1] if named[1] else 0)
    return re.match(rb"[\x1a\"(2:B]", start[end:]) is not None


def _is_named_net(start: bytes) -> bool:
    """Whether it is a network of Caffe that begins with its name: another field of it follows."""
    if not re.match(rb"\n[\x00-\x7f]", start):
        return False
    end = 2 + start[1]
    name = start[2:end].decode("utf-8", "replace")
    return name.isprintable() and re.match(rb"[\x12\x1a\x20\x28]|\xa2\x06", start[end:]) is not None


def _of_text(start: bytes) -> Kind:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        text = decoder.decode(start, final=len(start) < ENOUGH)
    except UnicodeDecodeError:
        return "unknown"
    for pattern, kind in TEXTS:
        if re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
            return kind
    return "unknown" if "\x00" in text else "text"
