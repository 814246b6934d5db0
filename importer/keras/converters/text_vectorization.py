"""Converter: texts turned into the numbers of their words, or into counts of them."""

from __future__ import annotations

from typing import Any

from ....runtime import ops
from ....runtime.errors import Unsupported
from ..builder import Value
from ..layer import Layer, keras
from .lookup import UNKNOWN, Vocabulary, counted, vocabulary
from .preprocessing import encoded, output_mode

PUNCTUATION = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
STANDARDS = {
    None: (),
    "lower": (ops.Lower(),),
    "strip_punctuation": (ops.RemoveCharacters(PUNCTUATION),),
    "lower_and_strip_punctuation": (ops.Lower(), ops.RemoveCharacters(PUNCTUATION)),
}


@keras("TextVectorization")
def text_vectorization(layer: Layer, x: Value) -> Value:
    standard, by = layer["standardize"], layer["split"]
    mode, length = output_mode(layer, default="int"), layer.get("output_sequence_length", None)
    layer.get("encoding", None)  # of what a function of the user's is given
    if not isinstance(standard, str | None) or standard not in STANDARDS:
        raise _own(layer, "standardize", standard)
    if by not in (None, "whitespace", "character"):
        raise _own(layer, "split", by)
    if (ngrams := layer.get("ngrams", None)) is not None:
        raise Unsupported(
            f"{layer.title}: ngrams {ngrams!r}: its vocabulary is of several words each, which "
            "onnxruntime cannot put together; None is supported"
        )
    for op in STANDARDS[standard]:
        x = layer.add(op, x)
    table = vocabulary(layer, str, "", UNKNOWN, mode)
    if mode == "tf_idf" or layer.get("vocabulary", None) is None:
        layer.arrays.part("_lookup_layer").hand_over()  # Keras 3 stores everything a second time
    if by is None:
        return _by_element(layer, x, table, mode, length)
    return _by_word(layer, _single(layer, x), table, mode, length, by)


def _own(layer: Layer, option: str, given: Any) -> Unsupported:
    """The error for a function of the user's."""
    return Unsupported(
        f"{layer.title}: {option} {given!r}: code in a file is never run; have Keras make the "
        f"layer with {option}=None, and do it to the texts before they are sent"
    )


def _single(layer: Layer, x: Value) -> Value:
    """One text a row."""
    shape = layer.shape(x)
    if len(shape) == 2 and shape[1] == 1:
        return layer.add(ops.Squeeze((1,)), x)
    if len(shape) != 1:
        raise Unsupported(
            f"{layer.title}: it splits texts of the shape {shape[1:]}; one a row is supported"
        )
    return x


def _by_word(layer: Layer, x: Value, table: Vocabulary, mode: str, length: Any, by: Any) -> Value:
    """The words, or characters, of one text a row."""
    if mode == "int" and length is None:
        raise Unsupported(
            f"{layer.title}: output_sequence_length None: a batch would be as wide as its longest "
            "text; have Keras make the layer with a number"
        )

    def encode(mode: str, size: int) -> Value:
        if mode == "int":
            return layer.add(table.lookup(), layer.add(ops.SplitText(int(length), by), x))
        if mode not in ("multi_hot", "count"):
            raise layer.refuse("output_mode", mode)
        found = table.numbers
        words = tuple(found), tuple(found.values()), table.default
        return layer.add(ops.CountWords(*words, size, mode == "multi_hot", by), x)

    return counted(layer, table, mode, encode)


def _by_element(layer: Layer, x: Value, table: Vocabulary, mode: str, length: Any) -> Value:
    """Strings that are words already; their numbers cut or padded to a length."""
    ids = layer.add(table.lookup(), x)
    if length is not None:
        ids = _fitted(layer, ids, int(length))
    return counted(layer, table, mode, lambda how, depth: encoded(layer, ids, how, depth))


def _fitted(layer: Layer, ids: Value, length: int) -> Value:
    """Rows cut to a length, or filled up with zeros."""
    shape = layer.shape(ids)
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise Unsupported(
            f"{layer.title}: it pads words of the shape {shape[1:]}; a fixed number of them in "
            "each row is supported"
        )
    if shape[1] >= length:
        return layer.add(ops.StridedSlice((None, None), (None, length), (None, None)), ids)
    return layer.add(ops.Pad(((0, 0), (0, length - shape[1]))), ids)
