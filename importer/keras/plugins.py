"""Converters that other packages bring.

A package names a module of converters as an entry point; a user names the entry point. A model's
file never does: what it says is data.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from ...runtime.errors import UsageError

GROUP = "cortex.importer.keras"
"""The group of entry points: NAME = "package.module", whose converters register as it is loaded."""


def load_plugin(name: str) -> None:
    """Loads a package's converters.

    Raises:
        UsageError: nothing that is installed has such an entry point, or it does not load.
    """
    known = entry_points(group=GROUP)
    found = next((entry for entry in known if entry.name == name), None)
    if found is None:
        names = ", ".join(sorted({entry.name for entry in known})) or "none"
        raise UsageError(f"plugin {name!r} is not installed; installed are: {names}")
    try:
        found.load()
    except Exception as error:  # the code is not ours: whatever it raises, it did not load
        raise UsageError(
            f"plugin {name!r} ({found.value}) does not load: {type(error).__name__} {error}"
        ) from error
