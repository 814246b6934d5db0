"""Reads trained networks from files that few tools still read, and proves every layer's output.

from cortex.importer import load

imported = load("vgg16.h5")
imported.network.run({"input_1": images})
imported.report.verified
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .imported import Imported as Imported
    from .imported import load as load

__all__ = ["Imported", "load"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Loads what the package is for when it is first asked for: --help need not wait for h5py."""
    if name in __all__:
        from . import imported

        return getattr(imported, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
