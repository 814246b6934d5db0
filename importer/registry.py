"""A table that fills itself: what is done with each kind of thing, by decorated functions.

caffe = Registry[str, Converter]("Caffe")

@caffe("ReLU", "PReLU")
def rectifier(layer: Layer, x: Value) -> Value: ...

caffe["ReLU"]  # rectifier
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Kind = TypeVar("Kind")
Done = TypeVar("Done")


class Registry(dict[Kind, Done]):
    """A mapping whose call registers what is decorated, for all the kinds it is called with.

    Args:
        of: whose kinds they are, for the error.
    """

    def __init__(self, of: str) -> None:
        super().__init__()
        self._of = of

    def __call__(self, *kinds: Kind) -> Callable[[Done], Done]:
        """Registers a function for these kinds.

        Raises:
            ValueError: there is one for a kind already.
        """

        def register(done: Done) -> Done:
            for kind in kinds:
                if kind in self:
                    raise ValueError(f"{self._of} {kind} is registered twice")
                self[kind] = done
            return done

        return register
