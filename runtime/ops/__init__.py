"""Every operation, by family. Importing this package registers them all."""
# ruff: noqa: F403 – every family says in __all__ what it gives

from .clipped import *
from .convolution import *
from .dense import *
from .dropout import *
from .embedding import *
from .gated import *
from .merge import *
from .normalization import *
from .pooling import *
from .rectifier import *
from .shape import *
from .sigmoid import *
from .softmax import *
