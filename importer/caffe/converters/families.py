"""The families of converters: importing this module registers them all."""

from . import activations as activations
from . import convolution as convolution
from . import merge as merge
from . import normalization as normalization
from . import pooling as pooling
from . import reduction as reduction
from . import shape as shape
