"""Converters: numbers and words that stand for categories, found in a vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....runtime import ops
from ....runtime.errors import UnreadableFile, Unsupported
from ..builder import Value
from ..layer import Layer, keras
from .preprocessing import encoded, numbers, output_mode

UNCOUNTED = 2**63 - 1
"""The number of a token that no count has room for."""
ASSET = "vocabulary.txt"
"""The file beside a layer's arrays that Keras 3 keeps a learned vocabulary in."""
IMPLIED = (
    "salt", "vocabulary_size", "vocabulary_dtype", "has_input_vocabulary", "max_tokens",
    "max_values", "pad_to_max_tokens", "idf_weights",
)  # fmt: skip
"""Options that say nothing, unless something is hashed or counted."""
UNKNOWN = "[UNK]"
"""What Keras has for a word that is not in the vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a lookup and the numbers they have: a mask, buckets, then the tokens.

    Tokens are whole numbers, or all strings. ``first_bucket`` is 1 if the mask has a number, too.
    ``has_special``: it was written with mask and buckets.
    """

    tokens: list[Any]
    mask: Any
    unknown: Any
    buckets: int
    first_bucket: int
    has_special: bool

    @property
    def first_token(self) -> int:
        """The number of the first token."""
        return self.first_bucket + self.buckets

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.first_token + len(self.tokens)

    @property
    def is_text(self) -> bool:
        """Whether the tokens are strings."""
        return isinstance(self.unknown, str)

    @property
    def default(self) -> int:
        """The number of other tokens: -1 if there are several buckets for them, or none."""
        return self.first_bucket if self.buckets == 1 else -1

    @property
    def numbers(self) -> dict[Any, int]:
        """The number of each token."""
        found = dict(zip(self.tokens, range(self.first_token, self.size), strict=True))
        if self.mask is not None:
            found[self.mask] = 0 if self.first_bucket else UNCOUNTED
        return found

    def lookup(self) -> ops.Lookup | ops.LookupText:
        """From a token to its number."""
        found = self.numbers
        op = ops.LookupText if self.is_text else ops.Lookup
        return op(tuple(found), tuple(found.values()), self.default)

    def inverse(self) -> ops.Lookup | ops.TextOf:
        """From a number to its token."""
        tokens = dict(zip(range(self.first_token, self.size), self.tokens, strict=True))
        if self.mask is not None:
            tokens[0] = self.mask
        op = ops.TextOf if self.is_text else ops.Lookup
        return op(tuple(tokens), tuple(tokens.values()), self.unknown)


@keras("IntegerLookup")
def integer_lookup(layer: Layer, x: Value) -> Value:
    mode = output_mode(layer, default="int")
    if (how := layer.get("oov_method", "floormod")) != "floormod":
        raise layer.refuse("oov_method", how)
    mask, unknown = layer.either("mask_token", "mask_value", default=None), _unknown(layer, -1)
    table = vocabulary(layer, int, None if mask is None else int(mask), int(unknown), mode)
    if layer.get("invert", False):
        return layer.add(table.inverse(), x)
    found = layer.add(table.lookup(), x)
    if table.buckets > 1:  # those that are not found share some numbers by their remainders
        number = [layer.add(ops.Literal((n,), ())) for n in (table.buckets, table.first_bucket)]
        bucket = layer.add(ops.Mod(), layer.add(ops.Cast("int64"), x), number[0])
        bucket = layer.add(ops.Add(), bucket, number[1])
        found = layer.add(ops.Where(), layer.add(ops.Equal(-1), found), bucket, found)
    return counted(layer, table, mode, lambda how, size: encoded(layer, found, how, size))


@keras("StringLookup")
def string_lookup(layer: Layer, x: Value) -> Value:
    mode = output_mode(layer, default="int")
    layer.get("encoding", None)  # of what it lists
    layer.get("oov_method", None)  # of whole numbers
    mask, unknown = layer.get("mask_token", None), str(_unknown(layer, UNKNOWN))
    table = vocabulary(layer, str, None if mask is None else str(mask), unknown, mode)
    if layer.get("invert", False):
        return layer.add(table.inverse(), x)
    if table.buckets > 1:
        raise Unsupported(
            f"{layer.title}: num_oov_indices {table.buckets}: it hashes the words that are not in "
            "its vocabulary, which onnxruntime cannot; 0 and 1 are supported"
        )
    found = layer.add(table.lookup(), x)
    return counted(layer, table, mode, lambda how, size: encoded(layer, found, how, size))


def _unknown(layer: Layer, default: Any) -> Any:
    given = layer.either("oov_token", "oov_value", default=default)
    return default if given is None else given


def vocabulary(
    layer: Layer, token: Callable[[Any], Any], mask: Any, unknown: Any, mode: str
) -> Vocabulary:
    """The vocabulary, an option or an asset; ``token`` makes one of what is written there."""
    for option in IMPLIED:
        layer.get(option, None)
    given: Any = layer.get("vocabulary", None)
    listed = isinstance(given, list | dict)
    tokens = [token(one) for one in (numbers(given, object) if listed else _learned(layer))]
    first, buckets = int(mask is not None and mode == "int"), int(layer.get("num_oov_indices", 1))
    special = [mask] * first + [unknown] * buckets
    has_special = tokens[: len(special)] == special
    tokens = tokens[len(special) :] if has_special else tokens
    if len(set(tokens)) < len(tokens) or mask in tokens:
        raise UnreadableFile(f"{layer.title}: a token stands twice in its vocabulary")
    return Vocabulary(tokens, mask, unknown, buckets, first, has_special)


def _learned(layer: Layer) -> list[str]:
    """A vocabulary that the layer has learned, which stands beside the arrays: a token a line."""
    if layer.arrays.find(ASSET) is None:
        raise Unsupported(
            f"{layer.title}: its vocabulary is neither among its options nor in the file; have "
            "Keras make the layer with vocabulary=layer.get_vocabulary()"
        )
    try:
        lines = layer.take(ASSET)[ASSET].read().item().decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{layer.title}: {ASSET}: not text in UTF-8: byte {error.start}"
        ) from None
    while lines and not lines[-1]:
        lines.pop()
    return lines


def counted(
    layer: Layer, table: Vocabulary, mode: str, encode: Callable[[str, int], Value]
) -> Value:
    """What ``encode`` makes of the numbers, by mode and depth; counts by their documents' weights.

    The depth is that of the vocabulary, or what the layer pads to.
    """
    most = layer.either("max_tokens", "max_values", default=None)
    padded = layer.get("pad_to_max_tokens", False) and mode != "int"
    size, given = int(most) if padded else table.size, layer.get("idf_weights", None)
    if mode != "tf_idf":
        return encode(mode, size)
    return layer.add(ops.Multiply(), encode("count", size), _weights(layer, table, given, size))


def _weights(layer: Layer, table: Vocabulary, given: Any, size: int) -> Value:
    """The weight of each count: stored, or given for the tokens."""
    if layer.arrays.find("idf_weights", "Variable"):  # tf.keras gives it no name
        stored = layer.take(value="idf_weights|Variable")
        return layer.add(ops.Constant((size,)), **stored)
    if given is None:
        raise UnreadableFile(f"{layer.title}: its array 'idf_weights' is missing")
    weights = numbers(given)
    front = 0 if table.has_special else table.first_token
    weights = np.concatenate([np.full(front, weights.mean()), weights])
    return layer.constant(np.pad(weights, (0, size - len(weights))))
