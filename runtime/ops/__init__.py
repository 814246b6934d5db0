"""Every operation, by family. Importing this package registers them all."""

from .activation import *
from .dense import *
from .dropout import *
from .embedding import *
from .merge import *
from .normalization import *
from .shape import *
