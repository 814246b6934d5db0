"""What the parameters of a request ask for, once a protocol has made plain values of them."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import InvalidArgument

REQUEST = "the request"


def whole(parameters: Mapping[str, object], name: str, what: str) -> int:
    """A number, not negative; 0 where it is not given. ``what`` has the parameters.

    Raises:
        InvalidArgument: it is something else.
    """
    value = parameters.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidArgument(f"{what}: {name!r} is a whole number from 0 on, found {value!r}")
    return value


def priority(parameters: Mapping[str, object]) -> int:
    """The priority of a request: 1 is the highest, 0 the model's own."""
    return whole(parameters, "priority", REQUEST)


def timeout(parameters: Mapping[str, object]) -> float | None:
    """How many seconds a request may take; the parameter counts microseconds, 0 is no limit."""
    return whole(parameters, "timeout", REQUEST) / 1e6 or None


def refuse_sequence(parameters: Mapping[str, object]) -> None:
    """Raises ``InvalidArgument`` for a request that is a step of a sequence kept by the server.

    Any other parameter that is not known leaves the answer as it is, and is ignored.
    """
    if parameters.get("sequence_id"):
        raise InvalidArgument(
            f"{REQUEST}: 'sequence_id' is not supported; a model's states are inputs and outputs"
        )


def classes(parameters: Mapping[str, object], what: str) -> int:
    """How many of its best classes an output is wanted as; 0: as it is."""
    return whole(parameters, "classification", what)


def config(parameters: Mapping[str, object], what: str) -> str | None:
    """The config.json that a call to load a model brings in place of the repository's.

    Raises:
        InvalidArgument: it is no string, or there are other parameters.
    """
    if other := sorted(parameters.keys() - {"config"}):
        raise InvalidArgument(
            f"{what}: {other[0]!r} is not supported; a model's files come from the repository "
            "alone, a request may bring its 'config'"
        )
    found = parameters.get("config")
    if not isinstance(found, str | None):
        raise InvalidArgument(f"{what}: 'config' is a string of JSON")
    return found
