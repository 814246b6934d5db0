"""One vocabulary of functions of tensors, with the names that NumPy and Keras have for them.

Layers that are operations (of TensorFlow, of Keras 3) and the expressions of a mapping are written
in it. See ``operand`` for what the functions take.
"""

from . import activation as activation
from . import contraction as contraction
from . import elementwise as elementwise
from . import image as image
from . import index as index
from . import logic as logic
from . import normalization as normalization
from . import reduction as reduction
from . import reshape as reshape
from . import shape as shape
from . import window as window
from .operand import FUNCTIONS as FUNCTIONS
