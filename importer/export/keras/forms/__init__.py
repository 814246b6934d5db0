"""How each operation is written in Keras: one small function for each, by family."""

from . import activations as activations
from . import arithmetic as arithmetic
from . import axes as axes
from . import convolution as convolution
from . import elements as elements
from . import normalization as normalization
from . import pooling as pooling
from . import recurrent as recurrent
from . import weighted as weighted
