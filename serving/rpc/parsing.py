"""Small messages, read by the generated parser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from .wire import Malformed

M = TypeVar("M", bound=Message)


def parsed(kind: type[M], message: bytes) -> M:
    """The message of a kind; ``Malformed`` where the bytes are none."""
    try:
        return kind.FromString(message)
    except DecodeError:
        raise Malformed(f"the message is no {kind.__name__}") from None


def plain(parameters: Mapping[str, Any]) -> Mapping[str, object]:
    """The value of each parameter, which is a message of one chosen field."""
    return {
        name: getattr(parameter, chosen)
        for name, parameter in parameters.items()
        if (chosen := parameter.WhichOneof("parameter_choice"))
    }
