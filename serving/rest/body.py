"""The body of a request: read within bounds, inflated, and taken apart."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from ...runtime.errors import problem
from ..errors import InvalidArgument, TooLarge
from .coding import WINDOW, UnknownCoding, inflated

M = TypeVar("M", bound=BaseModel)

JSON, BINARY = "application/json", "application/octet-stream"
HEAD_LENGTH = "inference-header-content-length"
MOST_VALUES = 1 << 20
"""In one JSON text. Each becomes an object many times its size, and parsing stops all else: more
would hold the server up for tenths of a second. Seven photographs are as much; binary data costs
neither."""


async def read(request: Request, largest: int) -> bytes:
    """The body as it came, of at most ``largest`` bytes.

    Raises:
        TooLarge: it is larger, or says it will be; what goes beyond is never kept.
    """
    told = request.headers.get("content-length", "")
    size = int(told) if told.isdecimal() else 0
    pieces: list[bytes] = []
    if size <= largest:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > largest:
                break
            pieces.append(piece)
    if size > largest:
        raise TooLarge(f"the body is larger than {largest} bytes; --max-message-mb sets how many")
    return b"".join(pieces)


def plain(body: bytes, coding: str, largest: int) -> bytes:
    """The body without its ``Content-Encoding``.

    Raises:
        UnknownCoding: it is none of those known here.
        InvalidArgument: it is not what the header says.
        TooLarge: it is larger than ``largest`` bytes then.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in WINDOW:
        raise UnknownCoding(f"content encoding {coding[:40]!r}: give one of {', '.join(WINDOW)}")
    return inflated(body, coding, largest)


def apart(body: bytes, head_length: str | None) -> tuple[memoryview, memoryview]:
    """The JSON of a body and the binary data behind it, as views.

    ``head_length`` is the header that tells how long the JSON is; without it, all is JSON.

    Raises:
        InvalidArgument: the header is no number, or more than there is.
    """
    view = memoryview(body)
    if head_length is None:
        return view, view[len(view) :]
    if not head_length.isdecimal() or int(head_length[:20]) > len(view):
        raise InvalidArgument(
            f"{HEAD_LENGTH} is {head_length[:20]!r}; the body has {len(view)} bytes"
        )
    return view[: int(head_length)], view[int(head_length) :]


def parsed(kind: type[M], text: memoryview) -> M:
    """The message of a ``kind`` that a JSON text is; an empty text is an empty object.

    Raises:
        InvalidArgument: it is no JSON, or no such message.
        TooLarge: it holds too many values.
    """
    raw = bytes(text) or b"{}"
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_VALUES:
        raise TooLarge(f"more than {MOST_VALUES} values as JSON; send the tensors as binary data")
    try:
        return kind.model_validate(from_json(raw))
    except ValidationError as error:
        raise InvalidArgument(f"the request: {problem(error)}") from None
    except ValueError as error:
        raise InvalidArgument(f"the request is no JSON: {error}") from None
