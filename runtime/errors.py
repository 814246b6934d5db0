"""Every error Cortex raises on purpose, as one tree.

    CortexError              exit code 3 unless a branch says otherwise
    ├── UsageError           2   the command line or an argument makes no sense
    ├── Disagreement         1   two computations of the same network differ
    ├── WeakEvidence         3   the outputs agree, but what proves it is less than was asked for
    ├── UnreadableFile       3   not a model, truncated, or refused as unsafe
    ├── UnwritableFile       3   the disk will not have a file
    ├── Unsupported          3   a layer, an option or a data type Cortex does not know
    ├── GraphError           3   operations, shapes or parameters that do not fit together
    ├── RepositoryError      3   a model repository that cannot be read or written
    ├── MissingExtra         3   an optional dependency that is not installed
    └── serving.errors.RequestError      carries the status codes of both protocols

A message is one line: which thing, by the name its file or its user gives it – what is wrong – what
was found – what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pydantic import ValidationError


class CortexError(Exception):
    """The root. ``exit_code`` is what a command that meets the error ends with."""

    exit_code: ClassVar[int] = 3


class UsageError(CortexError):
    """The command line or an argument makes no sense."""

    exit_code = 2


class Disagreement(CortexError):
    """Two computations of the same network differ by more than the tolerance."""

    exit_code = 1


class WeakEvidence(CortexError):
    """The outputs agree, but what proves it is less than was asked for."""


class UnreadableFile(CortexError):
    """A file that is not a model, is cut short, or holds something that is refused as unsafe."""


class UnwritableFile(CortexError):
    """The disk will not have a file: it is full, or the folder is not ours."""


class Unsupported(CortexError):
    """A layer, an option or a data type that Cortex does not know how to compute."""


class GraphError(CortexError):
    """Operations, shapes or parameters that do not fit together."""


class RepositoryError(CortexError):
    """A model repository that cannot be read or written."""


class MissingExtra(CortexError):
    """An optional dependency is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an extra: pip install 'cortex-inference[{extra}]'")


def problem(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, as one line: where, and what."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{where}: {said}" if where else said
