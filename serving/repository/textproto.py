"""Reading protobuf text without its schema: what stands there by name, unknown fields too.

protobuf's own reader passes over fields that it does not know and cannot say which; here nothing is
lost. Values stay text, for whoever knows their types.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from google.protobuf.text_format import ParseError, Tokenizer

from ...runtime.errors import UnreadableFile

Value: TypeAlias = "str | Message"
Message: TypeAlias = dict[str, list[Value]]

CLOSING = {"{": "}", "<": ">"}
SCALAR = re.compile(r"[-+.]?\w[\w.+-]*")
DEEPEST = 20


def read(text: str, what: str) -> Message:
    """The fields of a message, each with its values in order.

    Raises:
        UnreadableFile: it is no protobuf text; the message begins with ``what`` and the line.
    """
    tokens = Tokenizer(text.splitlines())
    try:
        return _fields(tokens, "", 0)
    except ParseError as error:
        raise UnreadableFile(f"{what}:{error}") from None


def _fields(tokens: Tokenizer, end: str, depth: int) -> Message:
    if depth > DEEPEST:
        raise _refusal(tokens, f"messages more than {DEEPEST} deep")
    found: Message = {}
    while not (tokens.TryConsume(end) if end else tokens.AtEnd()):
        if tokens.AtEnd():
            raise _refusal(tokens, f"expected {end!r}")
        name = tokens.ConsumeIdentifier()
        colon = tokens.TryConsume(":")
        found.setdefault(name, []).extend(_values(tokens, colon, depth))
        if not tokens.TryConsume(","):
            tokens.TryConsume(";")
    return found


def _values(tokens: Tokenizer, colon: bool, depth: int) -> list[Value]:
    if not tokens.TryConsume("["):
        return [_value(tokens, colon, depth)]
    values: list[Value] = []
    while not tokens.TryConsume("]"):
        values.append(_value(tokens, True, depth))
        if not tokens.LookingAt("]"):
            tokens.Consume(",")
    return values


def _value(tokens: Tokenizer, colon: bool, depth: int) -> Value:
    for opening, closing in CLOSING.items():
        if tokens.TryConsume(opening):
            return _fields(tokens, closing, depth + 1)
    if not colon:
        raise _refusal(tokens, "expected ':'")
    if str(tokens.token)[:1] in ("'", '"'):
        return tokens.ConsumeString()
    token = str(tokens.token)
    if not SCALAR.fullmatch(token):
        raise _refusal(tokens, "expected a value")
    tokens.NextToken()
    return token


def _refusal(tokens: Tokenizer, message: str) -> ParseError:
    return tokens.ParseError(message)  # pyright: ignore[reportArgumentType]  its stub errs
