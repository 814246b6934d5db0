"""Content codings: what a request's body went through on its way, and what an answer may."""

from __future__ import annotations

import zlib

from ..errors import InvalidArgument, TooLarge

WINDOW = {"gzip": 31, "deflate": 15}  # zlib's names for the two formats around the same stream
FASTEST = 1  # tensors hardly shrink further at the other levels, which take several times as long


class UnknownCoding(InvalidArgument):
    """A body in a coding that is not among ``WINDOW``."""

    http = 415


def inflated(body: bytes, coding: str, largest: int) -> bytes:
    """What ``body`` was before ``coding``, one of ``WINDOW``; no more than ``largest`` bytes of it.

    Raises:
        TooLarge: it is more; what goes beyond is never inflated.
        InvalidArgument: it is cut short, damaged, or followed by something else.
    """
    stream = zlib.decompressobj(WINDOW[coding])
    try:
        found = stream.decompress(body, largest + 1)
    except zlib.error as error:
        raise InvalidArgument(f"the body is no {coding}: {error}") from None
    if len(found) > largest:
        raise TooLarge(f"the body is larger than {largest} bytes once inflated")
    if not stream.eof or stream.unused_data:
        wrong = "something follows its end" if stream.eof else "it is cut short"
        raise InvalidArgument(f"the body is no {coding}: {wrong}")
    return found


def deflated(body: bytes, coding: str) -> bytes:
    """``body`` in ``coding``, one of ``WINDOW``."""
    stream = zlib.compressobj(FASTEST, wbits=WINDOW[coding])
    return stream.compress(body) + stream.flush()


def preferred(accept: str) -> str:
    """The coding that an ``Accept-Encoding`` header likes best; empty if it likes none of ours."""
    weights: dict[str, float] = {}
    for each in accept.lower().split(","):
        name, _, parameter = each.partition(";")
        weights[name.strip()] = _weight(parameter)
    best = max(WINDOW, key=lambda name: weights.get(name, 0.0))
    return best if weights.get(best, 0.0) > 0 else ""


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
