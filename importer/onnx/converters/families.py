"""The families of converters: importing this module registers them all."""

from .. import folding as folding
from .. import folding_numbers as folding_numbers
from . import arithmetic as arithmetic
from . import convolution as convolution
from . import copies as copies
from . import elementwise as elementwise
from . import matrix as matrix
from . import normalization as normalization
from . import pooling as pooling
from . import recurrent as recurrent
from . import reduction as reduction
from . import resizing as resizing
from . import shape as shape
