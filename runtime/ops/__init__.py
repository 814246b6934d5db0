"""Every operation, by family. Importing this package registers them all."""
# ruff: noqa: F403 – every family says in __all__ what it gives

from .activation import *
from .dense import *
from .dropout import *
from .embedding import *
from .merge import *
from .normalization import *
from .shape import *
