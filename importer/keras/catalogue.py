"""What can be read of Keras: every class that has a converter, with the options that reads."""

from __future__ import annotations

from ..catalogue import options_of
from . import build as build  # registers the converters
from .layer import CONVERTERS

OPERATIONS = "ops."


def layers() -> dict[str, tuple[str, ...]]:
    """The options of each class, by name; classes and options are sorted."""
    return {kind: options_of(CONVERTERS[kind].convert) for kind in sorted(CONVERTERS)}


PAGE = """\
# Keras layers that are read

Printed by `make docs` from the converters themselves. Options that matter in training alone
(initializers, regularizers, constraints, `trainable`, …) may stand in a file and are not listed;
any other option is refused by its name. `cortex-import --list-layers` prints the same.

| Layer | Options |
| --- | --- |
{rows}

Operations of `keras.ops` as nodes of a model: {operations}.

What a `TFOpLambda`, a `TensorFlowOpLayer` and an expression of a mapping may call are the functions
that [keras-extending.md](keras-extending.md) lists.
"""


def as_markdown() -> str:
    """A page with a table of the layers, then the operations by name."""
    found = layers()
    rows = [
        f"| {kind} | {', '.join(f'`{option}`' for option in options) or '–'} |"
        for kind, options in found.items()
        if not kind.startswith(OPERATIONS)
    ]
    names = [kind.removeprefix(OPERATIONS) for kind in found if kind.startswith(OPERATIONS)]
    return PAGE.format(rows="\n".join(rows), operations=", ".join(names))


if __name__ == "__main__":
    print(as_markdown(), end="")
