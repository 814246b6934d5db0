"""The families of converters: importing this module registers them all."""

from . import convolution as convolution
from . import core as core
from . import legacy as legacy
from . import merge as merge
from . import pooling as pooling
from . import recurrent as recurrent
